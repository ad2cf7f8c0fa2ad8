//! Passive health: a peer that keeps failing gets no new requests for a while; and what becomes of many.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use super::Peer;
use crate::model;

/// What atomics count time from.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// How a peer did of late. Atomics only; a lost race costs one failure more or less.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// In a row.
    failures: AtomicU32,
    /// Without a success between.
    ejections: AtomicU32,
    /// Milliseconds since [`EPOCH`]; 0 if it was not ejected since its last success.
    ejected_until: AtomicU64,
}

impl Health {
    /// A peer without failures.
    pub(super) fn new() -> Self {
        // Begin to count before any time that this peer will be asked about.
        LazyLock::force(&EPOCH);
        Self::default()
    }

    pub(super) fn is_ejected(&self, now: Instant) -> bool {
        match self.ejected_until.load(Relaxed) {
            0 => false,
            until => millis(now) < until,
        }
    }

    /// Forgets failures. Writes only where there is something to forget: this runs once for each request.
    /// An ejection under way stays, since the success may be of a request that began before.
    pub(super) fn succeeded(&self) {
        for count in [&self.failures, &self.ejections] {
            if count.load(Relaxed) != 0 {
                count.store(0, Relaxed);
            }
        }
    }

    /// Counts a failure; true if there are enough of them to eject.
    pub(super) fn failed(&self, settings: &model::Health) -> bool {
        let failures = self.failures.fetch_add(1, Relaxed).saturating_add(1);
        settings.failures > 0 && failures >= settings.failures
    }

    /// Ejects from now on; false if another thread just did or it is ejected already.
    pub(super) fn eject(&self, settings: &model::Health, now: Instant) -> bool {
        let before = self.ejected_until.load(Relaxed);
        let now_millis = millis(now);
        if now_millis < before {
            return false;
        }
        let doublings = self.ejections.load(Relaxed).min(16);
        let time = settings.ejection.saturating_mul(1 << doublings).min(settings.longest_ejection);
        let until = now_millis.saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let won = self.ejected_until.compare_exchange(before, until, Relaxed, Relaxed).is_ok();
        if won {
            self.failures.store(0, Relaxed);
            self.ejections.fetch_add(1, Relaxed);
        }
        won
    }
}

/// Whether one more of these peers may be ejected.
pub(super) fn may_eject(settings: &model::Health, peers: &[Arc<Peer>], now: Instant) -> bool {
    (ejected(peers, now) + 1) * 100 <= peers.len() * usize::from(settings.most_ejected_percent)
}

/// Whether so many of these peers are ejected or unhealthy that it is better to use all of them.
pub(super) fn is_panic(settings: &model::Health, peers: &[Arc<Peer>], now: Instant) -> bool {
    let unwell = peers.iter().filter(|peer| !peer.is_well(now)).count();
    unwell * 100 > peers.len() * usize::from(settings.panic_percent)
}

fn ejected(peers: &[Arc<Peer>], now: Instant) -> usize {
    peers.iter().filter(|peer| peer.is_ejected(now)).count()
}

fn millis(now: Instant) -> u64 {
    u64::try_from(since_epoch(now).as_millis()).unwrap_or(u64::MAX / 2)
}

/// Time as atomics of peers count it.
pub(super) fn since_epoch(now: Instant) -> Duration {
    now.saturating_duration_since(*EPOCH)
}
