//! Stream: what is known of one stream of a connection, and the handle by which its message is read and written.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use bytes::{Bytes, BytesMut};

use super::{
    head::HeadWriter,
    interim::Interim,
    reason::{Broken, Reason},
    shared::{MOST_UNSENT, Shared},
    window::Window,
};
use crate::message::{Fields, ResponseHead};

/// Pieces of payload that are smaller together are put together: many small frames shall not cost much memory each.
const JOINED_BYTES: usize = 1 << 10;
/// A piece that is larger may keep what it was read into, of which others are long gone; smaller ones are copied once
/// somebody is behind with reading.
const COPIED_BYTES: usize = 8 << 10;
/// Room for less than this is none while a connection has much to write.
const LEAST_ROOM: usize = 1 << 10;

/// One stream, as its connection and its handles see it.
pub(super) struct Stream {
    pub id: u32,
    pub shared: Rc<Shared>,
    pub state: RefCell<StreamState>,
    handles: Cell<usize>,
}

/// How far both halves of a stream are.
pub(super) struct StreamState {
    /// Payload that has arrived.
    data: VecDeque<Bytes>,
    /// Trailers that have arrived.
    trailers: Option<Fields>,
    /// The answer to a request of ours.
    pub answer: Answer,
    /// What came before it.
    pub interim: Option<Box<Interim>>,
    /// Bytes that are still to come by the word of the head.
    pub remaining: Option<u64>,
    /// The peer has ended its half.
    pub has_received_all: bool,
    /// What the peer may send.
    pub window: Window,
    reader: Option<Waker>,
    /// What we may send.
    pub send_window: i64,
    /// We have ended our half.
    pub has_sent_all: bool,
    writer: Option<Waker>,
    /// Its place in the line of those that wait for room in the connection, until it gets some.
    pub place: Option<u64>,
    pub broken: Option<Broken>,
}

/// Where the head of an answer is.
pub(super) enum Answer {
    /// There is none to come: we are the server, or it was taken.
    None,
    /// It is awaited, and written here.
    Awaited(Box<ResponseHead>),
    /// The same of the answer to a HEAD, whose length is not that of its body.
    AwaitedOfHead(Box<ResponseHead>),
    /// It is here.
    Here(Box<ResponseHead>),
}

impl Answer {
    /// Whether it is to come.
    pub fn is_awaited(&self) -> bool {
        matches!(self, Self::Awaited(_) | Self::AwaitedOfHead(_))
    }
}

impl StreamState {
    pub fn new(window: Window, send_window: u32, answer: Answer) -> Self {
        Self {
            data: VecDeque::new(),
            trailers: None,
            answer,
            interim: None,
            remaining: None,
            has_received_all: false,
            window,
            reader: None,
            send_window: i64::from(send_window),
            has_sent_all: false,
            writer: None,
            place: None,
            broken: None,
        }
    }

    /// Whether neither side sends anything more.
    pub fn is_over(&self) -> bool {
        self.broken.is_some() || (self.has_received_all && self.has_sent_all)
    }

    /// Payload arrives.
    pub fn arrive(&mut self, data: Bytes) {
        if data.is_empty() {
            return;
        }
        match self.data.pop_back() {
            Some(last) if last.len() + data.len() <= JOINED_BYTES => {
                let mut joined = last.try_into_mut().unwrap_or_else(|last| {
                    let mut joined = BytesMut::with_capacity(JOINED_BYTES);
                    joined.extend_from_slice(&last);
                    joined
                });
                joined.extend_from_slice(&data);
                self.data.push_back(joined.freeze());
            }
            last => {
                let is_copied = data.len() <= if last.is_some() { COPIED_BYTES } else { JOINED_BYTES };
                let data = if is_copied { Bytes::copy_from_slice(&data) } else { data };
                self.data.extend(last.into_iter().chain([data]));
            }
        }
    }

    /// The peer ends its half.
    pub fn end(&mut self, trailers: Option<Fields>) {
        self.trailers = trailers;
        self.has_received_all = true;
    }

    /// Wakes whoever reads.
    pub fn wake_reader(&mut self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    /// Wakes whoever writes.
    pub fn wake_writer(&mut self) {
        if let Some(waker) = self.writer.take() {
            waker.wake();
        }
    }

    /// The stream does not go on. What has arrived of a message that is whole stays.
    pub fn break_off(&mut self, broken: Broken) {
        self.broken.get_or_insert(broken);
        self.wake_reader();
        self.wake_writer();
    }

    /// What does not go on for those who read: nothing, if all has arrived.
    fn broken_for_reader(&self) -> Option<Broken> {
        self.broken.filter(|_| !self.has_received_all)
    }
}

/// Half of a stream, or all of it. When the last one of a stream is dropped, what is not at its end is reset.
pub struct Handle(Rc<Stream>);

impl Stream {
    pub fn new(id: u32, shared: Rc<Shared>, state: StreamState) -> Rc<Self> {
        Rc::new(Self { id, shared, state: RefCell::new(state), handles: Cell::new(0) })
    }
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        Self::new(self.0.clone())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let stream = &self.0;
        stream.handles.set(stream.handles.get() - 1);
        if stream.handles.get() == 0 {
            let unread: usize = stream.state.borrow_mut().data.drain(..).map(|data| data.len()).sum();
            stream.shared.release(unread);
            let is_answered = stream.shared.is_server && stream.state.borrow().has_sent_all;
            // An answer that needs no more of its request is none that went wrong (RFC 9113 §8.1).
            self.reset(if is_answered { Reason::NO_ERROR } else { Reason::CANCEL });
        }
    }
}

fn keep(waker: &mut Option<Waker>, cx: &Context<'_>) {
    if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
        *waker = Some(cx.waker().clone());
    }
}

impl Handle {
    pub(super) fn new(stream: Rc<Stream>) -> Self {
        stream.handles.set(stream.handles.get() + 1);
        Self(stream)
    }

    /// The number of the stream.
    pub fn id(&self) -> u32 {
        self.0.id
    }

    /// Waits for the head of the answer to a request of ours. Interim answers other than 100 come before it, each with
    /// its status below 200.
    pub fn poll_answer(&self, cx: &mut Context<'_>) -> Poll<Result<Box<ResponseHead>, Broken>> {
        let state = &mut *self.0.state.borrow_mut();
        if let Some(head) = state.interim.as_mut().and_then(|interim| interim.take()) {
            return Poll::Ready(Ok(head));
        }
        if matches!(state.answer, Answer::Here(_))
            && let Answer::Here(head) = std::mem::replace(&mut state.answer, Answer::None)
        {
            return Poll::Ready(Ok(head));
        }
        match state.broken {
            Some(broken) => Poll::Ready(Err(broken)),
            None => {
                keep(&mut state.reader, cx);
                Poll::Pending
            }
        }
    }

    /// Waits for payload, in the pieces in which it came; `None` is the end of it. The peer may send as much more.
    pub fn poll_data(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        let state = &mut *self.0.state.borrow_mut();
        if let Some(data) = state.data.pop_front() {
            self.0.shared.took(self.0.id, state, data.len());
            return Poll::Ready(Some(Ok(data)));
        }
        match state.broken_for_reader() {
            Some(broken) => Poll::Ready(Some(Err(broken))),
            None if state.has_received_all => Poll::Ready(None),
            None => {
                keep(&mut state.reader, cx);
                Poll::Pending
            }
        }
    }

    /// The trailers behind all payload.
    pub fn take_trailers(&self) -> Option<Fields> {
        self.0.state.borrow_mut().trailers.take()
    }

    /// Whether nothing more comes of the peer's half, trailers included.
    pub fn is_end(&self) -> bool {
        let state = self.0.state.borrow();
        state.has_received_all && state.data.is_empty() && state.trailers.is_none()
    }

    /// Waits until some payload may be sent, and says how much of it: `wanted` bytes at best.
    pub fn poll_room(&self, cx: &mut Context<'_>, wanted: usize) -> Poll<Result<usize, Broken>> {
        let state = &mut *self.0.state.borrow_mut();
        if let Some(broken) = state.broken {
            return Poll::Ready(Err(broken));
        }
        let own = usize::try_from(state.send_window).unwrap_or(0);
        if own > 0 {
            let (window, unsent) = self.0.shared.room();
            let unused = MOST_UNSENT.saturating_sub(unsent);
            let room = wanted.min(own).min(window).min(unused);
            if room > 0 && unused >= LEAST_ROOM {
                self.0.shared.leave_line(state);
                return Poll::Ready(Ok(room));
            }
            self.0.shared.wait(&self.0, state);
        }
        keep(&mut state.writer, cx);
        Poll::Pending
    }

    /// Waits until the stream does not go on, for whatever reason.
    pub fn poll_broken(&self, cx: &mut Context<'_>) -> Poll<Broken> {
        let state = &mut *self.0.state.borrow_mut();
        match state.broken {
            Some(broken) => Poll::Ready(broken),
            None => {
                keep(&mut state.writer, cx);
                Poll::Pending
            }
        }
    }

    /// Sends a head, or trailers, maybe as the last.
    ///
    /// # Errors
    /// When the stream does not go on.
    pub fn send_head(&self, is_last: bool, write: impl FnOnce(&mut HeadWriter<'_>)) -> Result<(), Broken> {
        let state = &mut *self.0.state.borrow_mut();
        if let Some(broken) = state.broken {
            return Err(broken);
        }
        self.0.shared.send_block(self.0.id, is_last, write);
        self.sent(state, is_last);
        Ok(())
    }

    /// Sends payload for which there is room, maybe as the last.
    ///
    /// # Errors
    /// When the stream does not go on, or there is less room.
    pub fn send_data(&self, data: Bytes, is_last: bool) -> Result<(), Broken> {
        let state = &mut *self.0.state.borrow_mut();
        if let Some(broken) = state.broken {
            return Err(broken);
        }
        let (window, _) = self.0.shared.room();
        let room = usize::try_from(state.send_window).unwrap_or(0).min(window);
        if data.len() > room {
            return Err(Broken::Own(Reason::INTERNAL_ERROR));
        }
        state.send_window -= data.len() as i64;
        self.0.shared.send_data(self.0.id, data, is_last);
        self.sent(state, is_last);
        Ok(())
    }

    fn sent(&self, state: &mut StreamState, is_last: bool) {
        if is_last {
            state.has_sent_all = true;
            self.0.shared.settle(self.0.id, state);
        }
    }

    /// Ends the stream with a reason, unless it is at its end.
    pub fn reset(&self, reason: Reason) {
        let state = &mut *self.0.state.borrow_mut();
        if !state.is_over() {
            self.0.shared.reset(self.0.id, state, reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pieces_do_not_keep_what_they_were_read_into() {
        let read = Bytes::from(vec![0; 70_000]);
        let mut state = StreamState::new(Window::new(1 << 20, 1 << 20), 0, Answer::None);
        state.arrive(read.slice(..JOINED_BYTES));
        state.arrive(read.slice(..COPIED_BYTES));
        assert!(read.is_unique());
        state.arrive(read.slice(..COPIED_BYTES + 1));
        assert!(!read.is_unique(), "a large one is not copied");
    }
}
