//! Counters of listeners: connections and TLS handshakes.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder, metrics::MetricType};

use super::{Reasons, count, names};
use crate::id::ListenerName;

/// Counters of one listener.
#[derive(Debug, Default)]
pub struct ListenerMetrics {
    accepted: AtomicU64,
    closed: Reasons,
    handshakes: AtomicU64,
    handshakes_failed: Reasons,
}

impl ListenerMetrics {
    /// A connection was accepted. Each call is followed by one of [`closed`](Self::closed).
    pub fn accepted(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection was closed for this reason.
    pub fn closed(&self, reason: &'static str) {
        self.closed.add(reason);
    }

    /// A TLS handshake succeeded.
    pub fn handshake(&self) {
        self.handshakes.fetch_add(1, Ordering::Relaxed);
    }

    /// A TLS handshake failed for this reason.
    pub fn handshake_failed(&self, reason: &'static str) {
        self.handshakes_failed.add(reason);
    }

    /// Connections open now.
    pub fn open(&self) -> u64 {
        // The closed ones first: a connection that comes and goes in between must not be missing.
        let closed = self.closed.total();
        self.accepted.load(Ordering::Relaxed).saturating_sub(closed)
    }
}

/// The counters of all listeners. They stay when a listener goes: there are few.
#[derive(Debug, Default)]
pub(super) struct Listeners(Mutex<BTreeMap<ListenerName, Arc<ListenerMetrics>>>);

impl Listeners {
    pub(super) fn get(&self, name: &ListenerName) -> Arc<ListenerMetrics> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.entry(name.clone()).or_default().clone()
    }
}

impl Collector for Listeners {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let labelled = || held.iter().map(|(name, metrics)| (("listener", name.as_str()), metrics));
        for (number, (name, help)) in [(0, names::ACCEPTED), (1, names::HANDSHAKES)] {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (label, metrics) in labelled() {
                let counts = [&metrics.accepted, &metrics.handshakes];
                count(&mut family.encode_family(&[label])?, counts[number].load(Ordering::Relaxed))?;
            }
        }
        for (number, (name, help)) in [(0, names::CLOSED), (1, names::HANDSHAKES_FAILED)] {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (label, metrics) in labelled() {
                for (reason, counted) in [&metrics.closed, &metrics.handshakes_failed][number].counts() {
                    count(&mut family.encode_family(&[label, ("reason", reason)])?, counted)?;
                }
            }
        }
        let (name, help) = names::OPEN;
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (label, metrics) in labelled() {
            family.encode_family(&[label])?.encode_gauge(&metrics.open())?;
        }
        Ok(())
    }
}
