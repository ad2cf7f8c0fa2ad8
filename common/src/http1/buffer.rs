//! Buffers: memory for bytes on their way, lent by the worker only while there are any.

use std::{
    cell::{Cell, RefCell},
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, ReadBuf};

use super::Stream;

/// Size of a buffer for heads and small bodies; also what a connection starts with. A head with a body of 16 KiB fits.
const SMALL_BYTES: usize = 20 << 10;
/// Size of a buffer for large bodies, and most for a head that does not fit a small one. A body goes on in fewer and larger
/// pieces the more of what has arrived is read at once; more than this gains nothing.
const LARGE_BYTES: usize = 384 << 10;
/// Size of a buffer for anything while very many are lent: clients that are slow on purpose hold theirs for long.
const TINY_BYTES: usize = 2 << 10;
/// Lent buffers of either size from which on smaller ones are lent. Bodies need more steps then, and arrive as well.
const MANY_LARGE: usize = 24;
const MANY_SMALL: usize = 256;
/// How many buffers of a size, and how many texts, a worker keeps; more go back to the allocator.
const KEPT: usize = 64;
/// Longest text that is kept.
const KEPT_TEXT_BYTES: usize = 128 << 10;

/// The buffers of one worker that nobody uses at the moment.
pub struct Buffers {
    small: Stock,
    large: Stock,
    texts: RefCell<Vec<Vec<u8>>>,
}

/// Buffers of one size.
struct Stock {
    size: usize,
    /// Those that are not lent.
    kept: RefCell<Vec<Memory>>,
    /// All there are, lent or not.
    alive: Rc<Cell<usize>>,
}

/// Memory that may be counted as long as it lives.
#[derive(Default)]
struct Memory {
    bytes: Box<[u8]>,
    alive: Option<Rc<Cell<usize>>>,
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Some(alive) = &self.alive {
            alive.set(alive.get() - 1);
        }
    }
}

impl Stock {
    fn of(size: usize) -> Self {
        Self { size, kept: RefCell::default(), alive: Rc::default() }
    }

    fn lent(&self) -> usize {
        self.alive.get() - self.kept.borrow().len()
    }

    fn lend(&self) -> Memory {
        self.kept.borrow_mut().pop().unwrap_or_else(|| {
            self.alive.set(self.alive.get() + 1);
            Memory { bytes: vec![0; self.size].into_boxed_slice(), alive: Some(self.alive.clone()) }
        })
    }

    fn give(&self, memory: Memory) {
        let mut kept = self.kept.borrow_mut();
        if kept.len() < KEPT {
            kept.push(memory);
        }
    }
}

impl Default for Buffers {
    fn default() -> Self {
        Self { small: Stock::of(SMALL_BYTES), large: Stock::of(LARGE_BYTES), texts: RefCell::default() }
    }
}

impl Buffers {
    /// Memory for this appetite, or less while very many are lent.
    fn lend(&self, appetite: Appetite) -> Memory {
        match appetite {
            Appetite::Large if self.large.lent() < MANY_LARGE => self.large.lend(),
            _ if self.small.lent() < MANY_SMALL => self.small.lend(),
            _ => self.lend_of(TINY_BYTES),
        }
    }

    /// Memory of this size, however much is lent.
    fn lend_of(&self, size: usize) -> Memory {
        match size {
            LARGE_BYTES => self.large.lend(),
            SMALL_BYTES => self.small.lend(),
            size => Memory { bytes: vec![0; size].into_boxed_slice(), alive: None },
        }
    }

    fn give(&self, memory: Memory) {
        match memory.bytes.len() {
            LARGE_BYTES => self.large.give(memory),
            SMALL_BYTES => self.small.give(memory),
            _ => {}
        }
    }

    /// An empty text to write a head into.
    pub fn take_text(&self) -> Vec<u8> {
        self.texts.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(2048))
    }

    /// Takes a text back.
    pub fn give_text(&self, mut text: Vec<u8>) {
        let mut texts = self.texts.borrow_mut();
        if texts.len() < KEPT && text.capacity() <= KEPT_TEXT_BYTES {
            text.clear();
            texts.push(text);
        }
    }
}

/// Bytes that were received and not used yet. Holds memory only while it holds bytes.
#[derive(Default)]
pub struct Buffer {
    memory: Memory,
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
        &self.memory.bytes[self.start..self.end]
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
        self.memory.bytes.copy_within(from..from + count, self.start + to);
    }

    /// Gives the memory back, with whatever it holds.
    pub fn release(&mut self, buffers: &Buffers) {
        buffers.give(std::mem::take(&mut self.memory));
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
        let mut room = ReadBuf::new(&mut self.memory.bytes[self.end..]);
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
        let size = self.memory.bytes.len();
        if size == 0 {
            self.memory = buffers.lend(appetite);
        }
        if self.end < self.memory.bytes.len() {
            return Ok(());
        }
        if self.start > 0 {
            self.memory.bytes.copy_within(self.start..self.end, 0);
        } else if size < LARGE_BYTES {
            // What does not fit is one head or the like, which has to be there as a whole.
            let mut larger = buffers.lend_of((size * 2).min(LARGE_BYTES));
            larger.bytes[..self.end].copy_from_slice(&self.memory.bytes[..self.end]);
            buffers.give(std::mem::replace(&mut self.memory, larger));
        } else {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        (self.start, self.end) = (0, self.end - self.start);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lend(buffers: &Buffers, appetite: Appetite, count: usize) -> Vec<Memory> {
        (0..count).map(|_| buffers.lend(appetite)).collect()
    }

    fn sizes(memory: &[Memory]) -> Vec<usize> {
        let mut sizes: Vec<_> = memory.iter().map(|memory| memory.bytes.len()).collect();
        sizes.dedup();
        sizes
    }

    #[test]
    fn while_very_many_buffers_are_lent_smaller_ones_are_lent() {
        let buffers = Buffers::default();
        for _ in 0..3 {
            let large = lend(&buffers, Appetite::Large, MANY_LARGE + MANY_SMALL + 10);
            assert_eq!(sizes(&large), [LARGE_BYTES, SMALL_BYTES, TINY_BYTES]);
            assert_eq!(sizes(&lend(&buffers, Appetite::Small, 10)), [TINY_BYTES]);
            // Given back or dropped, both count.
            for (number, memory) in large.into_iter().enumerate() {
                if number % 2 == 0 {
                    buffers.give(memory);
                }
            }
        }
        assert_eq!((buffers.large.lent(), buffers.small.lent()), (0, 0));
        assert!(buffers.small.kept.borrow().iter().all(|memory| memory.bytes.len() == SMALL_BYTES));
    }

    #[test]
    fn what_has_to_be_there_as_a_whole_gets_more_memory_even_then() {
        let buffers = Buffers::default();
        let _many = lend(&buffers, Appetite::Large, MANY_LARGE + MANY_SMALL);
        let mut buffer = Buffer::default();
        let mut size = 0;
        while size < LARGE_BYTES {
            size = (size * 2).clamp(TINY_BYTES, LARGE_BYTES);
            buffer.make_room(&buffers, Appetite::Small).unwrap();
            assert_eq!(buffer.memory.bytes.len(), size);
            buffer.end = size;
        }
        assert_eq!(
            buffer.make_room(&buffers, Appetite::Small).unwrap_err().kind(),
            io::ErrorKind::OutOfMemory
        );
    }
}
