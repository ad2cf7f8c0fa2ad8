//! Export: the task that takes spans out of their queue in batches and sends them.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

use super::{
    Recorder,
    collector::{Connection, SendError},
    otlp,
    queue::{Batch, Queue},
};
use crate::{model::Tracing, runtime::metrics::Metrics};

/// Longest time for one try to send a batch.
const TRY_TIME: Duration = Duration::from_secs(10);
/// Tries to send a batch before it is dropped.
const TRIES: u32 = 5;
/// Pause before the second try; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest time for the last spans when the program stops.
const LAST_SPANS: Duration = Duration::from_secs(5);

/// Where an engine has its spans sent.
#[derive(Debug)]
pub struct Exports {
    queues: mpsc::UnboundedSender<Queue>,
    /// Taken by who sends.
    waiting: Mutex<Option<mpsc::UnboundedReceiver<Queue>>>,
    /// Whether no further span comes.
    finished: watch::Sender<bool>,
}

impl Default for Exports {
    fn default() -> Self {
        let (queues, waiting) = mpsc::unbounded_channel();
        Self { queues, waiting: Mutex::new(Some(waiting)), finished: watch::Sender::new(false) }
    }
}

impl Exports {
    /// Takes spans by these settings. What is in the queue of other settings is sent by them.
    pub fn record(&self, settings: &Arc<Tracing>, metrics: &Metrics) -> Arc<Recorder> {
        let (recorder, queue) = Recorder::new(settings.clone(), metrics);
        // If nobody sends, the queue fills and what comes is counted.
        let _ = self.queues.send(queue);
        recorder
    }

    /// Says that no further span comes, so that the last ones are sent at once.
    pub fn finish(&self) {
        self.finished.send_replace(true);
    }

    /// Sends spans until [`finish`](Self::finish), and then what is left, within a few seconds. The first one to call it
    /// does; for all others there is nothing to do.
    pub fn run(&self, metrics: Arc<Metrics>) -> impl Future<Output = ()> + Send + use<> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        let finished = self.finished.subscribe();
        async move {
            if let Some(queues) = waiting {
                run(queues, metrics, finished).await;
            }
        }
    }
}

async fn run(
    mut queues: mpsc::UnboundedReceiver<Queue>,
    metrics: Arc<Metrics>,
    finished: watch::Receiver<bool>,
) {
    let export = |queue| Export::new(queue, metrics.clone(), finished.clone()).run();
    let mut running = FuturesUnordered::new();
    let mut until = finished.clone();
    loop {
        tokio::select! {
            queue = queues.recv() => match queue {
                Some(queue) => running.push(export(queue)),
                None => break,
            },
            Some(()) = running.next() => {}
            () = is_finished(&mut until) => break,
        }
    }
    while let Ok(queue) = queues.try_recv() {
        running.push(export(queue));
    }
    let rest = async { while running.next().await.is_some() {} };
    if timeout(LAST_SPANS, rest).await.is_err() {
        tracing::warn!("the collector of spans did not take the last ones in time; they are dropped");
    }
}

async fn is_finished(finished: &mut watch::Receiver<bool>) {
    // If the sender is gone nothing comes either.
    drop(finished.wait_for(|finished| *finished).await);
}

/// Sends the spans of one queue.
struct Export {
    queue: Queue,
    metrics: Arc<Metrics>,
    finished: watch::Receiver<bool>,
    connection: Connection,
    /// Whether the last try failed, which was said.
    is_failing: bool,
}

impl Export {
    fn new(queue: Queue, metrics: Arc<Metrics>, finished: watch::Receiver<bool>) -> Self {
        let connection = Connection::new(queue.settings.collector.clone(), metrics.clone());
        Self { queue, metrics, finished, connection, is_failing: false }
    }

    /// Until nobody puts spans in any more.
    async fn run(mut self) {
        loop {
            tokio::select! {
                () = sleep(self.queue.settings.delay) => {}
                () = self.queue.enough.notified() => {}
                () = is_finished(&mut self.finished) => {}
            }
            // What is put in after that is seen the next time.
            let is_last = *self.finished.borrow() || self.queue.is_closed();
            loop {
                let batch = self.queue.take();
                if batch.spans.is_empty() {
                    break;
                }
                self.deliver(batch).await;
            }
            if is_last {
                return;
            }
        }
    }

    /// Sends a batch, several times if it may help. When the program stops it is tried once more.
    async fn deliver(&mut self, batch: Batch) {
        let message = otlp::request(&self.queue.settings.service, &batch.spans);
        let mut pause = FIRST_PAUSE;
        for number in 1..=TRIES {
            let is_last = number == TRIES || *self.finished.borrow();
            let sent = timeout(TRY_TIME, self.connection.send(&message)).await;
            let error = match sent.unwrap_or(Err(SendError::Timeout)) {
                Ok(rejected) => return self.note_sent(batch, rejected),
                Err(error) => error,
            };
            self.note_failure(&error);
            if is_last || !error.is_worth_another_try() {
                return;
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = is_finished(&mut self.finished) => {}
            }
            pause *= 2;
        }
    }

    fn note_sent(&mut self, batch: Batch, rejected: u64) {
        let count = batch.spans.len() as u64;
        let rejected = rejected.min(count);
        batch.settle();
        self.metrics.spans_exported.inc_by(count - rejected);
        self.metrics.spans_dropped.add_many("rejected", rejected);
        if std::mem::take(&mut self.is_failing) {
            tracing::info!(collector = self.queue.settings.collector.authority(), "spans are sent again");
        }
    }

    fn note_failure(&mut self, error: &SendError) {
        if !std::mem::replace(&mut self.is_failing, true) {
            let collector = self.queue.settings.collector.authority();
            tracing::warn!(collector, %error, "spans cannot be sent; those that find no room are dropped");
        }
    }
}
