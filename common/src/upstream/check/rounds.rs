//! Rounds: one endpoint is asked every interval, and what its answers in a row make of it.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep},
};

use super::ask::{self, Fault};
use crate::{
    model::{HealthCheck, HealthCheckKind},
    runtime::metrics::{Metrics, UnhealthyEndpoint},
    upstream::{Checked, Peer, PeerId, Registry, Upstream},
};

/// Shortest time from one question to the next, whatever the check says.
const SHORTEST: Duration = Duration::from_millis(1);

/// What the questions to all endpoints of a backend have in common.
pub(super) struct Rounds {
    pub(super) registry: Arc<Registry>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) upstream: Arc<Upstream>,
    pub(super) check: HealthCheck,
    /// Each question takes one turn of the backend, then one of all.
    pub(super) turns: [Arc<Semaphore>; 2],
}

impl Rounds {
    /// Whether they still serve what is wanted.
    pub(super) fn are_of(&self, upstream: &Arc<Upstream>, check: &HealthCheck) -> bool {
        Arc::ptr_eq(&self.upstream, upstream) && self.check == *check
    }

    /// Asks a peer for ever.
    pub(super) async fn ask(self: Arc<Self>, peer: Arc<Peer>) {
        let asked = self.asked(&peer);
        let interval = self.check.interval.max(SHORTEST);
        let mut streak = Streak::default();
        // Counts the peer as long as it is known to be unhealthy and asked.
        let mut counted = (peer.checked() == Checked::Unhealthy).then(|| self.metrics.upstream.unhealthy());
        sleep(some_part(interval, peer.id)).await;
        loop {
            let Some(turns) = self.turn().await else { return };
            let start = Instant::now();
            let answer = Box::pin(ask::ask(&self.check, &asked)).await;
            drop(turns);
            let result = answer.as_ref().map_or_else(Fault::reason, |()| "passed");
            self.metrics.upstream.checks.add(result);
            if answer.as_ref().err().is_none_or(Fault::blames) {
                let turned = streak.note(answer.is_ok(), peer.checked(), &self.check);
                if let Some(is_healthy) = turned {
                    self.turn_to(is_healthy, &peer, answer.err(), &mut counted);
                }
            }
            sleep(interval.saturating_sub(start.elapsed())).await;
        }
    }

    /// The peer as it is asked: on the port of the check, and over HTTP/2 if that is what the question is in.
    fn asked(&self, peer: &Arc<Peer>) -> Arc<Peer> {
        let port = self.check.port.unwrap_or(peer.address.port());
        let http2 = matches!(self.check.kind, HealthCheckKind::Grpc { .. });
        peer.asked_at(port, http2)
    }

    async fn turn(&self) -> Option<[OwnedSemaphorePermit; 2]> {
        let [of_backend, of_all] = self.turns.clone();
        // Nobody closes them.
        Some([of_backend.acquire_owned().await.ok()?, of_all.acquire_owned().await.ok()?])
    }

    /// Says what the answers have made of a peer, unless the check has changed meanwhile.
    fn turn_to(
        &self,
        is_healthy: bool,
        peer: &Peer,
        fault: Option<Fault>,
        counted: &mut Option<UnhealthyEndpoint>,
    ) {
        let before = peer.checked();
        if !self.registry.apply_checked(&self.upstream, &self.check, peer, is_healthy) {
            return;
        }
        *counted = (!is_healthy).then(|| self.metrics.upstream.unhealthy());
        let (backend, address) = (&self.upstream.id, peer.address);
        match fault {
            Some(fault) => tracing::warn!(%backend, peer = %address, reason = fault.reason(), error = %fault,
                "endpoint unhealthy: it failed its health checks and gets no requests until it passes them"),
            None if before == Checked::Unhealthy => {
                tracing::info!(%backend, peer = %address, "endpoint healthy again: it passes its health checks");
            }
            None => {}
        }
    }
}

/// Answers in a row that are alike.
#[derive(Debug, Default)]
struct Streak {
    is_good: bool,
    length: u32,
}

impl Streak {
    /// Notes an answer; says what the peer is from now on if that is something else than before. One of which nothing
    /// is known is healthy with its first good answer, as it gets requests already.
    fn note(&mut self, is_good: bool, checked: Checked, check: &HealthCheck) -> Option<bool> {
        if self.is_good != is_good {
            *self = Self { is_good, length: 0 };
        }
        self.length = self.length.saturating_add(1);
        let enough = match checked {
            Checked::Unknown if is_good => 1,
            _ if is_good => check.healthy_after,
            _ => check.unhealthy_after,
        };
        let is_news = if is_good { Checked::Healthy } else { Checked::Unhealthy } != checked;
        (is_news && self.length >= enough).then_some(is_good)
    }
}

/// Some part of this time, another one for each peer and process, so that not all are asked at once.
fn some_part(time: Duration, peer: PeerId) -> Duration {
    let random = RandomState::new().hash_one(peer);
    let nanos = (time.as_nanos() * u128::from(random >> 32)) >> 32;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check() -> HealthCheck {
        HealthCheck {
            kind: HealthCheckKind::Tcp,
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(1),
            healthy_after: 2,
            unhealthy_after: 3,
            port: None,
        }
    }

    #[test]
    fn answers_in_a_row_decide() {
        use Checked::{Healthy, Unhealthy, Unknown};
        // What was known before, answers, and what each of them turned it to.
        let rows: [(Checked, &str, &str); 6] = [
            (Unknown, "+++", "+.."),
            (Unknown, "---", "..-"),
            (Healthy, "--+---", ".....-"),
            (Unhealthy, "+-++++", "...+.."),
            (Unhealthy, "-----", "....."),
            (Healthy, "---+-++-", "..-...+."),
        ];
        for (mut checked, answers, wanted) in rows {
            let mut streak = Streak::default();
            let seen: String = answers
                .chars()
                .map(|answer| match streak.note(answer == '+', checked, &check()) {
                    None => '.',
                    Some(is_healthy) => {
                        checked = if is_healthy { Healthy } else { Unhealthy };
                        if is_healthy { '+' } else { '-' }
                    }
                })
                .collect();
            assert_eq!(seen, wanted, "{answers}");
        }
    }

    #[test]
    fn questions_begin_within_the_first_interval_whatever_it_is() {
        let peer = Peer::new(
            ([192, 0, 2, 1], 80).into(),
            (&"shop".into(), &crate::model::Backend::default(), &None),
            std::sync::Weak::new(),
            None,
        );
        for interval in [Duration::ZERO, Duration::from_millis(1), Duration::from_secs(10), Duration::MAX] {
            assert!((0..20).all(|_| some_part(interval, peer.id) <= interval), "{interval:?}");
        }
    }
}
