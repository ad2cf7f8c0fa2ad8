//! Pauses: time that passes while load runs, and waiting for what shall come true.

use std::{
    future,
    time::{Duration, Instant},
};

/// How often is asked whether it has come true.
const STEP: Duration = Duration::from_millis(10);

/// Lets time pass.
pub async fn pass(time: Duration) {
    let _ = tokio::time::timeout(time, future::pending::<()>()).await;
}

/// Asks again and again until there is an answer; `None` if there is none in time.
pub async fn until<T>(patience: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    while start.elapsed() < patience {
        if let Some(answer) = ask().await {
            return Some(answer);
        }
        pass(STEP).await;
    }
    None
}
