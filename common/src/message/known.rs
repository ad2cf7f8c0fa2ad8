//! The field names that the proxy itself looks at, told apart once when a field is stored.

use super::scan::{name_ends, name_length};

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

            /// What a line of this field begins with: the name in lower case, a colon and a space.
            pub(super) const fn line_start(self) -> &'static str {
                match self {
                    Known::Other => ": ",
                    $(Known::$variant => concat!($name, ": "),)*
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
    Tracestate = "tracestate",
    Traceparent = "traceparent",
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

/// A name as three numbers of eight bytes, in lower case, with spaces behind it. Only a name of at most 24 bytes has
/// them, which all known ones are; one of another length has other spaces.
type Folded = [u64; 3];

/// Eight spaces: the bit that tells lower case from upper, and what stands where no letter is.
const SPACES: u64 = u64::from_le_bytes(*b"        ");

/// Number of places in [`TABLE`].
const PLACES: usize = 256;

/// By which [`place`] multiplies; found by trying, so that every known name has a place of its own.
const FACTOR: u64 = {
    let mut factor = 0x9e37_79b9_7f4a_7c15_u64;
    while table(factor).is_none() {
        factor = factor.wrapping_add(0x61c8_8646_80b5_83ea);
    }
    factor
};

/// The only known name that a name with this place can be, and how it is folded.
static TABLE: [(Folded, Known); PLACES] = match table(FACTOR) {
    Some(table) => table,
    None => panic!("the factor was tried"),
};

/// Where a folded name stands in the table.
const fn place(name: Folded, factor: u64) -> usize {
    let mixed = name[0] ^ name[1].rotate_left(23) ^ name[2].rotate_left(46);
    (mixed.wrapping_mul(factor) >> 56) as usize
}

/// The table for a factor; `None` if two names have the same place.
const fn table(factor: u64) -> Option<[(Folded, Known); PLACES]> {
    let mut table = [([0; 3], Known::Other); PLACES];
    let mut at = 0;
    while at < Known::ALL.len() {
        let known = Known::ALL[at];
        let folded = fold(known.name().as_bytes());
        let place = place(folded, factor);
        if !matches!(table[place].1, Known::Other) {
            return None;
        }
        table[place] = (folded, known);
        at += 1;
    }
    Some(table)
}

/// Folds a name of at most 24 bytes.
const fn fold(name: &[u8]) -> Folded {
    let mut bytes = [b' '; 24];
    bytes.split_at_mut(name.len()).0.copy_from_slice(name);
    let eights = bytes.as_chunks().0;
    [
        SPACES | u64::from_le_bytes(eights[0]),
        SPACES | u64::from_le_bytes(eights[1]),
        SPACES | u64::from_le_bytes(eights[2]),
    ]
}

impl Known {
    /// Tells which name this is, without regard to case.
    pub fn of(name: &[u8]) -> Known {
        match name.len() <= 24 && name.iter().all(|byte| *byte > b' ') {
            true => Self::of_folded(fold(name)),
            false => Known::Other,
        }
    }

    /// Tells which name this is that is a token.
    pub(crate) fn of_token(name: &[u8]) -> Known {
        if name.len() <= 24 { Self::of_folded(fold(name)) } else { Known::Other }
    }

    /// Tells which name this is that has no byte below `!`: such a byte could become one of a name by being folded.
    fn of_folded(name: Folded) -> Known {
        let (folded, known) = TABLE[place(name, FACTOR)];
        if name == folded { known } else { Known::Other }
    }

    /// Reads the name at the front of a text, up to the first byte that ends it: a colon, a space or a control byte other
    /// than DEL. Gives which name it is, and its length. Eight bytes at a time, as this is done for every field of
    /// every message.
    pub(crate) fn read(text: &[u8]) -> (Known, usize) {
        let mut folded = [SPACES; 3];
        let mut rest = text;
        for part in 0..3 {
            let Some((eight, after)) = rest.split_first_chunk() else { return Self::read_short(text) };
            let eight = u64::from_le_bytes(*eight);
            let ends = name_ends(eight);
            if ends != 0 {
                let bits = ends.trailing_zeros() & !7;
                folded[part] |= eight & ((1 << bits) - 1);
                return (Self::of_folded(folded), part * 8 + bits as usize / 8);
            }
            folded[part] |= eight;
            rest = after;
        }
        Self::read_short(text)
    }

    /// As [`Known::read`], where a text ends soon or a name does not.
    #[cold]
    fn read_short(text: &[u8]) -> (Known, usize) {
        let length = name_length(text);
        (Self::of(&text[..length]), length)
    }
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
        for name in [
            "",
            "x",
            "host\0",
            "host ",
            "hosts",
            "hoxt",
            "content_length",
            "x-forwarded-foo",
            "transfer-ancoding",
        ] {
            assert_eq!(Known::of(name.as_bytes()), Known::Other, "{name}");
        }
    }

    #[test]
    fn a_name_is_read_up_to_its_end_wherever_the_text_ends() {
        let names = ["", "te", "hoSt", "connecti", "Connection", "x-forwarded-proto", "proxy-authorization"];
        let others = [
            "a-name-of-twenty-four-by",
            "a-name-of-twenty-five-byt",
            "a-name-that-is-longer-than-all-others",
        ];
        for name in names.iter().chain(&others) {
            for end in [":", " :", "\r\n", "\0", ": value\r\nanother: value of some length\r\n", ""] {
                let text = format!("{name}{end}");
                let expected = (Known::of(name.as_bytes()), name.len());
                assert_eq!(Known::read(text.as_bytes()), expected, "{text:?}");
            }
        }
    }
}
