//! The field names that the proxy itself looks at, told apart once when a field is stored.

macro_rules! known {
    ($($variant:ident = $name:literal,)*) => {
        /// A field name that the proxy looks at; [`Known::Other`] is every other one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Known {
            /// A name that the proxy never looks at.
            Other,
            $(#[doc = concat!("`", $name, "`")] $variant,)*
        }

        impl Known {
            /// Every known name.
            pub const ALL: &[Known] = &[$(Known::$variant,)*];

            /// The name in lower case; empty for [`Known::Other`].
            pub const fn name(self) -> &'static str {
                match self {
                    Known::Other => "",
                    $(Known::$variant => $name,)*
                }
            }

        }
    };
}

known! {
    Te = "te",
    Via = "via",
    Date = "date",
    Host = "host",
    Proxy = "proxy",
    Cookie = "cookie",
    Expect = "expect",
    Server = "server",
    Trailer = "trailer",
    Upgrade = "upgrade",
    Location = "location",
    Forwarded = "forwarded",
    XRealIp = "x-real-ip",
    Connection = "connection",
    KeepAlive = "keep-alive",
    UserAgent = "user-agent",
    XRequestId = "x-request-id",
    GrpcTimeout = "grpc-timeout",
    ContentType = "content-type",
    Authorization = "authorization",
    ContentLength = "content-length",
    Http2Settings = "http2-settings",
    XForwardedFor = "x-forwarded-for",
    ProxyConnection = "proxy-connection",
    XSelvedgeToken = "x-selvedge-token",
    XForwardedHost = "x-forwarded-host",
    XForwardedPort = "x-forwarded-port",
    TransferEncoding = "transfer-encoding",
    XForwardedProto = "x-forwarded-proto",
    XSelvedgeReason = "x-selvedge-reason",
    XSelvedgeService = "x-selvedge-service",
    ProxyAuthorization = "proxy-authorization",
}

/// Length of the longest known name.
const LONGEST: usize = 19;

/// Where the names of each length begin in [`Known::ALL`], which is sorted by length; those of the next length end them.
const BEGIN: [usize; LONGEST + 2] = {
    let mut begin = [0; LONGEST + 2];
    let (mut length, mut at) = (0, 0);
    while length < begin.len() {
        while at < Known::ALL.len() && Known::ALL[at].name().len() < length {
            at += 1;
        }
        begin[length] = at;
        length += 1;
    }
    begin
};

impl Known {
    /// Tells which name this is, without regard to case. Only names of its length are looked at.
    pub fn of(name: &[u8]) -> Known {
        if name.len() > LONGEST {
            return Known::Other;
        }
        let same_length = &Known::ALL[BEGIN[name.len()]..BEGIN[name.len() + 1]];
        let found = same_length.iter().find(|known| name.eq_ignore_ascii_case(known.name().as_bytes()));
        found.copied().unwrap_or(Known::Other)
    }

    /// Whether the field concerns one hop only (RFC 9110 §7.6.1); framing fields are among them, as each hop
    /// frames its messages itself, but for `Content-Length`.
    pub fn is_hop_by_hop(self) -> bool {
        matches!(
            self,
            Self::Connection
                | Self::KeepAlive
                | Self::ProxyConnection
                | Self::Te
                | Self::TransferEncoding
                | Self::Upgrade
                | Self::Http2Settings
        )
    }

    /// Whether the field says who asked, or how, on the hops before this one.
    pub fn tells_of_clients(self) -> bool {
        matches!(
            self,
            Self::XRealIp
                | Self::XForwardedFor
                | Self::XForwardedHost
                | Self::XForwardedPort
                | Self::XForwardedProto
                | Self::Forwarded
        )
    }

    /// Whether the field stays even if `Connection` names it: a message means something else without it.
    pub fn is_protected(self) -> bool {
        matches!(
            self,
            Self::Host
                | Self::ContentLength
                | Self::ContentType
                | Self::Cookie
                | Self::Authorization
                | Self::Date
                | Self::Server
                | Self::Location
                | Self::Via
                | Self::XRequestId
                | Self::XRealIp
                | Self::XForwardedFor
                | Self::XForwardedHost
                | Self::XForwardedPort
                | Self::XForwardedProto
                | Self::Forwarded
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_is_recognised_in_any_case() {
        for known in Known::ALL {
            assert_eq!(Known::of(known.name().as_bytes()), *known, "{}", known.name());
            assert_eq!(Known::of(known.name().to_uppercase().as_bytes()), *known);
        }
    }

    #[test]
    fn names_are_sorted_by_their_length() {
        assert!(Known::ALL.is_sorted_by_key(|known| known.name().len()));
        assert_eq!(Known::ALL.last().map(|known| known.name().len()), Some(LONGEST));
    }

    #[test]
    fn other_names_are_other() {
        for name in ["", "x", "hosts", "content_length", "x-forwarded-foo", "transfer-encodinh"] {
            assert_eq!(Known::of(name.as_bytes()), Known::Other, "{name}");
        }
    }
}
