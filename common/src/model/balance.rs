//! Balance: how an endpoint is chosen, and who is kept at the one he had.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::filter::Template;

/// How an endpoint is chosen among those that are ready.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Balance {
    /// One after the other, from a random start; every endpoint is visited.
    #[default]
    RoundRobin,
    /// The one with fewer requests in flight of two drawn at random.
    LeastRequests,
    /// The one that is expected to answer sooner of two drawn at random: by the time its answers took of late, where
    /// a slow one counts at once and is forgotten slowly, and by its requests in flight.
    Ewma,
    /// Always the same one for the same key, as long as it is well; when one of many goes only its keys move.
    Hash(HashKey),
}

/// What of a request decides its endpoint. A request without it goes to any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HashKey {
    /// Value of this field, the first if there are several; the name is in lower case.
    Header(Arc<str>),
    /// Value of the cookie of this name.
    Cookie(Arc<str>),
    /// Address of the client, after trusted proxies have been believed.
    Source,
    /// Text with variables; what a request does not have of them is empty.
    Text(Template),
}

/// Keeps a client at the endpoint that answered it first, by a cookie, while that endpoint is well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Affinity {
    /// Name of the cookie.
    pub cookie: Arc<str>,
    /// Path that the cookie is for (RFC 6265 §5.2.4).
    #[serde(default = "root", skip_serializing_if = "is_root")]
    pub path: Arc<str>,
    /// How long the client keeps the cookie; `None` is until it is closed.
    #[serde(default, with = "super::duration::option", skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Duration>,
    /// The same as a date, for clients that know no other way.
    #[serde(default, with = "super::duration::option", skip_serializing_if = "Option::is_none")]
    pub expires: Option<Duration>,
    /// Domain that the cookie is for; `None` is the host alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<Arc<str>>,
    /// With which requests of other sites it is sent.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub same_site: SameSite,
    /// Whether it is sent over TLS alone.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub secure: SecureCookie,
    /// Whether a client also stays with the backend that it had, of several of a route that share requests by weight.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub holds_backend: bool,
}

impl Affinity {
    /// One by a cookie of this name, with defaults for all else.
    pub fn named(cookie: &str) -> Self {
        Self {
            cookie: cookie.into(),
            path: root(),
            ttl: None,
            expires: None,
            domain: None,
            same_site: SameSite::default(),
            secure: SecureCookie::default(),
            holds_backend: false,
        }
    }
}

/// With which requests of other sites a cookie is sent (`SameSite`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SameSite {
    /// With those that lead a user there.
    #[default]
    Lax,
    /// With none.
    Strict,
    /// With all.
    None,
    /// As the client likes.
    Unsaid,
}

/// Whether a cookie is sent over TLS alone (`Secure`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SecureCookie {
    /// It is not.
    #[default]
    Never,
    /// It is if it was set over TLS.
    OverTls,
    /// It is.
    Always,
}

fn root() -> Arc<str> {
    "/".into()
}

fn is_root(path: &Arc<str>) -> bool {
    &**path == "/"
}
