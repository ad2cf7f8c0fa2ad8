//! Balance: how an endpoint is chosen, and who is kept at the one he had.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

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
}

fn root() -> Arc<str> {
    "/".into()
}

fn is_root(path: &Arc<str>) -> bool {
    &**path == "/"
}
