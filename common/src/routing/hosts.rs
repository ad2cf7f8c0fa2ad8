//! One host, compiled: its certificate and the table of its paths.

use std::{
    borrow::Borrow,
    hash::{Hash, Hasher},
    sync::Arc,
};

use super::paths::PathTable;
use crate::{
    id::CertificateId,
    model::{Route, VirtualHost},
};

/// The compiled paths of one virtual host, and its certificate.
#[derive(Debug)]
pub struct HostTable<R> {
    /// What it was built from; held so that the same address means the same host.
    source: Arc<VirtualHost>,
    /// `None` if the host has no routes, and then has no say in routing.
    paths: Option<PathTable<R>>,
}

impl<R> HostTable<R> {
    /// Compiles a host; of routes with the same path and type the first one counts.
    pub(super) fn build(source: &Arc<VirtualHost>, make: &mut impl FnMut(&Route) -> R) -> Self {
        let paths = (!source.routes.is_empty()).then(|| {
            let mut paths = PathTable::new();
            for route in &source.routes {
                paths.insert(&route.path, || make(route));
            }
            paths.shrink();
            paths
        });
        Self { source: source.clone(), paths }
    }

    /// Whether it was built from just this value.
    pub(super) fn is_built_from(&self, source: &Arc<VirtualHost>) -> bool {
        Arc::ptr_eq(&self.source, source)
    }

    /// Certificate for clients that name this host in SNI.
    pub fn certificate(&self) -> Option<&CertificateId> {
        self.source.certificate.as_ref()
    }

    /// Whether it decides about requests; a host with only a certificate does not.
    pub fn has_routes(&self) -> bool {
        self.paths.is_some()
    }

    /// The route for a canonical path.
    pub fn find(&self, path: &[u8]) -> Option<&Arc<R>> {
        self.paths.as_ref()?.find(path)
    }
}

/// A host name as a key that is looked up by bytes; cloning one copies no text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostName(pub(super) Arc<str>);

impl Hash for HostName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_bytes().hash(state);
    }
}

impl Borrow<[u8]> for HostName {
    fn borrow(&self) -> &[u8] {
        self.0.as_bytes()
    }
}
