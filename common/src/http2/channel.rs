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
    frame: Option<Frame<Bytes>>,
    length: Option<u64>,
    ended: bool,
    sender_gone: bool,
    receiver_gone: bool,
    sender: Option<Waker>,
    receiver: Option<Waker>,
}

/// The end that makes the body. Dropping it before [`BodySender::finish`] breaks the body off.
pub struct BodySender(Rc<RefCell<Shared>>);

/// The end that hyper sends.
pub struct ChannelBody(Rc<RefCell<Shared>>);

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
        self.frame(Frame::data(data), false).await
    }

    /// Ends the body; waits until all of it has been taken.
    ///
    /// # Errors
    /// When the receiver is gone.
    pub async fn finish(&mut self, trailers: Option<HeaderMap>) -> Result<(), BrokenOff> {
        if let Some(trailers) = trailers {
            self.frame(Frame::trailers(trailers), true).await?;
        }
        self.empty().await?;
        let mut shared = self.0.borrow_mut();
        shared.ended = true;
        shared.wake_receiver();
        Ok(())
    }

    /// Waits until the receiver has gone.
    pub fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut shared = self.0.borrow_mut();
        match shared.receiver_gone {
            true => Poll::Ready(()),
            false => {
                shared.sender = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    async fn frame(&mut self, frame: Frame<Bytes>, last: bool) -> Result<(), BrokenOff> {
        self.empty().await?;
        let mut shared = self.0.borrow_mut();
        shared.frame = Some(frame);
        shared.ended = last;
        shared.wake_receiver();
        Ok(())
    }

    /// Waits until the slot is empty.
    async fn empty(&self) -> Result<(), BrokenOff> {
        poll_fn(|cx| {
            let mut shared = self.0.borrow_mut();
            match (shared.receiver_gone, &shared.frame) {
                (_, None) if shared.ended => Poll::Ready(Ok(())),
                (true, _) => Poll::Ready(Err(BrokenOff)),
                (false, None) => Poll::Ready(Ok(())),
                (false, Some(_)) => {
                    shared.sender = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl Shared {
    fn wake_receiver(&mut self) {
        if let Some(waker) = self.receiver.take() {
            waker.wake();
        }
    }
}

impl Drop for BodySender {
    fn drop(&mut self) {
        let mut shared = self.0.borrow_mut();
        shared.sender_gone = true;
        shared.wake_receiver();
    }
}

impl Drop for ChannelBody {
    fn drop(&mut self) {
        let mut shared = self.0.borrow_mut();
        shared.receiver_gone = true;
        if let Some(waker) = shared.sender.take() {
            waker.wake();
        }
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
        if let Some(frame) = shared.frame.take() {
            if let Some(waker) = shared.sender.take() {
                waker.wake();
            }
            return Poll::Ready(Some(Ok(frame)));
        }
        if shared.ended {
            return Poll::Ready(None);
        }
        if shared.sender_gone {
            return Poll::Ready(Some(Err(BrokenOff)));
        }
        shared.receiver = Some(cx.waker().clone());
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        let shared = self.0.borrow();
        shared.ended && shared.frame.is_none()
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
}
