//! Channel: carries a body from the task that makes it to hyper's HTTP/2, one frame at a time.

use std::{
    cell::RefCell,
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

/// A channel for one body of this length, if it is known. An empty body ends with its head.
pub fn channel(length: Option<u64>) -> (BodySender, ChannelBody) {
    let ended = length == Some(0);
    let shared = Rc::new(RefCell::new(Shared { length, ended, ..Shared::default() }));
    (BodySender(shared.clone()), ChannelBody(shared))
}

#[derive(Default)]
struct Shared {
    data: Option<Bytes>,
    trailers: Option<HeaderMap>,
    length: Option<u64>,
    /// Nothing follows what is here.
    ended: bool,
    /// The sender left before all of the body was taken.
    broken: bool,
    receiver_gone: bool,
    sender: Option<Waker>,
    receiver: Option<Waker>,
}

/// The end that makes the body. Dropping it before [`BodySender::finish`] has ended breaks the body off.
pub struct BodySender(Rc<RefCell<Shared>>);

/// The end that hyper sends.
pub struct ChannelBody(Rc<RefCell<Shared>>);

/// Tells whether a body was broken off, to whoever waits for something else meanwhile.
pub struct Breakage(Rc<RefCell<Shared>>);

/// Whoever was to send or receive the body is gone.
#[derive(Debug, thiserror::Error)]
#[error("the body was broken off")]
pub struct BrokenOff;

impl BodySender {
    /// Sends payload; waits until what was sent before has been taken.
    ///
    /// # Errors
    /// When the receiver is gone.
    pub async fn data(&mut self, data: Bytes) -> Result<(), BrokenOff> {
        self.ready().await?;
        self.put(data);
        Ok(())
    }

    /// Sends payload at once, after [`BodySender::ready`].
    pub fn put(&mut self, data: Bytes) {
        let mut shared = self.0.borrow_mut();
        debug_assert!(shared.data.is_none(), "payload is only put where there is room");
        shared.data = Some(data);
        shared.wake_receiver();
    }

    /// Ends the body; waits until the receiver has passed all of it on and let go of it. So a receiver that has to
    /// wait for its own peer keeps the sender waiting, to whom limits in time belong.
    ///
    /// # Errors
    /// When the receiver has left before the end.
    pub async fn finish(&mut self, trailers: Option<HeaderMap>) -> Result<(), BrokenOff> {
        {
            let mut shared = self.0.borrow_mut();
            if !shared.receiver_gone {
                shared.trailers = trailers;
            }
            shared.ended = true;
            shared.wake_receiver();
        }
        poll_fn(|cx| self.poll_closed(cx)).await;
        let shared = self.0.borrow();
        match shared.is_empty() {
            true => Ok(()),
            false => Err(BrokenOff),
        }
    }

    /// Waits until the receiver has gone.
    pub fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut shared = self.0.borrow_mut();
        match shared.receiver_gone {
            true => Poll::Ready(()),
            false => shared.wait_for_receiver(cx),
        }
    }

    /// Waits until there is room for payload.
    ///
    /// # Errors
    /// When the receiver is gone.
    pub async fn ready(&self) -> Result<(), BrokenOff> {
        poll_fn(|cx| {
            let mut shared = self.0.borrow_mut();
            match (shared.receiver_gone, &shared.data) {
                (true, _) => Poll::Ready(Err(BrokenOff)),
                (false, None) => Poll::Ready(Ok(())),
                (false, Some(_)) => shared.wait_for_receiver(cx),
            }
        })
        .await
    }
}

impl ChannelBody {
    /// Tells of the end of a body whose receiver is itself kept waiting.
    pub fn breakage(&self) -> Breakage {
        Breakage(self.0.clone())
    }
}

impl Breakage {
    /// Whether the body was broken off. Wakes the task that receives the body, so the same one must ask.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut shared = self.0.borrow_mut();
        match shared.broken {
            true => Poll::Ready(()),
            false => {
                shared.receiver = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Shared {
    fn is_empty(&self) -> bool {
        self.data.is_none() && self.trailers.is_none()
    }

    fn wake_receiver(&mut self) {
        if let Some(waker) = self.receiver.take() {
            waker.wake();
        }
    }

    fn wait_for_receiver<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        self.sender = Some(cx.waker().clone());
        Poll::Pending
    }

    fn wake_sender(&mut self) {
        if let Some(waker) = self.sender.take() {
            waker.wake();
        }
    }
}

impl Drop for BodySender {
    fn drop(&mut self) {
        let mut shared = self.0.borrow_mut();
        shared.broken = !shared.receiver_gone;
        shared.wake_receiver();
    }
}

impl Drop for ChannelBody {
    fn drop(&mut self) {
        let mut shared = self.0.borrow_mut();
        shared.receiver_gone = true;
        shared.wake_sender();
    }
}

impl Body for ChannelBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let mut shared = self.0.borrow_mut();
        if let Some(data) = shared.data.take() {
            shared.wake_sender();
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if let Some(trailers) = shared.trailers.take() {
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        if shared.ended {
            return Poll::Ready(None);
        }
        if shared.broken {
            return Poll::Ready(Some(Err(BrokenOff)));
        }
        shared.receiver = Some(cx.waker().clone());
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        let shared = self.0.borrow();
        shared.ended && shared.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.borrow().length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_body_arrives_whole_with_its_trailers() {
        let (mut sender, body) = channel(None);
        let sending = async {
            sender.data(Bytes::from_static(b"a")).await.unwrap();
            sender.data(Bytes::from_static(b"b")).await.unwrap();
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
            sender.finish(Some(trailers)).await.unwrap();
        };
        let (collected, ()) = futures_util::future::join(body.collect(), sending).await;
        let collected = collected.unwrap();
        assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
        assert_eq!(collected.to_bytes(), "ab");
    }

    #[tokio::test]
    async fn a_body_whose_sender_stops_early_is_broken() {
        let (mut sender, body) = channel(None);
        let sending = async move { sender.data(Bytes::from_static(b"a")).await.unwrap() };
        let (collected, ()) = futures_util::future::join(body.collect(), sending).await;
        assert!(collected.is_err());
    }

    #[tokio::test]
    async fn a_sender_whose_receiver_is_gone_is_told() {
        let (mut sender, body) = channel(None);
        drop(body);
        assert!(sender.data(Bytes::from_static(b"a")).await.is_err());
        let (mut sender, body) = channel(Some(0));
        assert!(body.is_end_stream());
        drop(body);
        assert!(sender.finish(None).await.is_ok(), "an empty body has been sent with its head");
    }

    #[tokio::test]
    async fn a_sender_is_told_that_its_receiver_is_gone_before_it_puts_anything() {
        let (sender, body) = channel(None);
        assert!(
            poll_once(sender.ready()).map(|room| room.is_ok()) == Poll::Ready(true),
            "there is room at first"
        );
        drop(body);
        assert!(sender.ready().await.is_err(), "what is put now would be lost to a retry");
    }

    #[tokio::test]
    async fn the_last_data_ends_the_body_without_a_further_frame() {
        let (mut sender, mut body) = channel(None);
        sender.data(Bytes::from_static(b"a")).await.unwrap();
        assert!(poll_once(sender.finish(None)).is_pending(), "nobody has taken anything yet");
        assert!(body.frame().await.unwrap().unwrap().is_data());
        assert!(body.is_end_stream());
    }

    #[tokio::test]
    async fn whoever_waits_for_something_else_is_told_that_a_body_broke_off() {
        let (mut sender, body) = channel(None);
        let breakage = body.breakage();
        sender.data(Bytes::from_static(b"a")).await.unwrap();
        assert!(poll_once(poll_fn(|cx| breakage.poll(cx))).is_pending());
        assert!(poll_once(sender.finish(None)).is_pending());
        drop(sender);
        assert!(poll_once(poll_fn(|cx| breakage.poll(cx))).is_ready(), "the end was not reached");
    }

    fn poll_once<T>(future: impl Future<Output = T>) -> Poll<T> {
        std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }
}
