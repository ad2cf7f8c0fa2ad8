//! Shaped: the body of an answer that is let through no faster than the route allows.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{body::Incoming, exchange::Exchange};
use crate::{
    filter::{Filter, ResponseRate},
    http1::BodyError,
};

/// Most bytes that are waited for at once, so that what comes is spread over the time.
const MOST_PIECE_BYTES: u64 = 16 << 10;

/// A body that may only come so fast. What belongs to the first second may come at once (ingress-nginx).
pub struct Shaped<'a> {
    inner: Incoming<'a>,
    rate: ResponseRate,
    /// From then on time counts.
    start: Instant,
    /// What has come.
    passed: u64,
    /// What may come now.
    room: u64,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl<'a> Shaped<'a> {
    /// Lets a body through at this rate, as if it had begun then.
    pub fn new(inner: Incoming<'a>, rate: ResponseRate, start: Instant) -> Self {
        Self { inner, rate, start, passed: 0, room: 0, sleep: None }
    }

    /// The body of an answer, shaped if a filter of its route wants it; of several the slowest counts.
    pub fn apply(x: &Exchange<'_>, body: Incoming<'a>) -> Incoming<'a> {
        let filters = x.route.iter().chain(&x.outer).flat_map(|route| &route.route.filters);
        let rates = filters.filter_map(|filter| match filter {
            Filter::ResponseRate(rate) if rate.bytes_per_second > 0 => Some(*rate),
            _ => None,
        });
        match rates.min_by_key(|rate| rate.bytes_per_second) {
            Some(rate) => Incoming::Shaped(Box::new(Self::new(body, rate, Instant::from_std(x.start())))),
            None => body,
        }
    }

    /// The body itself.
    pub fn inner(&self) -> &Incoming<'a> {
        &self.inner
    }

    /// See [`Incoming::poll_data`].
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, BodyError>> {
        if !ready!(self.inner.poll_data(cx))? {
            return Poll::Ready(Ok(false));
        }
        while self.room == 0 {
            self.room = self.room_at(Instant::now());
            if self.room == 0 {
                let until = self.next_piece();
                let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(until)));
                ready!(sleep.as_mut().poll(cx));
            }
            self.sleep = None;
        }
        Poll::Ready(Ok(true))
    }

    /// See [`Incoming::data`].
    pub fn data(&self) -> &[u8] {
        let data = self.inner.data();
        &data[..data.len().min(usize::try_from(self.room).unwrap_or(usize::MAX))]
    }

    /// See [`Incoming::consume`].
    pub fn consume(&mut self, count: usize) {
        self.passed += count as u64;
        self.room = self.room.saturating_sub(count as u64);
        self.inner.consume(count);
    }

    /// Takes payload that may come, up to so many bytes.
    pub fn take(&mut self, most_bytes: usize) -> Bytes {
        let room = self.data();
        let data = Bytes::copy_from_slice(&room[..room.len().min(most_bytes)]);
        self.consume(data.len());
        data
    }

    /// How much may come at a time.
    fn room_at(&self, now: Instant) -> u64 {
        let millis = u64::try_from(now.saturating_duration_since(self.start).as_millis()).unwrap_or(u64::MAX);
        let in_time = self.rate.bytes_per_second.saturating_mul(millis.saturating_add(1000)) / 1000;
        self.rate.after_bytes.saturating_add(in_time).saturating_sub(self.passed)
    }

    /// When there is room for another piece.
    fn next_piece(&self) -> Instant {
        let rate = self.rate.bytes_per_second.max(1);
        let piece = (rate / 8).clamp(1, MOST_PIECE_BYTES);
        let counted = self.passed.saturating_add(piece).saturating_sub(self.rate.after_bytes);
        let millis = counted.saturating_mul(1000).div_ceil(rate).saturating_sub(1000);
        self.start + Duration::from_millis(millis.min(u64::from(u32::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::{super::replay::Replay, *};

    /// When each piece came, in milliseconds, and how much had come by then.
    async fn pieces(size: usize, rate: ResponseRate) -> Vec<(u128, usize)> {
        let start = Instant::now();
        let inner = Incoming::Replay(Box::new(Replay::of(vec![b'x'; size])));
        let mut body = Shaped::new(inner, rate, start);
        let (mut pieces, mut whole) = (Vec::new(), 0);
        while poll_fn(|cx| body.poll_data(cx)).await.unwrap() {
            whole += body.take(usize::MAX).len();
            pieces.push((start.elapsed().as_millis(), whole));
        }
        pieces
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_come_as_fast_as_the_rate() {
        let rate = ResponseRate { bytes_per_second: 1000, after_bytes: 0 };
        let come = pieces(3000, rate).await;
        assert_eq!(come.first(), Some(&(0, 1000)), "those of the first second come at once");
        let (end, whole) = *come.last().unwrap();
        assert!(whole == 3000 && (2000..2100).contains(&end), "{come:?}");
        for (millis, whole) in &come {
            assert!(*whole as u128 <= millis + 1000, "{come:?}");
        }
        assert!(come.len() > 10, "not all of a second at once: {come:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_bytes_may_be_free() {
        let rate = ResponseRate { bytes_per_second: 1000, after_bytes: 5000 };
        assert_eq!(pieces(6000, rate).await, [(0, 6000)]);
        let come = pieces(6500, rate).await;
        assert!((500..600).contains(&come.last().unwrap().0), "{come:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_slowest_rate_ends_too() {
        let rate = ResponseRate { bytes_per_second: 1, after_bytes: 0 };
        assert_eq!(pieces(4, rate).await, [(0, 1), (1000, 2), (2000, 3), (3000, 4)]);
        assert!(pieces(0, rate).await.is_empty());
    }
}
