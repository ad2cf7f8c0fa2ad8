//! Until: ends a wait at an exact moment, for the few requests that have one.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep_until};

use crate::runtime::deadline::Elapsed;

pin_project! {
    /// A wait that may have an exact end.
    pub struct Until<F> {
        #[pin]
        future: F,
        end: Option<Pin<Box<Sleep>>>,
    }
}

/// Waits for a future, but not beyond `end`; then it gives [`Elapsed`]. Without an end it costs nothing.
pub fn until<F: Future>(end: Option<Instant>, future: F) -> Until<F> {
    Until { future, end: end.map(|end| Box::pin(sleep_until(end.into()))) }
}

impl<F: Future> Future for Until<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match (this.future.poll(cx), this.end) {
            (Poll::Ready(output), _) => Poll::Ready(Ok(output)),
            (Poll::Pending, Some(end)) => end.as_mut().poll(cx).map(|()| Err(Elapsed::Limit)),
            (Poll::Pending, None) => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, time::Duration};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_at_its_moment() {
        let start = tokio::time::Instant::now();
        let end = start + Duration::from_millis(7);
        assert_eq!(until(Some(end.into_std()), pending::<()>()).await, Err(Elapsed::Limit));
        assert_eq!(start.elapsed(), Duration::from_millis(7));
        assert_eq!(until(Some(end.into_std()), async { 1 }).await, Ok(1), "what is ready is not late");
        assert_eq!(until(None, async { 2 }).await, Ok(2));
    }
}
