//! Spreading: keeps workers even by what they have to do, which few connections with many requests would upset.

use std::{
    cell::Cell,
    future::pending,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Instant,
};

use super::{shared::Shared, worker::Worker};

/// What a request in flight weighs, in connections that wait for one.
const REQUEST: usize = 16;
/// Fewer requests than this are not worth moving a connection.
const LEAST: usize = 4;

/// What is going on at one worker. Each is alone in its memory line, as its worker writes it with every request.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct WorkerLoad {
    /// Open connections.
    pub connections: AtomicUsize,
    /// Requests and tunnels in flight. Written by the worker alone, so that no locked addition is needed.
    requests: AtomicUsize,
}

impl WorkerLoad {
    /// A request begins.
    pub fn begin(&self) {
        self.requests.store(self.requests() + 1, Relaxed);
    }

    /// A request ends.
    pub fn end(&self) {
        self.requests.store(self.requests().saturating_sub(1), Relaxed);
    }

    /// Requests in flight.
    pub fn requests(&self) -> usize {
        self.requests.load(Relaxed)
    }

    /// What it has to do, for comparing workers.
    fn weight(&self) -> usize {
        self.connections.load(Relaxed) + self.requests() * REQUEST
    }
}

/// The worker that shall serve a new connection, if it is another one than this: one that has clearly less to do.
pub fn better_worker(shared: &Shared, own: usize) -> Option<usize> {
    let weights = shared.workers.iter().map(WorkerLoad::weight).enumerate();
    let (index, _) = weights.min_by_key(|(_, weight)| *weight)?;
    let (own, least) = (&shared.workers[own], &shared.workers[index]);
    let (requests, fewest) = (own.requests(), least.requests());
    let connections = |load: &WorkerLoad| load.connections.load(Relaxed);
    let is_busier = requests > fewest + LEAST.max(fewest / 8);
    let is_fuller = requests >= fewest && connections(own) > connections(least) + 1 + connections(least) / 16;
    (is_busier || is_fuller).then_some(index)
}

/// Ends when an HTTP/2 connection with so many streams had better be opened anew, on a worker with less to do. That has
/// to be so at two looks in a row, and of each worker one connection goes at a time.
pub async fn crowded(worker: &Worker, streams: impl Fn() -> usize) {
    let every = worker.shared.settings.spread_every;
    if every.is_zero() || worker.shared.workers.len() == 1 {
        return pending().await;
    }
    let mut was_crowded = false;
    loop {
        // Not all connections at once.
        let part = (worker.random() % 1024) as u32;
        tokio::time::sleep(every / 2 + every * part / 1024).await;
        let loads = worker.shared.workers.iter().map(WorkerLoad::requests);
        let least = loads.min().unwrap_or_default();
        let is_crowded = helps(worker.shared.workers[worker.index].requests(), least, streams());
        if is_crowded && was_crowded && may_go(&worker.sent_away, every) {
            return;
        }
        was_crowded = is_crowded;
    }
}

/// Whether the busier of two workers has clearly less to do when a connection with so many streams moves to the other.
/// One that is alone never moves: its new worker would be as busy.
fn helps(own: usize, least: usize, streams: usize) -> bool {
    streams > 0 && least + streams + LEAST.max(own / 8) < own
}

fn may_go(sent_away: &Cell<Option<Instant>>, every: std::time::Duration) -> bool {
    let now = Instant::now();
    let may = sent_away.get().is_none_or(|last| now.duration_since(last) >= every);
    if may {
        sent_away.set(Some(now));
    }
    may
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_moves_only_where_that_makes_workers_more_even() {
        // Requests here and at the worker with the least, streams of the connection.
        let rows = [
            ((100, 0, 100), false),
            ((100, 0, 50), true),
            ((100, 0, 80), true),
            ((100, 0, 90), false),
            ((100, 40, 50), false),
            ((100, 40, 40), true),
            ((100, 0, 0), false),
            ((6, 0, 3), false),
            ((9, 0, 4), true),
            ((50, 50, 10), false),
        ];
        for ((own, least, streams), wanted) in rows {
            assert_eq!(helps(own, least, streams), wanted, "{own} {least} {streams}");
            // Who has moved has no reason to move back.
            assert!(!wanted || !helps(least + streams, own - streams, streams), "{own} {least} {streams}");
        }
    }

    #[test]
    fn one_connection_goes_at_a_time() {
        let sent_away = Cell::new(None);
        assert!(may_go(&sent_away, std::time::Duration::from_secs(60)));
        assert!(!may_go(&sent_away, std::time::Duration::from_secs(60)));
    }
}
