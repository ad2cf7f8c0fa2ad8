//! The bounded queue between workers and the task that sends spans.

use std::sync::Arc;

use tokio::sync::{Notify, mpsc};

use crate::{
    model::Tracing,
    runtime::metrics::{Metrics, Reasons},
};

/// Takes the spans of all workers.
#[derive(Debug)]
pub struct Recorder {
    settings: Arc<Tracing>,
    spans: mpsc::Sender<Vec<u8>>,
    /// Wakes who sends spans before its time, as there are enough of them.
    enough: Arc<Notify>,
    dropped: Arc<Reasons>,
}

/// The other side of a [`Recorder`].
#[derive(Debug)]
pub(super) struct Queue {
    pub settings: Arc<Tracing>,
    pub enough: Arc<Notify>,
    spans: mpsc::Receiver<Vec<u8>>,
    dropped: Arc<Reasons>,
}

/// Spans that are sent together; those that are not sent are counted as dropped.
#[derive(Debug)]
pub(super) struct Batch {
    pub spans: Vec<Vec<u8>>,
    dropped: Arc<Reasons>,
}

impl Recorder {
    pub(super) fn new(settings: Arc<Tracing>, metrics: &Metrics) -> (Arc<Self>, Queue) {
        let (sender, receiver) = mpsc::channel(settings.queue.max(1) as usize);
        let (enough, dropped) = (Arc::<Notify>::default(), metrics.spans_dropped.clone());
        let queue = Queue {
            settings: settings.clone(),
            enough: enough.clone(),
            spans: receiver,
            dropped: dropped.clone(),
        };
        (Arc::new(Self { settings, spans: sender, enough, dropped }), queue)
    }

    /// What it was made for.
    pub fn settings(&self) -> &Arc<Tracing> {
        &self.settings
    }

    /// Takes a span; never waits. One that finds no room is dropped and counted.
    pub fn keep(&self, span: Vec<u8>) {
        if self.spans.try_send(span).is_err() {
            self.dropped.add("queue_full");
            return;
        }
        let waiting = self.spans.max_capacity() - self.spans.capacity();
        if waiting >= self.settings.batch as usize {
            self.enough.notify_one();
        }
    }
}

impl Queue {
    /// Takes the oldest spans out, as many as may be sent at once; empty if there are none.
    pub(super) fn take(&mut self) -> Batch {
        let most = self.settings.batch.max(1) as usize;
        let mut spans = Vec::new();
        while spans.len() < most {
            let Ok(span) = self.spans.try_recv() else { break };
            spans.push(span);
        }
        Batch { spans, dropped: self.dropped.clone() }
    }

    /// Whether nobody can put a span into it any more.
    pub(super) fn is_closed(&self) -> bool {
        self.spans.is_closed()
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.dropped.add_many("unsent", self.spans.len() as u64);
    }
}

impl Batch {
    /// Notes that they were sent, so that none of them is lost.
    pub(super) fn settle(mut self) {
        self.spans.clear();
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.dropped.add_many("export_failed", self.spans.len() as u64);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::model::{Collector, OtlpProtocol};

    #[test]
    fn a_full_queue_drops_what_comes_and_counts_it() {
        let metrics = Metrics::new();
        let collector = Collector::at(OtlpProtocol::Grpc, "otel", 4317).unwrap();
        let settings = Tracing { queue: 5, batch: 3, ..Tracing::new(collector, "edge") };
        let (recorder, mut queue) = Recorder::new(settings.into(), &metrics);
        (0..2).for_each(|id| recorder.keep(vec![id]));
        assert!(queue.enough.notified().now_or_never().is_none(), "there are not enough for a batch");
        (2..7).for_each(|id| recorder.keep(vec![id]));
        assert!(queue.enough.notified().now_or_never().is_some());
        let counts = || metrics.spans_dropped.counts().collect::<Vec<_>>();
        assert_eq!(counts(), [("queue_full", 2)]);
        let first = queue.take();
        assert_eq!(first.spans, [[0], [1], [2]]);
        first.settle();
        drop(queue.take());
        assert_eq!(counts(), [("queue_full", 2), ("export_failed", 2)]);
        recorder.keep(vec![9]);
        drop(recorder);
        assert!(queue.is_closed());
        drop(queue);
        assert_eq!(counts(), [("queue_full", 2), ("export_failed", 2), ("unsent", 1)]);
    }
}
