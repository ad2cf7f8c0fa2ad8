//! Tasks with a name, whose panics are counted and logged.

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::metrics::Metrics;

/// Runs a task on the current runtime. A panic ends that task alone, and is counted and logged.
pub fn spawn<T: Send + 'static>(
    name: &'static str,
    metrics: &Arc<Metrics>,
    task: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    let watch = PanicWatch::new(name, metrics);
    tokio::spawn(async move {
        // Dropped last, also when the task unwinds.
        let _watch = watch;
        task.await
    })
}

/// Tells of a panic that unwinds through it.
pub struct PanicWatch {
    name: &'static str,
    metrics: Arc<Metrics>,
}

impl PanicWatch {
    /// Watches a task of this name.
    pub fn new(name: &'static str, metrics: &Arc<Metrics>) -> Self {
        Self { name, metrics: metrics.clone() }
    }
}

impl Drop for PanicWatch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.metrics.panics.inc();
            tracing::error!(task = self.name, "a task panicked and was ended");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_counted_and_an_end_is_not() {
        let metrics = Metrics::new();
        assert_eq!(spawn("sound", &metrics, async { 5 }).await.unwrap(), 5);
        assert_eq!(metrics.panics.get(), 0);
        let panicking = spawn("unsound", &metrics, async { panic!("as the test wants") });
        assert!(panicking.await.unwrap_err().is_panic());
        assert_eq!(metrics.panics.get(), 1);
    }
}
