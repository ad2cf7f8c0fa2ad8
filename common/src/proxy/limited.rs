//! Limited: a request body that breaks off as soon as it is larger than the route allows.

use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::{body::Incoming, exchange::Exchange};
use crate::{
    filter::Filter,
    http1::BodyError,
    message::{Fields, Known},
};

/// A body that may only be so large.
pub struct Limited<'a> {
    inner: Incoming<'a>,
    /// What may still come.
    left: u64,
}

impl<'a> Limited<'a> {
    /// Lets no more than this through of a body.
    pub fn new(inner: Incoming<'a>, most_bytes: u64) -> Self {
        Self { inner, left: most_bytes }
    }

    /// Limits the body of a request that does not say how large it is, if filters of its routes want it.
    pub fn apply(x: &Exchange<'_>, body: &mut Incoming<'a>) {
        if x.head.fields.contains(Known::ContentLength) {
            return;
        }
        let filters = x.route.iter().chain(&x.outer).flat_map(|route| &route.route.filters);
        let limits = filters.filter_map(|filter| match filter {
            Filter::BodyLimit(limit) if limit.bytes > 0 => Some(limit.bytes),
            _ => None,
        });
        if let Some(most) = limits.min() {
            let inner = std::mem::replace(body, Incoming::Taken(Fields::default()));
            *body = Incoming::Limited(Box::new(Self::new(inner, most)));
        }
    }

    /// The body itself.
    pub fn inner(&self) -> &Incoming<'a> {
        &self.inner
    }

    /// See [`Incoming::poll_data`].
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, BodyError>> {
        let more = ready!(self.inner.poll_data(cx))?;
        match self.inner.data().len() as u64 > self.left {
            true => Poll::Ready(Err(BodyError::TooLarge)),
            false => Poll::Ready(Ok(more)),
        }
    }

    /// See [`Incoming::consume`].
    pub fn consume(&mut self, count: usize) {
        self.left = self.left.saturating_sub(count as u64);
        self.inner.consume(count);
    }

    /// Takes payload that is there, up to so many bytes.
    pub fn take(&mut self, most_bytes: usize) -> Bytes {
        let data = self.inner.take(most_bytes);
        self.left = self.left.saturating_sub(data.len() as u64);
        data
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::{super::replay::Replay, *};

    #[test]
    fn a_body_breaks_off_when_it_is_larger() {
        for (size, most, whole) in [(10, 10, true), (11, 10, false), (0, 1, true)] {
            let inner = Incoming::Replay(Box::new(Replay::of(vec![b'x'; size])));
            let mut body = Limited::new(inner, most);
            let result = body.poll_data(&mut Context::from_waker(Waker::noop()));
            match whole {
                true => assert!(matches!(result, Poll::Ready(Ok(more)) if more == (size > 0)), "{size}"),
                false => assert!(matches!(result, Poll::Ready(Err(BodyError::TooLarge))), "{size}"),
            }
        }
    }

    #[test]
    fn what_has_been_used_counts() {
        let inner = Incoming::Replay(Box::new(Replay::of(vec![b'x'; 30])));
        let mut body = Limited::new(inner, 30);
        body.consume(10);
        assert_eq!((body.left, body.take(usize::MAX).len(), body.left), (20, 20, 0));
    }
}
