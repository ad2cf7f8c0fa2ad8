//! Executor: runs hyper's tasks on the worker that owns the connection.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    pin::pin,
    rc::Rc,
    task::Poll,
};

use hyper::rt::Executor;

use super::channel::Breakage;

/// Spawns on the present thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalExecutor;

impl<F> Executor<F> for LocalExecutor
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// Spawns the streams of one connection of a client on the present thread, and can end each of them.
///
/// hyper does not look at a body while the client's window is closed, so one that was broken off meanwhile would
/// keep its stream, with the memory behind it, for as long as the client likes.
#[derive(Clone, Default)]
pub struct StreamExecutor(Rc<Streams>);

#[derive(Default)]
struct Streams {
    next: RefCell<Option<Stream>>,
    open: Cell<usize>,
}

/// One stream that hyper serves: tells when its body has broken off.
#[derive(Clone, Default)]
pub struct Stream(Rc<RefCell<Option<Breakage>>>);

impl StreamExecutor {
    /// Announces the stream that hyper hands over next.
    pub fn announce(&self) -> Stream {
        let stream = Stream::default();
        *self.0.next.borrow_mut() = Some(stream.clone());
        stream
    }

    /// Streams that hyper still sends something on.
    pub fn open(&self) -> usize {
        self.0.open.get()
    }
}

impl Stream {
    /// From here on the stream ends when this body breaks off.
    pub fn ends_with(&self, breakage: Breakage) {
        *self.0.borrow_mut() = Some(breakage);
    }
}

/// Counts a stream as open while it lives.
struct Open(Rc<Streams>);

impl Open {
    fn new(streams: Rc<Streams>) -> Self {
        streams.open.set(streams.open.get() + 1);
        Self(streams)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
    }
}

impl<F> Executor<F> for StreamExecutor
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        let stream = self.0.next.borrow_mut().take().unwrap_or_default();
        let open = Open::new(self.0.clone());
        tokio::task::spawn_local(async move {
            let mut future = pin!(future);
            poll_fn(|cx| {
                // hyper first: if it looks at the body, it resets the stream itself.
                if future.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                stream.0.borrow().as_ref().map_or(Poll::Pending, |breakage| breakage.poll(cx))
            })
            .await;
            drop(open);
        });
    }
}
