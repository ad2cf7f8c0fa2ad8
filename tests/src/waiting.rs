//! Waiting for what shall come true, with an end.

use std::time::Duration;

/// Longest time for anything that a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks until the answer is as wanted.
pub async fn eventually<T>(ask: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_within(PATIENCE, ask).await
}

/// The same for what takes its time.
pub async fn eventually_within<T>(patience: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(patience, asking).await.expect("it comes true before patience ends")
}

/// Asks until the answer is as wanted, on a thread that has nothing else to do.
///
/// # Panics
/// If it takes too long.
pub fn until<T>(ask: impl FnMut() -> Option<T>) -> T {
    until_within(PATIENCE, ask)
}

/// The same for what takes its time.
///
/// # Panics
/// If it takes longer than this.
pub fn until_within<T>(patience: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = std::time::Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < patience, "it comes true within {patience:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
