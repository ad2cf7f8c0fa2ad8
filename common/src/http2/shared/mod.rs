//! Shared: what the streams of a connection have in common.

mod flow;
mod leaving;

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap, VecDeque},
    rc::Rc,
    task::{Context, Waker},
};

use bytes::Bytes;

use super::{
    frame::{FrameHead, MOST, data_head, flag, kind, put, put_reset},
    head::HeadWriter,
    hpack::Encoder,
    outbox::Outbox,
    reason::{Broken, Fault, Reason},
    settings::{FIRST_WINDOW, PeerSettings, Settings},
    stream::{Answer, Handle, Stream, StreamState},
    traffic::Traffic,
    window::Window,
};

pub(super) use flow::widen;
use leaving::Leaving;

/// Bytes that wait to be written before no more payload is taken.
pub(super) const MOST_UNSENT: usize = 64 << 10;
/// The same before no further stream is opened.
const FULL: usize = 2 * MOST_UNSENT;
/// Streams that were reset by us, of which the peer may not know yet: what still comes of them is dropped.
const RESETS: usize = 512;

/// What the streams of a connection, whoever serves them and the connection itself share.
pub(super) struct Shared {
    pub is_server: bool,
    pub settings: Settings,
    pub traffic: Traffic,
    state: RefCell<State>,
}

/// What changes while a connection lasts.
struct State {
    streams: HashMap<u32, Rc<Stream>, foldhash::fast::RandomState>,
    out: Outbox,
    encoder: Encoder,
    peer: PeerSettings,
    /// Whether the peer has taken notice of our settings.
    is_acknowledged: bool,
    send_window: i64,
    window: Window,
    /// Streams that wait until more may be sent on the connection, by their places in the line.
    waiting: BTreeMap<u64, Rc<Stream>>,
    /// Places that were given.
    places: u64,
    /// Whoever drives the connection.
    connection: Option<Waker>,
    /// Whether that one will look at what is to be written anyway.
    is_awake: bool,
    /// The highest stream that the peer has opened.
    last_peer: u32,
    next_own: u32,
    /// Streams that were reset by us, the last ones.
    resets: VecDeque<u32>,
    leaving: Leaving,
    /// No further stream may be opened by us: the peer goes, or has gone.
    is_closed: bool,
    /// Nobody asks for streams of ours any more.
    is_unused: bool,
    /// Whether the peer has answered since it was last asked, and who waits for that.
    has_answered: bool,
    asking: Option<Waker>,
}

impl Shared {
    pub fn new(is_server: bool, settings: Settings) -> Rc<Self> {
        let size = settings.connection_window_bytes;
        let state = State {
            streams: HashMap::default(),
            out: Outbox::default(),
            encoder: Encoder::new(),
            peer: PeerSettings::default(),
            is_acknowledged: false,
            send_window: i64::from(FIRST_WINDOW),
            window: Window::new(size, size.max(FIRST_WINDOW)),
            waiting: BTreeMap::new(),
            places: 0,
            connection: None,
            is_awake: true,
            last_peer: 0,
            next_own: 1,
            resets: VecDeque::new(),
            leaving: Leaving::No,
            is_closed: false,
            is_unused: false,
            has_answered: true,
            asking: None,
        };
        Rc::new(Self { is_server, settings, traffic: Traffic::default(), state: RefCell::new(state) })
    }

    /// Writes to the connection, and sees to it that it goes out.
    pub fn write<R>(&self, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let mut state = self.state.borrow_mut();
        let result = state.out.write(write);
        state.wake();
        result
    }

    /// Whoever drives the connection begins to.
    pub fn begin_drive(&self, cx: &Context<'_>) {
        let state = &mut *self.state.borrow_mut();
        state.is_awake = true;
        if !state.connection.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            state.connection = Some(cx.waker().clone());
        }
    }

    /// From here on it has to be woken when there is something to write.
    pub fn end_drive(&self) {
        self.state.borrow_mut().is_awake = false;
    }

    /// What is to be written, and room for a look at it.
    pub fn with_outbox<R>(&self, look: impl FnOnce(&mut Outbox) -> R) -> R {
        look(&mut self.state.borrow_mut().out)
    }

    /// Sends a block of fields, in as many frames as it takes.
    pub fn send_block(&self, id: u32, is_last: bool, write: impl FnOnce(&mut HeadWriter<'_>)) {
        let mut state = self.state.borrow_mut();
        let State { out, encoder, peer, .. } = &mut *state;
        let end = if is_last { flag::END_STREAM } else { 0 };
        out.write(|out| {
            let start = out.len();
            let head = |length, kind, flags| FrameHead { length, kind, flags, stream: id }.bytes();
            out.extend_from_slice(&head(0, kind::HEADERS, 0));
            let begin = out.len();
            encoder.begin(out);
            write(&mut HeadWriter { encoder, out });
            let length = out.len() - begin;
            if length <= peer.payload {
                let whole = head(length, kind::HEADERS, end | flag::END_HEADERS);
                out[start..begin].copy_from_slice(&whole);
                return;
            }
            let block = out.split_off(begin);
            out.truncate(start);
            let count = block.len().div_ceil(peer.payload);
            for (index, piece) in block.chunks(peer.payload).enumerate() {
                let (kind, first) = if index == 0 { (kind::HEADERS, end) } else { (kind::CONTINUATION, 0) };
                let last = if index + 1 == count { flag::END_HEADERS } else { 0 };
                put(out, kind, first | last, id, piece);
            }
        });
        state.wake();
    }

    /// Sends payload, for which there has to be room.
    pub fn send_data(&self, id: u32, mut data: Bytes, is_last: bool) {
        let mut state = self.state.borrow_mut();
        state.send_window -= data.len() as i64;
        loop {
            let piece = data.split_to(data.len().min(state.peer.payload));
            let head = data_head(id, piece.len(), is_last && data.is_empty());
            state.out.write(|out| out.extend_from_slice(&head.bytes()));
            state.out.push(piece);
            if data.is_empty() {
                break;
            }
        }
        state.wake();
    }

    /// Forgets a stream that is at its end.
    pub fn settle(&self, id: u32, stream: &mut StreamState) {
        if stream.is_over() {
            self.leave_line(stream);
            let mut state = self.state.borrow_mut();
            state.streams.remove(&id);
            if state.streams.is_empty() {
                // It may be all that the connection waited for.
                state.wake();
            }
        }
    }

    /// Ends a stream with a reason.
    pub fn reset(&self, id: u32, stream: &mut StreamState, reason: Reason) {
        stream.break_off(Broken::Own(reason));
        self.settle(id, stream);
        self.send_reset(id, reason);
    }

    /// Tells the peer that a stream has ended; what still comes of it is dropped.
    pub fn send_reset(&self, id: u32, reason: Reason) {
        let mut state = self.state.borrow_mut();
        if state.is_closed && state.connection.is_none() {
            return;
        }
        if state.resets.len() >= RESETS.max(2 * self.settings.streams as usize) {
            state.resets.pop_front();
        }
        state.resets.push_back(id);
        state.out.write(|out| put_reset(out, id, reason));
        state.wake();
    }

    /// A stream by its number.
    pub fn stream(&self, id: u32) -> Option<Rc<Stream>> {
        self.state.borrow().streams.get(&id).cloned()
    }

    /// Whether nobody has opened this stream yet.
    pub fn is_idle(&self, id: u32) -> bool {
        let state = self.state.borrow();
        match id.is_multiple_of(2) != self.is_server {
            true => id > state.last_peer,
            false => id >= state.next_own,
        }
    }

    /// Whether what comes of a stream that is not there any more is to be dropped, as the peer may not have known of the
    /// end. That is so of all streams that we have opened.
    pub fn is_dropped(&self, id: u32) -> bool {
        let state = self.state.borrow();
        let is_behind = matches!(state.leaving, Leaving::Behind(last) if id > last);
        !self.is_server || is_behind || state.resets.contains(&id)
    }

    /// The peer has opened a stream that was idle.
    pub fn opened(&self, id: u32) {
        self.state.borrow_mut().last_peer = id;
    }

    /// A stream that the peer has opened, with the length of its body and whether that ended with the head; `None` if it is
    /// not looked at.
    ///
    /// # Errors
    /// When there are too many.
    pub fn accept(
        self: &Rc<Self>,
        id: u32,
        (remaining, has_received_all): (Option<u64>, bool),
    ) -> Result<Option<Handle>, Fault> {
        let mut state = self.state.borrow_mut();
        if matches!(state.leaving, Leaving::Behind(_)) {
            return Ok(None);
        }
        if state.streams.len() >= self.settings.streams as usize {
            return Err(Fault::Stream(id, Reason::REFUSED_STREAM));
        }
        let mut stream = state.stream(self, Answer::None);
        (stream.remaining, stream.has_received_all) = (remaining, has_received_all);
        Ok(Some(state.open(self, id, stream)))
    }

    /// Opens a stream of ours.
    ///
    /// # Errors
    /// When none may be opened, at the moment or at all.
    pub fn open(self: &Rc<Self>, answer: Answer) -> Result<Handle, Broken> {
        let mut state = self.state.borrow_mut();
        if state.is_closed {
            return Err(Broken::Closed);
        }
        if state.streams.len() >= state.most_streams() {
            return Err(Broken::Full);
        }
        let id = state.next_own;
        state.next_own += 2;
        state.is_closed |= state.next_own > MOST;
        let stream = state.stream(self, answer);
        Ok(state.open(self, id, stream))
    }

    /// Whether streams of ours may still be opened.
    pub fn is_open(&self) -> bool {
        !self.state.borrow().is_closed
    }

    /// Streams of ours that may be open at once.
    pub fn most_streams(&self) -> usize {
        self.state.borrow().most_streams()
    }

    /// The peer's settings arrive.
    pub fn settings(&self, payload: &[u8]) -> Result<(), Fault> {
        let mut state = self.state.borrow_mut();
        let before = state.peer.window;
        state.peer.take(payload, self.is_server).map_err(Fault::Connection)?;
        let (table, change) = (state.peer.table_bytes, i64::from(state.peer.window) - i64::from(before));
        state.encoder.limit_table(table as usize);
        state.out.write(|out| put(out, kind::SETTINGS, flag::ACK, 0, &[]));
        state.wake();
        if change == 0 {
            return Ok(());
        }
        let streams: Vec<_> = state.streams.values().cloned().collect();
        drop(state);
        for stream in streams {
            widen(&stream, change).map_err(Fault::Connection)?;
        }
        Ok(())
    }

    /// The peer has taken notice of ours.
    pub fn acknowledged(&self) {
        self.state.borrow_mut().is_acknowledged = true;
    }

    /// Whether no stream is open.
    pub fn has_no_stream(&self) -> bool {
        self.state.borrow().streams.is_empty()
    }
}

impl State {
    fn wake(&mut self) {
        if !std::mem::replace(&mut self.is_awake, true)
            && let Some(waker) = &self.connection
        {
            waker.wake_by_ref();
        }
    }

    /// As many as the peer allows; none while it takes nothing of what is there for it.
    fn most_streams(&self) -> usize {
        if self.out.len() < FULL { self.peer.streams as usize } else { 0 }
    }

    fn stream(&self, shared: &Shared, answer: Answer) -> StreamState {
        let size = shared.settings.stream_window_bytes;
        let left = if self.is_acknowledged { size } else { size.max(FIRST_WINDOW) };
        StreamState::new(Window::new(size, left), self.peer.window, answer)
    }

    fn open(&mut self, shared: &Rc<Shared>, id: u32, state: StreamState) -> Handle {
        let stream = Stream::new(id, shared.clone(), state);
        self.streams.insert(id, stream.clone());
        Handle::new(stream)
    }
}
