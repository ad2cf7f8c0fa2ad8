//! TLS passthrough: where the connections of a host go whose TLS its endpoints end, and who may come.

use std::{net::IpAddr, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{PathMatch, Retry, Route, TcpRoute};
use crate::{
    filter::Access,
    id::{ObjectRef, RouteId},
};

/// Connections of clients that name a host in SNI go to an endpoint as they are, byte by byte: nothing of what is said
/// in them is known here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsPassthrough {
    /// What its connections are called in the access log.
    pub id: RouteId,
    /// The object that declares it.
    pub source: ObjectRef,
    /// Where they go. What a backend says of its protocol and of TLS does not count for them.
    pub to: TcpRoute,
    /// Lists of addresses, each of which must let a client in; the connections of others are reset.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub access: Vec<Access>,
    /// Leave its connections out of the access log.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub unlogged: bool,
}

impl TlsPassthrough {
    /// Whether a client with this address may come.
    pub fn lets_in(&self, client: IpAddr) -> bool {
        self.access.iter().all(|access| access.lets_in(client))
    }

    /// The same as a route, which has what every one has: counters, and backends to choose from.
    pub fn route(&self) -> Route {
        let path = PathMatch::Prefix(Arc::from("/"));
        let retry = Retry { attempts: self.to.connect_retries, ..Retry::default() };
        let made = Route::new(self.id.clone(), self.source.clone(), path, self.to.backends.clone());
        Route { retry: retry.into(), unlogged: self.unlogged, ..made }
    }
}
