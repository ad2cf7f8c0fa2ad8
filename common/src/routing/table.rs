//! The hosts of one route set: which entry decides about a request, and which certificate belongs to a name.

use std::{collections::HashSet, sync::Arc};

use super::{
    conditions::Asked,
    host_map::HostMap,
    hosts::{HostName, HostTable, Passthrough},
};
use crate::{
    id::CertificateId,
    model::{ClientVerification, HostMatch, Route, RouteSet, Shared, SharedMap, VirtualHost},
};

/// All hosts of one route set with its fallback. `R` is what a route carries at run time.
#[derive(Debug)]
pub struct Table<R> {
    exact: HostMap<R>,
    /// By what follows the first label and its dot.
    wildcard: HostMap<R>,
    any: Option<Arc<HostTable<R>>>,
    fallback: Option<Arc<R>>,
    /// Hosts whose clients are verified.
    verified: usize,
    /// Hosts whose TLS does not end here.
    passed: usize,
    /// What the hosts were built from.
    source: SharedMap<HostMatch, Arc<VirtualHost>>,
}

impl<R> Table<R> {
    /// Compiles a route set, calling `make` for each of its routes.
    ///
    /// Hosts that are the same in `previous` are taken over as they are, `make` is not called for their routes, and what
    /// both tables hold of them is shared: the cost is that of the hosts that differ.
    ///
    /// Of the routes of a host one of a higher priority comes first; then an exact path, then a pattern, the longer
    /// one first, then the longer prefix; then one that names methods, that has more conditions on header fields,
    /// then on the query, that names callers; then one of a lower rank; and then the first one.
    pub fn build(set: &RouteSet, previous: Option<&Self>, mut make: impl FnMut(&Shared<Route>) -> R) -> Self {
        let mut table = previous.map_or_else(|| Self::with_room(set.hosts.len()), Self::copy);
        for difference in set.hosts.differences(previous.map_or(&SharedMap::new(), |known| &known.source)) {
            let compiled = difference.after.map(|source| Arc::new(HostTable::build(source, &mut make)));
            table.set(difference.key, compiled);
        }
        table.fallback = set.fallback.clone().map(|route| Arc::new(make(&Shared::from(route))));
        table.source = set.hosts.clone();
        table
    }

    fn with_room(hosts: usize) -> Self {
        Self {
            exact: HostMap::with_room(hosts),
            wildcard: HostMap::with_room(0),
            any: None,
            fallback: None,
            verified: 0,
            passed: 0,
            source: SharedMap::new(),
        }
    }

    fn copy(&self) -> Self {
        Self {
            exact: self.exact.clone(),
            wildcard: self.wildcard.clone(),
            any: self.any.clone(),
            fallback: None,
            verified: self.verified,
            passed: self.passed,
            source: SharedMap::new(),
        }
    }

    fn set(&mut self, host: &HostMatch, compiled: Option<Arc<HostTable<R>>>) {
        let verified = |entry: Option<&Arc<HostTable<R>>>| {
            usize::from(entry.is_some_and(|entry| entry.client_verification().is_some()))
        };
        self.verified += verified(compiled.as_ref());
        self.verified -= verified(self.entry(host));
        let passed = |entry: Option<&Arc<HostTable<R>>>| {
            usize::from(entry.is_some_and(|entry| entry.passthrough().is_some()))
        };
        self.passed += passed(compiled.as_ref());
        self.passed -= passed(self.entry(host));
        let (map, name) = match host {
            HostMatch::Exact(name) => (&mut self.exact, name),
            HostMatch::Wildcard(suffix) => (&mut self.wildcard, suffix),
            HostMatch::Any => {
                self.any = compiled;
                return;
            }
        };
        match compiled {
            Some(compiled) => map.insert(name.clone(), compiled),
            None => map.remove(name),
        }
    }

    /// The entry of just this name; nothing is matched.
    pub fn entry(&self, host: &HostMatch) -> Option<&Arc<HostTable<R>>> {
        match host {
            HostMatch::Exact(name) => self.exact.get(name.as_bytes()),
            HostMatch::Wildcard(suffix) => self.wildcard.get(suffix.as_bytes()),
            HostMatch::Any => self.any.as_ref(),
        }
    }

    /// The route for a request; `None` if no rule matches and there is no fallback.
    ///
    /// `host` is in matching form (lower case, without port and trailing dot), empty if the request has none;
    /// `path` is canonical. The most specific host entry with routes decides alone: if none of its routes
    /// matches, the fallback answers and not a less specific host. Takes no lock, and allocates only where a condition
    /// looks at a header field that is there several times or at a value with escapes.
    pub fn find(&self, host: &[u8], path: &[u8], asked: &Asked<'_>) -> Option<&Arc<R>> {
        let entry = self.find_host(host);
        entry.and_then(|entry| entry.find(path, asked)).or(self.fallback.as_ref())
    }

    /// As [`find`](Self::find) by the name of a service: the entry for the name with its port decides if there is just
    /// this one, else that of the name alone.
    pub fn find_service(
        &self,
        (with_port, name): (&[u8], &[u8]),
        path: &[u8],
        asked: &Asked<'_>,
    ) -> Option<&Arc<R>> {
        let entry = self.find_service_host(with_port, name);
        entry.and_then(|entry| entry.find(path, asked)).or(self.fallback.as_ref())
    }

    /// The host entry that decides about requests for this service.
    pub fn find_service_host(&self, with_port: &[u8], name: &[u8]) -> Option<&Arc<HostTable<R>>> {
        let exact = self.exact.get(with_port).filter(|entry| entry.has_routes());
        exact.or_else(|| self.find_host(name))
    }

    /// The host entry that decides about requests for this name.
    pub fn find_host(&self, host: &[u8]) -> Option<&Arc<HostTable<R>>> {
        self.find_entry(host, |entry| entry.has_routes())
    }

    /// The most specific entry for a name that decides.
    fn find_entry(&self, host: &[u8], decides: impl Fn(&HostTable<R>) -> bool) -> Option<&Arc<HostTable<R>>> {
        let decides = |entry: &&Arc<HostTable<R>>| decides(entry);
        let exact = self.exact.get(host).filter(decides);
        exact
            .or_else(|| self.wildcard_entry(host).filter(decides))
            .or_else(|| self.any.as_ref().filter(decides))
    }

    /// Certificate for an SNI name in lower case: that of the exact entry, else that of the wildcard entry.
    /// `None` means the listener's default certificate.
    pub fn find_certificate(&self, server_name: &[u8]) -> Option<&CertificateId> {
        let exact = self.exact.get(server_name).and_then(|entry| entry.certificate());
        exact.or_else(|| self.wildcard_entry(server_name)?.certificate())
    }

    /// Whether the clients of any host are verified.
    pub fn verifies_clients(&self) -> bool {
        self.verified > 0
    }

    /// How clients that name this host, in lower case, are verified: as the entry says that decides about its requests.
    pub fn find_verification(&self, host: &[u8]) -> Option<&Arc<ClientVerification>> {
        match self.verifies_clients() {
            true => self.find_host(host)?.client_verification(),
            false => None,
        }
    }

    /// Whether the TLS of any host does not end here.
    pub fn passes_tls_through(&self) -> bool {
        self.passed > 0
    }

    /// Where connections go whose clients name this host in SNI, in lower case, if their TLS does not end here: as the
    /// most specific entry says that has routes or passes TLS through.
    pub fn find_passthrough(&self, server_name: &[u8]) -> Option<&Passthrough<R>> {
        match self.passes_tls_through() {
            true => {
                let decides = |entry: &HostTable<R>| entry.has_routes() || entry.passthrough().is_some();
                self.find_entry(server_name, decides)?.passthrough()
            }
            false => None,
        }
    }

    /// Whether there is an entry for this name in lower case, by itself or by a wildcard; that for every name does not
    /// count.
    pub fn knows(&self, server_name: &[u8]) -> bool {
        self.exact.get(server_name).is_some() || self.wildcard_entry(server_name).is_some()
    }

    /// What follows the first label of the exact names that have two, without their ports: the namespaces, where hosts are
    /// names of services.
    pub fn namespaces(&self) -> HashSet<Box<[u8]>> {
        let second = |host: &HostName| {
            let name = host.0.split(':').next()?.as_bytes();
            let (_, second) = name.split_at_checked(memchr::memchr(b'.', name)? + 1)?;
            (!second.is_empty() && !second.contains(&b'.')).then(|| Box::from(second))
        };
        self.exact.names().filter_map(second).collect()
    }

    /// How many shards of exact names it does not share with another table.
    #[cfg(test)]
    pub(super) fn own_shards(&self, other: &Self) -> usize {
        self.exact.own_shards(&other.exact)
    }

    fn wildcard_entry(&self, host: &[u8]) -> Option<&Arc<HostTable<R>>> {
        if self.wildcard.is_empty() {
            return None;
        }
        match memchr::memchr(b'.', host)? {
            0 => None,
            dot => self.wildcard.get(&host[dot + 1..]),
        }
    }
}
