//! Buffers: memory for bytes on their way, lent by the worker only while there are any.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, ReadBuf};

use super::Stream;

/// Size of a buffer for heads and small bodies; also what a connection starts with.
const SMALL_BYTES: usize = 16 << 10;
/// Size of a buffer for large bodies and for heads that do not fit a small one.
pub const LARGE_BYTES: usize = 128 << 10;
/// How many buffers of a size a worker keeps; more go back to the allocator.
const KEPT: usize = 64;

/// The buffers of one worker that nobody uses at the moment.
#[derive(Default)]
pub struct Buffers {
    small: RefCell<Vec<Box<[u8]>>>,
    large: RefCell<Vec<Box<[u8]>>>,
    texts: RefCell<Vec<Vec<u8>>>,
}

impl Buffers {
    fn take(&self, large: bool) -> Box<[u8]> {
        let (list, size) = match large {
            true => (&self.large, LARGE_BYTES),
            false => (&self.small, SMALL_BYTES),
        };
        list.borrow_mut().pop().unwrap_or_else(|| vec![0; size].into_boxed_slice())
    }

    fn give(&self, bytes: Box<[u8]>) {
        let list = match bytes.len() {
            0 => return,
            LARGE_BYTES => &self.large,
            _ => &self.small,
        };
        let mut list = list.borrow_mut();
        if list.len() < KEPT {
            list.push(bytes);
        }
    }

    /// An empty text to write a head into.
    pub fn take_text(&self) -> Vec<u8> {
        self.texts.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(2048))
    }

    /// Takes a text back.
    pub fn give_text(&self, mut text: Vec<u8>) {
        let mut texts = self.texts.borrow_mut();
        if texts.len() < KEPT && text.capacity() <= LARGE_BYTES {
            text.clear();
            texts.push(text);
        }
    }
}

/// Bytes that were received and not used yet. Holds memory only while it holds bytes.
#[derive(Default)]
pub struct Buffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

/// How much a read may bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appetite {
    /// A head or a small body.
    Small,
    /// A large body: fewer, larger reads.
    Large,
}

impl Buffer {
    /// The bytes, oldest first.
    pub fn data(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Drops the first bytes; memory goes back when none is left.
    pub fn consume(&mut self, count: usize, buffers: &Buffers) {
        debug_assert!(count <= self.end - self.start);
        self.start += count;
        if self.is_empty() {
            self.release(buffers);
        }
    }

    /// Moves bytes towards the front, over bytes that are done with; both places count from the first byte.
    pub fn move_down(&mut self, from: usize, to: usize, count: usize) {
        debug_assert!(to <= from && from + count <= self.end - self.start);
        let from = self.start + from;
        self.bytes.copy_within(from..from + count, self.start + to);
    }

    /// Gives the memory back, with whatever it holds.
    pub fn release(&mut self, buffers: &Buffers) {
        buffers.give(std::mem::take(&mut self.bytes));
        (self.start, self.end) = (0, 0);
    }

    /// Reads once and appends; 0 is the end of the stream. Holds no memory while it waits for a first byte.
    ///
    /// # Errors
    /// Those of the stream; `OutOfMemory` when the largest buffer is full.
    pub fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        stream: &RefCell<Stream>,
        buffers: &Buffers,
        appetite: Appetite,
    ) -> Poll<io::Result<usize>> {
        if let Err(error) = self.make_room(buffers, appetite) {
            return Poll::Ready(Err(error));
        }
        let mut room = ReadBuf::new(&mut self.bytes[self.end..]);
        let mut stream = stream.borrow_mut();
        match Pin::new(&mut *stream).poll_read(cx, &mut room) {
            Poll::Ready(Ok(())) => {
                let count = room.filled().len();
                self.end += count;
                if self.is_empty() {
                    self.release(buffers);
                }
                Poll::Ready(Ok(count))
            }
            other => {
                if self.is_empty() {
                    self.release(buffers);
                }
                other.map_ok(|()| 0)
            }
        }
    }

    fn make_room(&mut self, buffers: &Buffers, appetite: Appetite) -> io::Result<()> {
        if self.bytes.is_empty() {
            self.bytes = buffers.take(appetite == Appetite::Large);
        }
        if self.end < self.bytes.len() {
            return Ok(());
        }
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
        } else if self.bytes.len() < LARGE_BYTES {
            let mut large = buffers.take(true);
            large[..self.end].copy_from_slice(&self.bytes[..self.end]);
            buffers.give(std::mem::replace(&mut self.bytes, large));
        } else {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        (self.start, self.end) = (0, self.end - self.start);
        Ok(())
    }
}
