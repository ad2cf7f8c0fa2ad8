//! One host, compiled: its certificate, the table of its paths, and where its TLS goes if it does not end here.

use std::{
    borrow::Borrow,
    cmp::Reverse,
    hash::{Hash, Hasher},
    sync::Arc,
};

use super::{
    conditions::{self, Asked},
    level::Level,
};
use crate::{
    id::CertificateId,
    model::{ClientVerification, Route, Shared, TlsPassthrough, VirtualHost},
};

/// The compiled routes of one virtual host, and its certificate.
#[derive(Debug)]
pub struct HostTable<R> {
    /// Certificate for clients that name this host in SNI.
    certificate: Option<CertificateId>,
    /// How those clients are verified.
    client_verification: Option<Arc<ClientVerification>>,
    /// Where their connections go if their TLS does not end here; few have it.
    passthrough: Option<Box<Passthrough<R>>>,
    /// Routes of one priority each, the highest first; none if the host has no say in routing.
    levels: Box<[Level<R>]>,
}

/// Where the connections of a host go whose TLS does not end here. `R` is what a route carries at run time.
#[derive(Debug)]
pub struct Passthrough<R> {
    /// Who may come, and where to.
    pub settings: Arc<TlsPassthrough>,
    /// The same at run time.
    pub route: Arc<R>,
}

impl<R> Clone for Passthrough<R> {
    fn clone(&self) -> Self {
        Self { settings: self.settings.clone(), route: self.route.clone() }
    }
}

impl<R> HostTable<R> {
    /// Compiles a host.
    pub(super) fn build(source: &VirtualHost, make: &mut impl FnMut(&Shared<Route>) -> R) -> Self {
        let mut routes: Vec<&Shared<Route>> = source.routes.iter().collect();
        routes.sort_by(|one, other| {
            let priority = |route: &Route| Reverse(route.priority);
            priority(one)
                .cmp(&priority(other))
                .then_with(|| conditions::order(&one.conditions).cmp(&conditions::order(&other.conditions)))
                .then(one.rank.cmp(&other.rank))
        });
        let levels = routes.chunk_by(|one, other| one.priority == other.priority);
        let passthrough = source.tls_passthrough.as_ref().map(|settings| {
            let route = Arc::new(make(&settings.route().into()));
            Box::new(Passthrough { settings: settings.clone(), route })
        });
        Self {
            certificate: source.certificate.clone(),
            client_verification: source.client_verification.clone(),
            passthrough,
            levels: levels.map(|routes| Level::build(routes, make)).collect(),
        }
    }

    /// Certificate for clients that name this host in SNI.
    pub fn certificate(&self) -> Option<&CertificateId> {
        self.certificate.as_ref()
    }

    /// How clients that name this host in SNI are verified.
    pub fn client_verification(&self) -> Option<&Arc<ClientVerification>> {
        self.client_verification.as_ref()
    }

    /// Where connections of clients go that name this host in SNI, if their TLS does not end here.
    pub fn passthrough(&self) -> Option<&Passthrough<R>> {
        self.passthrough.as_deref()
    }

    /// Whether it decides about requests; a host with only a certificate does not.
    pub fn has_routes(&self) -> bool {
        !self.levels.is_empty()
    }

    /// The route for a request with this canonical path: of the highest priority that has one.
    pub fn find(&self, path: &[u8], asked: &Asked<'_>) -> Option<&Arc<R>> {
        self.levels.iter().find_map(|level| level.find(path, asked))
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
