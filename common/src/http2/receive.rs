//! Receiving: what each frame of the peer does (RFC 9113 §6), and which rules it may break.

use std::rc::Rc;

use bytes::Bytes;

use super::{
    block::{Block, BlockKind},
    budget::{Budget, DROPPED_BLOCK, EMPTY_DATA, OWN_RESET, frame_cost},
    frame::{FrameHead, MOST, MOST_PAYLOAD, flag, kind, put},
    hpack::Decoder,
    reason::{Broken, Fault, Reason},
    shared::{Shared, widen},
    stream::{Answer, Handle, Stream, StreamState},
};
use crate::message::Version;

/// Bytes that say how important a stream is, which nobody heeds (RFC 9113 §5.3.2).
const PRIORITY_BYTES: usize = 5;

/// What begins to serve a request. It may take the fields of the block and leave others in their place.
pub type Begin<'a> = dyn FnMut(&mut Block, Handle) + 'a;

/// Takes the frames of one connection.
pub(super) struct Receiver {
    shared: Rc<Shared>,
    decoder: Decoder,
    block: Block,
    open: Option<OpenBlock>,
    budget: Budget,
    has_settings: bool,
}

/// A block of fields of which more frames are to come.
struct OpenBlock {
    stream: u32,
    is_last: bool,
    fault: Option<Reason>,
    bytes: Vec<u8>,
}

const PROTOCOL_ERROR: Fault = Fault::Connection(Reason::PROTOCOL_ERROR);
const FRAME_SIZE_ERROR: Fault = Fault::Connection(Reason::FRAME_SIZE_ERROR);

impl Receiver {
    pub fn new(shared: Rc<Shared>) -> Self {
        Self {
            shared,
            decoder: Decoder::new(4096),
            block: Block::default(),
            open: None,
            budget: Budget::new(),
            has_settings: false,
        }
    }

    /// Whether a frame may come now, by its head alone.
    ///
    /// # Errors
    /// Those of the connection.
    pub fn expect(&mut self, head: FrameHead) -> Result<(), Reason> {
        if head.length > MOST_PAYLOAD {
            return Err(Reason::FRAME_SIZE_ERROR);
        }
        let is_settings = head.kind == kind::SETTINGS && !head.has(flag::ACK);
        if !(self.has_settings || is_settings) {
            return Err(Reason::PROTOCOL_ERROR);
        }
        self.has_settings = true;
        let continues = |open: &OpenBlock| head.kind == kind::CONTINUATION && head.stream == open.stream;
        if !self.open.as_ref().is_none_or(continues) {
            return Err(Reason::PROTOCOL_ERROR);
        }
        self.pay(frame_cost(head.kind))
    }

    /// Clients pay for what they cost; backends are ours.
    fn pay(&mut self, cost: u64) -> Result<(), Reason> {
        let traffic = &self.shared.traffic;
        if cost == 0 || !self.shared.is_server || self.budget.spend(cost, traffic.written()) {
            return Ok(());
        }
        traffic.flood();
        Err(Reason::ENHANCE_YOUR_CALM)
    }

    /// Ends what a fault concerns.
    ///
    /// # Errors
    /// When it is the connection.
    pub fn mend(&mut self, fault: Fault) -> Result<(), Reason> {
        match fault {
            Fault::Connection(reason) => Err(reason),
            Fault::Stream(id, reason) => {
                self.pay(OWN_RESET)?;
                match self.shared.stream(id) {
                    Some(stream) => self.shared.reset(id, &mut stream.state.borrow_mut(), reason),
                    // What was never opened cannot be reset (RFC 9113 §6.4).
                    None if self.shared.is_idle(id) => return Err(reason),
                    None => self.shared.send_reset(id, reason),
                }
                Ok(())
            }
        }
    }

    /// Takes a frame other than DATA.
    pub fn take(&mut self, head: FrameHead, payload: &[u8], begin: &mut Begin<'_>) -> Result<(), Fault> {
        match head.kind {
            kind::HEADERS => self.headers(head, payload, begin),
            kind::CONTINUATION => self.continuation(head, payload, begin),
            kind::PRIORITY => priority(head, payload),
            kind::RST_STREAM => self.reset(head, payload),
            kind::SETTINGS => self.settings(head, payload),
            kind::PING => self.ping(head, payload),
            kind::GOAWAY => self.goaway(head, payload),
            kind::WINDOW_UPDATE => self.window_update(head, payload),
            kind::PUSH_PROMISE => Err(PROTOCOL_ERROR),
            // Others mean nothing (RFC 9113 §4.1).
            _ => Ok(()),
        }
    }

    /// Takes a DATA frame.
    pub fn data(&mut self, head: FrameHead, payload: Bytes) -> Result<(), Fault> {
        if head.stream == 0 {
            return Err(PROTOCOL_ERROR);
        }
        let (front, behind) = head.padding(&payload)?;
        self.shared.arrive(payload.len())?;
        let data = payload.slice(front..payload.len() - behind);
        let is_last = head.has(flag::END_STREAM);
        if data.is_empty() && !is_last {
            self.pay(EMPTY_DATA).map_err(Fault::Connection)?;
        }
        let all = payload.len();
        let taken = match self.shared.stream(head.stream) {
            Some(stream) => self.stream_data(&stream, data, all, is_last),
            None => self.absent(head.stream),
        };
        if !matches!(taken, Ok(true)) {
            self.shared.release(all);
        }
        taken.map(|_| ())
    }

    /// Whether the payload of a frame was taken by its stream.
    fn stream_data(&self, stream: &Stream, data: Bytes, all: usize, is_last: bool) -> Result<bool, Fault> {
        let state = &mut *stream.state.borrow_mut();
        let fault = |reason| Err(Fault::Stream(stream.id, reason));
        if state.has_received_all {
            return fault(Reason::STREAM_CLOSED);
        }
        if state.answer.is_awaited() {
            return fault(Reason::PROTOCOL_ERROR);
        }
        if !state.window.arrive(all as u32) {
            return fault(Reason::FLOW_CONTROL_ERROR);
        }
        if let Some(remaining) = &mut state.remaining {
            match remaining.checked_sub(data.len() as u64) {
                Some(rest) if rest == 0 || !is_last => *remaining = rest,
                _ => return fault(Reason::PROTOCOL_ERROR),
            }
        }
        self.shared.took(stream.id, state, all - data.len());
        state.arrive(data);
        if is_last {
            state.end(None);
            self.shared.settle(stream.id, state);
        }
        state.wake_reader();
        Ok(true)
    }

    /// Something came for a stream that is not there.
    fn absent(&self, id: u32) -> Result<bool, Fault> {
        match (self.shared.is_idle(id), self.shared.is_dropped(id)) {
            (true, _) => Err(PROTOCOL_ERROR),
            (false, true) => Ok(false),
            (false, false) => Err(Fault::Connection(Reason::STREAM_CLOSED)),
        }
    }

    fn headers(&mut self, head: FrameHead, payload: &[u8], begin: &mut Begin<'_>) -> Result<(), Fault> {
        if head.stream == 0 {
            return Err(PROTOCOL_ERROR);
        }
        let (front, behind) = head.padding(payload)?;
        let mut block = &payload[front..payload.len() - behind];
        let mut fault = None;
        if head.has(flag::PRIORITY) {
            let (priority, rest) = block.split_at_checked(PRIORITY_BYTES).ok_or(FRAME_SIZE_ERROR)?;
            fault = depends_on_itself(head.stream, priority).then_some(Reason::PROTOCOL_ERROR);
            block = rest;
        }
        let is_last = head.has(flag::END_STREAM);
        if head.has(flag::END_HEADERS) {
            return self.whole_block((head.stream, is_last, fault), block, begin);
        }
        self.open = Some(OpenBlock { stream: head.stream, is_last, fault, bytes: block.to_vec() });
        Ok(())
    }

    fn continuation(&mut self, head: FrameHead, payload: &[u8], begin: &mut Begin<'_>) -> Result<(), Fault> {
        let open = self.open.as_mut().ok_or(PROTOCOL_ERROR)?;
        open.bytes.extend_from_slice(payload);
        if open.bytes.len() > self.shared.settings.header_list_bytes as usize + MOST_PAYLOAD {
            return Err(Fault::Connection(Reason::ENHANCE_YOUR_CALM));
        }
        match self.open.take_if(|_| head.has(flag::END_HEADERS)) {
            Some(open) => self.whole_block((open.stream, open.is_last, open.fault), &open.bytes, begin),
            None => Ok(()),
        }
    }

    /// Takes a block of fields: decoded in any case, as later ones refer to it.
    fn whole_block(
        &mut self,
        (id, is_last, fault): (u32, bool, Option<Reason>),
        bytes: &[u8],
        begin: &mut Begin<'_>,
    ) -> Result<(), Fault> {
        let stream = self.shared.stream(id);
        let what = match &stream {
            None if self.shared.is_server => BlockKind::Request,
            None => BlockKind::Answer,
            Some(stream) if stream.state.borrow().answer.is_awaited() => BlockKind::Answer,
            Some(_) => BlockKind::Trailers,
        };
        let (block, most) = (&mut self.block, self.shared.settings.header_list_bytes as usize);
        block.clear();
        let decoded = self.decoder.decode(bytes, |field| block.take(what, most, field));
        decoded.map_err(|_| Fault::Connection(Reason::COMPRESSION_ERROR))?;
        let is_sound = block.finish(what);
        if block.is_too_large {
            // It was unpacked all the same, as later blocks refer to it.
            self.pay(OWN_RESET).map_err(Fault::Connection)?;
        }
        let fault = fault.or((!is_sound).then_some(Reason::PROTOCOL_ERROR));
        match (stream, what) {
            (None, BlockKind::Request) => self.request(id, is_last, fault, begin),
            (None, _) => self.dropped_block(id),
            (Some(stream), BlockKind::Answer) => self.answer(&stream, is_last, fault),
            (Some(stream), _) => self.trailers(&stream, is_last, fault),
        }
    }

    fn request(
        &mut self,
        id: u32,
        is_last: bool,
        fault: Option<Reason>,
        begin: &mut Begin<'_>,
    ) -> Result<(), Fault> {
        if id.is_multiple_of(2) {
            return Err(PROTOCOL_ERROR);
        }
        if !self.shared.is_idle(id) {
            return self.dropped_block(id);
        }
        self.shared.opened(id);
        let is_too_long = is_last && self.block.length.is_some_and(|length| length > 0);
        if let Some(reason) = fault.or(is_too_long.then_some(Reason::PROTOCOL_ERROR)) {
            return Err(Fault::Stream(id, reason));
        }
        // What a tunnel carries has no length.
        let length = self.block.length.filter(|_| self.block.method() != b"CONNECT");
        match self.shared.accept(id, (length, is_last))? {
            Some(handle) => begin(&mut self.block, handle),
            None => self.pay(DROPPED_BLOCK).map_err(Fault::Connection)?,
        }
        Ok(())
    }

    /// A block came for a stream that is not there. It was unpacked all the same, as later ones refer to it.
    fn dropped_block(&mut self, id: u32) -> Result<(), Fault> {
        self.absent(id)?;
        self.pay(DROPPED_BLOCK).map_err(Fault::Connection)
    }

    fn trailers(&mut self, stream: &Stream, is_last: bool, fault: Option<Reason>) -> Result<(), Fault> {
        let state = &mut *stream.state.borrow_mut();
        if state.has_received_all {
            return Err(Fault::Stream(stream.id, Reason::STREAM_CLOSED));
        }
        let is_short = state.remaining.is_some_and(|remaining| remaining > 0);
        let fault = fault.or((!is_last || is_short).then_some(Reason::PROTOCOL_ERROR));
        let fault = fault.or(self.block.is_too_large.then_some(Reason::ENHANCE_YOUR_CALM));
        if let Some(reason) = fault {
            return Err(Fault::Stream(stream.id, reason));
        }
        // A copy takes no more room than there are fields.
        let fields = &self.block.fields;
        state.end((!fields.is_empty()).then(|| fields.clone()));
        self.shared.settle(stream.id, state);
        state.wake_reader();
        Ok(())
    }

    fn answer(&mut self, stream: &Stream, is_last: bool, fault: Option<Reason>) -> Result<(), Fault> {
        let state = &mut *stream.state.borrow_mut();
        let is_interim = self.block.status < 200;
        // Nothing follows an interim answer by that, it has no body, and no protocol is switched (RFC 9113 §8.1, §8.6).
        let has_body = self.block.length.is_some_and(|length| length > 0);
        let is_wrong_interim = is_interim && (is_last || has_body || self.block.status == 101);
        let is_wrong = self.block.is_too_large || is_wrong_interim;
        if let Some(reason) = fault.or(is_wrong.then_some(Reason::PROTOCOL_ERROR)) {
            return Err(Fault::Stream(stream.id, reason));
        }
        match is_interim {
            true => self.interim_answer(stream, state),
            false => self.final_answer(stream, state, is_last),
        }
    }

    fn interim_answer(&mut self, stream: &Stream, state: &mut StreamState) -> Result<(), Fault> {
        let most_bytes = self.shared.settings.header_list_bytes as usize;
        if !state.interim.get_or_insert_default().arrive(&self.block, most_bytes) {
            return Err(Fault::Stream(stream.id, Reason::ENHANCE_YOUR_CALM));
        }
        state.wake_reader();
        Ok(())
    }

    fn final_answer(&mut self, stream: &Stream, state: &mut StreamState, is_last: bool) -> Result<(), Fault> {
        let is_of_head = matches!(state.answer, Answer::AwaitedOfHead(_));
        let has_body = !is_of_head && !matches!(self.block.status, 204 | 304);
        state.remaining = if has_body { self.block.length } else { Some(0) };
        if is_last && state.remaining.is_some_and(|length| length > 0) {
            return Err(Fault::Stream(stream.id, Reason::PROTOCOL_ERROR));
        }
        if let Answer::Awaited(mut head) | Answer::AwaitedOfHead(mut head) =
            std::mem::replace(&mut state.answer, Answer::None)
        {
            head.status = self.block.status;
            head.version = Version::Http2;
            std::mem::swap(&mut head.fields, &mut self.block.fields);
            state.answer = Answer::Here(head);
        }
        if is_last {
            state.end(None);
            self.shared.settle(stream.id, state);
        }
        state.wake_reader();
        Ok(())
    }

    fn reset(&self, head: FrameHead, payload: &[u8]) -> Result<(), Fault> {
        let code = *payload.as_array().ok_or(FRAME_SIZE_ERROR)?;
        if head.stream == 0 || self.shared.is_idle(head.stream) {
            return Err(PROTOCOL_ERROR);
        }
        if let Some(stream) = self.shared.stream(head.stream) {
            let state = &mut *stream.state.borrow_mut();
            state.break_off(Broken::Reset(Reason(u32::from_be_bytes(code))));
            self.shared.settle(stream.id, state);
        }
        Ok(())
    }

    fn settings(&self, head: FrameHead, payload: &[u8]) -> Result<(), Fault> {
        if head.stream != 0 {
            return Err(PROTOCOL_ERROR);
        }
        match (head.has(flag::ACK), payload.len()) {
            (true, 0) => self.shared.acknowledged(),
            (false, length) if length % 6 == 0 => self.shared.settings(payload)?,
            _ => return Err(FRAME_SIZE_ERROR),
        }
        Ok(())
    }

    fn ping(&self, head: FrameHead, payload: &[u8]) -> Result<(), Fault> {
        if head.stream != 0 {
            return Err(PROTOCOL_ERROR);
        }
        if payload.len() != 8 {
            return Err(FRAME_SIZE_ERROR);
        }
        match head.has(flag::ACK) {
            true => self.shared.pong(payload),
            false => self.shared.write(|out| put(out, kind::PING, flag::ACK, 0, payload)),
        }
        Ok(())
    }

    fn goaway(&self, head: FrameHead, payload: &[u8]) -> Result<(), Fault> {
        if head.stream != 0 {
            return Err(PROTOCOL_ERROR);
        }
        let ([last, code], _) = payload.as_chunks::<4>().0.split_first_chunk().ok_or(FRAME_SIZE_ERROR)?;
        let (last, reason) = (u32::from_be_bytes(*last) & MOST, Reason(u32::from_be_bytes(*code)));
        tracing::debug!(last, %reason, "the peer of an HTTP/2 connection goes");
        self.shared.goes(last);
        Ok(())
    }

    fn window_update(&self, head: FrameHead, payload: &[u8]) -> Result<(), Fault> {
        let bytes = u32::from_be_bytes(*payload.as_array().ok_or(FRAME_SIZE_ERROR)?) & MOST;
        match (head.stream, bytes) {
            (0, 0) => return Err(PROTOCOL_ERROR),
            (0, bytes) => return self.shared.widen(bytes),
            (id, _) if self.shared.is_idle(id) => return Err(PROTOCOL_ERROR),
            (id, 0) => return Err(Fault::Stream(id, Reason::PROTOCOL_ERROR)),
            _ => {}
        }
        match self.shared.stream(head.stream) {
            Some(stream) => {
                widen(&stream, i64::from(bytes)).map_err(|reason| Fault::Stream(stream.id, reason))
            }
            None => Ok(()),
        }
    }
}

fn priority(head: FrameHead, payload: &[u8]) -> Result<(), Fault> {
    if head.stream == 0 {
        return Err(PROTOCOL_ERROR);
    }
    if payload.len() != PRIORITY_BYTES {
        return Err(Fault::Stream(head.stream, Reason::FRAME_SIZE_ERROR));
    }
    match depends_on_itself(head.stream, payload) {
        true => Err(Fault::Stream(head.stream, Reason::PROTOCOL_ERROR)),
        false => Ok(()),
    }
}

/// RFC 7540 §5.3.1.
fn depends_on_itself(stream: u32, priority: &[u8]) -> bool {
    priority.first_chunk().is_some_and(|other| u32::from_be_bytes(*other) & MOST == stream)
}
