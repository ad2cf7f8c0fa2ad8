//! Bodies of HTTP/1.1 messages: how much of what arrives is payload, and how payload is written.

use std::{
    cell::Cell,
    io::{self, IoSlice},
};

use super::{
    Appetite, BodyError, BodyFraming, Buffer, Buffers, ChunkedDecoder, ChunkedStep, Writer, chunk_prefix,
    last_chunk,
};
use crate::message::Fields;

/// Bodies with more than this to come are read into large buffers.
const LARGE_FROM: u64 = 32 << 10;

/// How far a body has been read.
pub struct BodyState {
    rest: Rest,
    /// Payload at the front of the buffer.
    available: usize,
    /// Bytes of framing behind it that are done with, and go when it has been used.
    spent: usize,
    /// Payload that came so far, of a body whose length is not known; counts no further than it must.
    seen: u64,
    trailers: Fields,
}

enum Rest {
    Done,
    Length(u64),
    Chunked(ChunkedDecoder),
    UntilClose,
}

impl Default for BodyState {
    fn default() -> Self {
        Self { rest: Rest::Done, available: 0, spent: 0, seen: 0, trailers: Fields::default() }
    }
}

impl BodyState {
    /// The state before the first byte.
    pub fn new(framing: BodyFraming) -> Self {
        let rest = match framing {
            BodyFraming::None | BodyFraming::Length(0) => Rest::Done,
            BodyFraming::Length(length) => Rest::Length(length),
            BodyFraming::Chunked => Rest::Chunked(ChunkedDecoder::default()),
            BodyFraming::UntilClose => Rest::UntilClose,
        };
        Self { rest, available: 0, spent: 0, seen: 0, trailers: Fields::default() }
    }

    /// Whether the body has been read and used to its end.
    pub fn is_done(&self) -> bool {
        self.available == 0 && matches!(self.rest, Rest::Done)
    }

    /// Number of payload bytes at the front of the buffer.
    pub(super) fn available(&self) -> usize {
        self.available
    }

    /// Notes that payload was used; says how many bytes may go from the front of the buffer.
    pub(super) fn used(&mut self, count: usize) -> usize {
        debug_assert!(count <= self.available);
        self.available -= count;
        match self.available {
            0 => count + std::mem::take(&mut self.spent),
            _ => count,
        }
    }

    pub(super) fn trailers(&self) -> &Fields {
        &self.trailers
    }

    pub(super) fn appetite(&self) -> Appetite {
        match self.rest {
            Rest::Length(left) if left > LARGE_FROM => Appetite::Large,
            Rest::Chunked(_) | Rest::UntilClose if self.seen > LARGE_FROM => Appetite::Large,
            _ => Appetite::Small,
        }
    }

    /// Makes payload available from what has arrived: whether there is some, or `None` if more is needed.
    pub(super) fn advance(
        &mut self,
        input: &mut Buffer,
        buffers: &Buffers,
    ) -> Result<Option<bool>, BodyError> {
        if self.available > 0 {
            return Ok(Some(true));
        }
        let arrived = input.data().len();
        match &mut self.rest {
            Rest::Done => return Ok(Some(false)),
            _ if arrived == 0 => return Ok(None),
            Rest::Length(left) => {
                self.available = arrived.min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= self.available as u64;
                if *left == 0 {
                    self.rest = Rest::Done;
                }
            }
            Rest::UntilClose => {
                self.available = arrived;
                self.seen += arrived as u64;
            }
            Rest::Chunked(decoder) => match decoder.step(input.data(), &mut self.trailers)? {
                ChunkedStep::More { consumed } => {
                    input.consume(consumed, buffers);
                    return Ok(None);
                }
                ChunkedStep::Data { start, len } => {
                    input.consume(start, buffers);
                    self.available = len;
                    self.gather(input);
                    self.seen += self.available as u64;
                }
                ChunkedStep::End { consumed } => {
                    input.consume(consumed, buffers);
                    self.rest = Rest::Done;
                    return Ok(Some(false));
                }
            },
        }
        Ok(Some(true))
    }

    /// Moves the payload of further chunks that have arrived to that of the first one, so that many small chunks
    /// go on in one write.
    fn gather(&mut self, input: &mut Buffer) {
        let Rest::Chunked(decoder) = &mut self.rest else { return };
        loop {
            let done = self.available + self.spent;
            // What is malformed stays in the buffer, and is told when the payload before it has been used.
            match decoder.step(&input.data()[done..], &mut self.trailers) {
                Ok(ChunkedStep::Data { start, len }) => {
                    input.move_down(done + start, self.available, len);
                    self.spent += start;
                    self.available += len;
                }
                Ok(ChunkedStep::More { consumed }) => {
                    self.spent += consumed;
                    return;
                }
                Ok(ChunkedStep::End { consumed }) => {
                    self.spent += consumed;
                    self.rest = Rest::Done;
                    return;
                }
                Err(_) => return,
            }
        }
    }

    /// The stream has ended: right for a body that lasts until then, an error for every other.
    pub(super) fn end_of_stream(&mut self) -> Result<(), BodyError> {
        match self.rest {
            Rest::Done => Ok(()),
            Rest::UntilClose => {
                self.rest = Rest::Done;
                Ok(())
            }
            _ => Err(BodyError::Broken(io::ErrorKind::UnexpectedEof)),
        }
    }
}

/// Writes a head and the body that follows it, together where it can.
pub struct BodyWriter<'a> {
    writer: Writer<'a>,
    /// Head or framing that has not been written yet.
    pending: Vec<u8>,
    framing: BodyFraming,
    left: u64,
}

impl<'a> BodyWriter<'a> {
    /// A body in this framing, after an encoded head.
    pub fn new(writer: Writer<'a>, head: Vec<u8>, framing: BodyFraming) -> Self {
        let left = match framing {
            BodyFraming::Length(length) => length,
            _ => 0,
        };
        Self { writer, pending: head, framing, left }
    }

    /// Writes payload, with all that is pending before it.
    ///
    /// # Errors
    /// Those of the stream; `InvalidData` for more payload than the head promised.
    pub async fn data(&mut self, data: &[u8]) -> io::Result<()> {
        match self.framing {
            BodyFraming::Length(_) => {
                self.left = self.left.checked_sub(data.len() as u64).ok_or(io::ErrorKind::InvalidData)?;
            }
            BodyFraming::None => return Err(io::ErrorKind::InvalidData.into()),
            BodyFraming::Chunked => chunk_prefix(data.len(), &mut self.pending),
            BodyFraming::UntilClose => {}
        }
        let end: &[u8] = if self.framing == BodyFraming::Chunked { b"\r\n" } else { b"" };
        let mut parts = [IoSlice::new(&self.pending), IoSlice::new(data), IoSlice::new(end)];
        let used = if end.is_empty() { 2 } else { 3 };
        self.writer.write_all(&mut parts[..used]).await?;
        self.pending.clear();
        Ok(())
    }

    /// Writes all that is pending.
    ///
    /// # Errors
    /// Those of the stream.
    pub async fn flush(&mut self) -> io::Result<()> {
        if !self.pending.is_empty() {
            self.writer.write_all(&mut [IoSlice::new(&self.pending)]).await?;
            self.pending.clear();
        }
        self.writer.flush().await
    }

    /// Ends the body and writes all that is pending.
    ///
    /// # Errors
    /// Those of the stream; `InvalidData` for less payload than the head promised.
    pub async fn finish(&mut self, trailers: &Fields) -> io::Result<()> {
        if self.left > 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if self.framing == BodyFraming::Chunked {
            last_chunk(trailers, &mut self.pending);
        }
        self.flush().await
    }

    /// Bytes that were written to the connection in this exchange, as they grow.
    pub fn written(&self) -> &'a Cell<u64> {
        self.writer.written()
    }

    /// Gives the text back that held the head.
    pub fn into_text(self) -> Vec<u8> {
        self.pending
    }
}
