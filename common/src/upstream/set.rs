//! Peer sets: the peers of an upstream at one moment, those that are near, and how one of them is chosen.

use std::{
    cell::OnceCell,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;

use super::{
    Peer,
    balance::{Balancer, Draw},
    health,
};
use crate::model::{Backend, Endpoint, EndpointState, Endpoints};

/// The peers of an upstream at one moment, and how one of them is chosen.
#[derive(Debug)]
pub(super) struct PeerSet {
    /// What the peers were made from.
    pub(super) endpoints: Endpoints,
    ready: Vec<Arc<Peer>>,
    /// Get new requests only if none is ready.
    draining: Vec<Arc<Peer>>,
    /// Those of the ready ones that come first; empty if all are equally near.
    near: Vec<Arc<Peer>>,
    pub(super) balancer: Arc<Balancer>,
    /// Time in which the share of a peer that joined grows; `None` if no peer did.
    slow_start: Option<Duration>,
}

/// Who is asked for, beside what the set knows.
pub(super) struct Wanted<'a> {
    pub(super) now: Instant,
    /// Well-mixed; the key of the request if it has one.
    pub(super) random: u64,
    /// Chosen only if it is alone.
    pub(super) avoid: Option<&'a Peer>,
}

impl PeerSet {
    pub(super) fn empty(balancer: Arc<Balancer>) -> Self {
        let (ready, draining, near) = Default::default();
        Self { endpoints: Endpoints::default(), ready, draining, near, balancer, slow_start: None }
    }

    /// The set of these endpoints and their peers, which come in the same order, seen from this zone.
    pub(super) fn new(
        (endpoints, peers): (Endpoints, Vec<Arc<Peer>>),
        backend: &Backend,
        zone: Option<&str>,
        balancer: Arc<Balancer>,
    ) -> Self {
        let mut set = Self::empty(balancer);
        let nearness = Nearness::of(&endpoints, zone, backend.prefer_zone);
        for (endpoint, peer) in endpoints.iter().zip(peers) {
            match endpoint.state {
                EndpointState::Ready => {
                    if nearness.is_near(endpoint) {
                        set.near.push(peer.clone());
                    }
                    set.ready.push(peer);
                }
                EndpointState::Draining => set.draining.push(peer),
            }
        }
        if set.near.len() == set.ready.len() {
            set.near = Vec::new();
        }
        set.slow_start = backend.slow_start.filter(|_| set.ready.iter().any(|peer| peer.has_joined()));
        set.endpoints = endpoints;
        set
    }

    /// Those that new requests go to, near or not.
    pub(super) fn usable(&self) -> &[Arc<Peer>] {
        match self.ready.is_empty() {
            true => &self.draining,
            false => &self.ready,
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Peer>> {
        self.ready.iter().chain(&self.draining)
    }

    /// Chooses a peer: a near one if enough of those are well, else any. The settings are only looked at if they
    /// matter.
    pub(super) fn pick(&self, wanted: &Wanted<'_>, settings: &ArcSwap<Backend>) -> Option<&Arc<Peer>> {
        let Wanted { now, random: _, avoid } = *wanted;
        let is_other = |peer: &Peer| avoid.is_none_or(|avoid| avoid.id != peer.id);
        if !self.near.is_empty() && !health::is_panic(&settings.load().health, &self.near, now) {
            let near = self.choose(&self.near, wanted, &|peer| is_other(peer) && peer.is_well(now));
            if near.is_some() {
                return near;
            }
        }
        let peers = self.usable();
        if let [] | [_] = peers {
            return peers.first();
        }
        let panic = OnceCell::new();
        let is_panic = || health::is_panic(&settings.load().health, peers, now);
        let is_fit = |peer: &Peer| is_other(peer) && (peer.is_well(now) || *panic.get_or_init(is_panic));
        let chosen = self.choose(peers, wanted, &is_fit);
        chosen.or_else(|| self.choose(peers, wanted, &is_other)).or(peers.first())
    }

    /// Lets peers that joined of late take only their share, as long as others can take the rest.
    fn choose<'a>(
        &self,
        peers: &'a [Arc<Peer>],
        wanted: &Wanted<'_>,
        is_fit: &dyn Fn(&Peer) -> bool,
    ) -> Option<&'a Arc<Peer>> {
        let Wanted { now, random, avoid: _ } = *wanted;
        if let Some(window) = self.slow_start {
            let takes_share = |peer: &Peer| is_fit(peer) && peer.takes_share(window, now, random);
            let chosen = self.balancer.choose(peers, &Draw { random, now, is_fit: &takes_share });
            if chosen.is_some() {
                return chosen;
            }
        }
        self.balancer.choose(peers, &Draw { random, now, is_fit })
    }
}

/// By what endpoints are near.
enum Nearness<'z> {
    /// Nothing says so.
    Unknown,
    /// By what they are meant for.
    Hints(&'z str),
    /// By where they are.
    Zone(&'z str),
}

impl<'z> Nearness<'z> {
    /// Hints count if every ready endpoint has some: else those without them would get nothing (Kubernetes,
    /// Topology Aware Routing, safeguards).
    fn of(endpoints: &[Endpoint], zone: Option<&'z str>, prefer_zone: bool) -> Self {
        let Some(zone) = zone else { return Self::Unknown };
        let mut ready = endpoints.iter().filter(|endpoint| endpoint.state == EndpointState::Ready);
        match ready.all(|endpoint| !endpoint.hints.is_empty()) {
            true => Self::Hints(zone),
            false if prefer_zone => Self::Zone(zone),
            false => Self::Unknown,
        }
    }

    fn is_near(&self, endpoint: &Endpoint) -> bool {
        match self {
            Self::Unknown => false,
            Self::Hints(zone) => endpoint.hints.iter().any(|hint| **hint == **zone),
            Self::Zone(zone) => endpoint.zone.as_deref() == Some(zone),
        }
    }
}
