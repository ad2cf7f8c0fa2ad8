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

/// Number of places in [`TABLE`].
const PLACES: usize = 256;

/// By which [`place`] multiplies; found by trying, so that every known name has a place of its own.
const FACTOR: u32 = {
    let mut factor = 0x9e37_79b1_u32;
    while table(factor).is_none() {
        factor = factor.wrapping_add(0x61c8_8646);
    }
    factor
};

/// The only known name that a name with this place can be.
const TABLE: [Known; PLACES] = match table(FACTOR) {
    Some(table) => table,
    None => panic!("the factor was tried"),
};

/// Where a name stands in the table, by its length and three of its bytes, whatever their case.
const fn place(name: &[u8], factor: u32) -> usize {
    let length = name.len();
    let key = u32::from_be_bytes([
        length as u8,
        name[0] | 0x20,
        name[length * 3 / 4] | 0x20,
        name[length - 1] | 0x20,
    ]);
    (key.wrapping_mul(factor) >> 24) as usize
}

/// The table for a factor; `None` if two names have the same place.
const fn table(factor: u32) -> Option<[Known; PLACES]> {
    let mut table = [Known::Other; PLACES];
    let mut at = 0;
    while at < Known::ALL.len() {
        let place = place(Known::ALL[at].name().as_bytes(), factor);
        if !matches!(table[place], Known::Other) {
            return None;
        }
        table[place] = Known::ALL[at];
        at += 1;
    }
    Some(table)
}

impl Known {
    /// Tells which name this is, without regard to case.
    pub fn of(name: &[u8]) -> Known {
        if name.is_empty() {
            return Known::Other;
        }
        let known = TABLE[place(name, FACTOR)];
        if is_same(name, known.name().as_bytes()) { known } else { Known::Other }
    }
}

/// Whether a name is this known one, whatever its case. Eight bytes at a time, as this is asked for every field.
fn is_same(name: &[u8], known: &[u8]) -> bool {
    // Where the bit is set that letters have and digits and hyphens have not, the case is left out of account.
    let are_same = |name: &[u8; 8], known: &[u8; 8]| {
        let (name, known) = (u64::from_le_bytes(*name), u64::from_le_bytes(*known));
        name | (known & 0x4040_4040_4040_4040) >> 1 == known
    };
    if name.len() != known.len() {
        return false;
    }
    let (Some(name_end), Some(known_end)) = (name.last_chunk(), known.last_chunk()) else {
        return name.eq_ignore_ascii_case(known);
    };
    let (name, known) = (name.as_chunks().0, known.as_chunks().0);
    name.iter().zip(known).all(|(name, known)| are_same(name, known)) && are_same(name_end, known_end)
}

/// A set of known names; [`Known::Other`] is in none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KnownSet(u64);

const _: () = assert!(Known::ALL.len() < u64::BITS as usize, "every known name has a bit");

impl KnownSet {
    /// Fields that concern one hop only (RFC 9110 §7.6.1); framing fields are among them, as each hop frames its
    /// messages itself, but for `Content-Length`.
    pub const HOP_BY_HOP: Self = Self::of(&[
        Known::Connection,
        Known::KeepAlive,
        Known::ProxyConnection,
        Known::Te,
        Known::TransferEncoding,
        Known::Upgrade,
        Known::Http2Settings,
    ]);

    /// Fields that say who asked, or how, on the hops before this one.
    pub const OF_CLIENTS: Self = Self::of(&[
        Known::XRealIp,
        Known::XForwardedFor,
        Known::XForwardedHost,
        Known::XForwardedPort,
        Known::XForwardedProto,
        Known::Forwarded,
    ]);

    /// Fields that stay even if `Connection` names them: a message means something else without them.
    pub const PROTECTED: Self = Self::of(&[
        Known::Host,
        Known::ContentLength,
        Known::ContentType,
        Known::Cookie,
        Known::Authorization,
        Known::Date,
        Known::Server,
        Known::Location,
        Known::Via,
        Known::XRequestId,
    ])
    .with(Self::OF_CLIENTS);

    /// These names.
    pub const fn of(names: &[Known]) -> Self {
        let (mut set, mut at) = (Self(0), 0);
        while at < names.len() {
            set.0 |= Self::bit(names[at]);
            at += 1;
        }
        set
    }

    /// Those of both.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those that are not in the other.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether a name is among them.
    pub const fn contains(self, known: Known) -> bool {
        self.0 & Self::bit(known) != 0
    }

    /// Whether any name is in both.
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Adds a name.
    pub fn insert(&mut self, known: Known) {
        self.0 |= Self::bit(known);
    }

    const fn bit(known: Known) -> u64 {
        match known {
            Known::Other => 0,
            known => 1 << known as u64,
        }
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
    fn a_set_has_the_names_it_was_given_and_never_other_ones() {
        let mut set = KnownSet::of(&[Known::Te, Known::ProxyAuthorization]);
        set.insert(Known::Other);
        let names: Vec<_> = Known::ALL.iter().filter(|known| set.contains(**known)).collect();
        assert_eq!(names, [&Known::Te, &Known::ProxyAuthorization]);
        assert!(!set.contains(Known::Other) && !set.without(set).contains(Known::Te));
        assert!(set.meets(KnownSet::HOP_BY_HOP) && !set.meets(KnownSet::PROTECTED));
    }

    #[test]
    fn other_names_are_other() {
        let changed = |known: &Known| {
            let name = known.name().as_bytes();
            (0..name.len()).flat_map(move |at| {
                (0..=u8::MAX).map(move |byte| {
                    let mut changed = name.to_vec();
                    changed[at] = byte;
                    changed
                })
            })
        };
        for name in Known::ALL.iter().flat_map(changed) {
            let wanted = Known::ALL.iter().find(|known| name.eq_ignore_ascii_case(known.name().as_bytes()));
            assert_eq!(Known::of(&name), wanted.copied().unwrap_or(Known::Other), "{name:?}");
        }
        for name in ["", "x", "hosts", "hoxt", "content_length", "x-forwarded-foo", "transfer-ancoding"] {
            assert_eq!(Known::of(name.as_bytes()), Known::Other, "{name}");
        }
    }
}
