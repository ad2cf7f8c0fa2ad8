//! A request that is being sent while its answer is waited for or passed on.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use super::body::PumpError;

/// The sending of a request: polled beside whatever else the exchange waits for.
pub struct Sending<'p, F> {
    future: Pin<&'p mut F>,
    result: Option<Result<(), PumpError>>,
    abandoned: bool,
}

impl<'p, F: Future<Output = Result<(), PumpError>>> Sending<'p, F> {
    /// A request of which nothing has been sent yet.
    pub fn new(future: Pin<&'p mut F>) -> Self {
        Self { future, result: None, abandoned: false }
    }

    /// Sends what can be sent now; says whether sending has ended, well or not.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        if self.result.is_none()
            && !self.abandoned
            && let Poll::Ready(result) = self.future.as_mut().poll(cx)
        {
            self.result = Some(result);
        }
        self.result.is_some() || self.abandoned
    }

    /// Sends nothing more.
    pub fn abandon(&mut self) {
        self.abandoned = true;
    }

    /// How sending ended; `None` while it has not.
    pub fn result(&self) -> Option<&Result<(), PumpError>> {
        self.result.as_ref()
    }
}
