//! Forms that are one of a few words.

use super::Form;

/// Makes a form of words, each of which stands for one value. The first one of a value is how it is shown.
macro_rules! words {
    ($(#[doc = $doc:literal])+ $name:ident, $say:literal { $($(#[doc = $value_doc:literal])+ $($word:literal)|+ => $value:ident,)+ }) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[doc = $value_doc])+ $value,)+ }

        impl Form for $name {
            const NAME: &'static str = $say;

            fn parse(text: &str) -> Option<Self> {
                match text.trim() {
                    $($($word)|+ => Some(Self::$value),)+
                    _ => None,
                }
            }
        }
    };
}

words! {
    /// On or off.
    Switch, "`on` or `off`" {
        /// On.
        "on" => On,
        /// Off.
        "off" => Off,
    }
}

impl Switch {
    /// Whether it is on.
    pub fn is_on(self) -> bool {
        self == Self::On
    }
}

words! {
    /// How an endpoint is chosen.
    LoadBalance, "`round_robin` or `ewma`" {
        /// One after the other.
        "round_robin" => RoundRobin,
        /// The one that is expected to answer sooner of two drawn at random.
        "ewma" => Ewma,
    }
}

words! {
    /// What is spoken to endpoints.
    Protocol, "`HTTP`, `HTTPS`, `AUTO_HTTP`, `GRPC`, `GRPCS` or `FCGI`" {
        /// HTTP/1.1.
        "HTTP" | "http" | "Http" => Http,
        /// HTTP/1.1 over TLS.
        "HTTPS" | "https" | "Https" => Https,
        /// As the client does.
        "AUTO_HTTP" | "auto_http" => AutoHttp,
        /// HTTP/2.
        "GRPC" | "grpc" | "Grpc" => Grpc,
        /// HTTP/2 over TLS.
        "GRPCS" | "grpcs" | "Grpcs" => Grpcs,
        /// FastCGI.
        "FCGI" | "fcgi" => FastCgi,
    }
}

words! {
    /// What keeps a client where it is.
    AffinityKind, "`cookie`" {
        /// A cookie.
        "cookie" => Cookie,
    }
}

words! {
    /// How long a client stays.
    AffinityMode, "`balanced` or `persistent`" {
        /// Until endpoints join.
        "balanced" => Balanced,
        /// As long as its endpoint is there.
        "persistent" => Persistent,
    }
}

words! {
    /// Whether a client stays with the canary or the main Service.
    CanaryBehaviour, "`sticky` or `legacy`" {
        /// It does.
        "sticky" => Sticky,
        /// It is drawn anew each time.
        "legacy" => Legacy,
    }
}

words! {
    /// With which requests of other sites a cookie is sent.
    SameSite, "`None`, `Lax` or `Strict`" {
        /// With all.
        "None" => Every,
        /// With those that lead there.
        "Lax" => Lax,
        /// With none.
        "Strict" => Strict,
    }
}

words! {
    /// How a user proves who he is.
    AuthType, "`basic` or `digest`" {
        /// By a password that is sent.
        "basic" => Basic,
        /// By a digest of it.
        "digest" => Digest,
    }
}

words! {
    /// How a Secret holds users.
    SecretForm, "`auth-file` or `auth-map`" {
        /// As lines under the key `auth`.
        "auth-file" => File,
        /// Each under a key of his own.
        "auth-map" => Map,
    }
}

words! {
    /// How many of several proofs are needed.
    Satisfy, "`any` or `all`" {
        /// One.
        "any" => Any,
        /// All.
        "all" => All,
    }
}

words! {
    /// Whether clients must show a certificate.
    VerifyClient, "`on`, `off`, `optional` or `optional_no_ca`" {
        /// They must.
        "on" => On,
        /// They need not.
        "off" => Off,
        /// One that they show must be sound.
        "optional" => Optional,
        /// Any passes, and the backend judges.
        "optional_no_ca" => OptionalNoCa,
    }
}

words! {
    /// Version of HTTP towards backends.
    HttpVersion, "`1.0` or `1.1`" {
        /// HTTP/1.0.
        "1.0" => Http10,
        /// HTTP/1.1.
        "1.1" => Http11,
    }
}
