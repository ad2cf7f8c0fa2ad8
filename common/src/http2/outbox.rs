//! Outbox: bytes that wait to be written to a connection.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::io::AsyncWrite;

/// Payload up to this size is copied, so that it goes out in one piece with what is around it.
const COPIED_BYTES: usize = 4 << 10;
/// Most pieces that are written at once.
const PIECES: usize = 32;
/// Size of a piece from which on the next one is begun: what is written of it is only dropped with all of it.
const PIECE_BYTES: usize = 16 << 10;
/// Memory that a piece begins with.
const FIRST_BYTES: usize = 512;
/// Memory that is kept for what is written next.
const KEPT_BYTES: usize = 2 * PIECE_BYTES;

/// Bytes in the order in which they are written.
#[derive(Default)]
pub(super) struct Outbox {
    pieces: VecDeque<Piece>,
    /// Bytes of the first piece that are written already.
    written: usize,
    /// All that is not written.
    bytes: usize,
    spare: Vec<u8>,
}

enum Piece {
    Own(Vec<u8>),
    Shared(Bytes),
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

impl Outbox {
    /// Bytes that are not written.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Whether all is written.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Appends what a closure appends to what it is given.
    pub fn write<R>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        if !matches!(self.pieces.back(), Some(Piece::Own(own)) if own.len() < PIECE_BYTES) {
            let mut own = std::mem::take(&mut self.spare);
            own.reserve(FIRST_BYTES);
            self.pieces.push_back(Piece::Own(own));
        }
        let Some(Piece::Own(tail)) = self.pieces.back_mut() else { unreachable!("it was just made") };
        let before = tail.len();
        let result = write(tail);
        self.bytes += tail.len() - before;
        result
    }

    /// Appends payload, without a copy if it is large.
    pub fn push(&mut self, payload: Bytes) {
        if payload.len() <= COPIED_BYTES {
            return self.write(|out| out.extend_from_slice(&payload));
        }
        self.bytes += payload.len();
        self.pieces.push_back(Piece::Shared(payload));
    }

    /// Writes as much as the stream takes; ready when all is written. `wrote` is told of each step.
    pub fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        mut wrote: impl FnMut(usize),
    ) -> Poll<io::Result<()>> {
        while self.bytes > 0 {
            let count = ready!(self.poll_some(stream, cx))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            wrote(count);
            self.advance(count);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_some<S: AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if let [first] = self.pieces.as_slices().0
            && self.pieces.len() == 1
        {
            return Pin::new(stream).poll_write(cx, &first.bytes()[self.written..]);
        }
        let mut parts = [io::IoSlice::new(&[]); PIECES];
        let mut skip = self.written;
        for (part, piece) in parts.iter_mut().zip(&self.pieces) {
            *part = io::IoSlice::new(&piece.bytes()[std::mem::take(&mut skip)..]);
        }
        let count = self.pieces.len().min(PIECES);
        Pin::new(stream).poll_write_vectored(cx, &parts[..count])
    }

    fn advance(&mut self, count: usize) {
        self.bytes -= count;
        self.written += count;
        while let Some(first) = self.pieces.front() {
            let Some(rest) = self.written.checked_sub(first.bytes().len()) else { break };
            self.written = rest;
            if let Some(Piece::Own(mut own)) = self.pieces.pop_front()
                && own.capacity() <= KEPT_BYTES
            {
                own.clear();
                self.spare = own;
            }
        }
    }

    /// Gives memory back that nothing is in.
    pub fn shrink(&mut self) {
        if self.is_empty() {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn bytes_arrive_in_their_order_however_few_are_taken() {
        let (mut near, mut far) = tokio::io::duplex(7);
        let mut outbox = Outbox::default();
        let mut wanted = Vec::new();
        for size in [1, 9, 5000, 0, 10, 70_000, 3] {
            let piece: Vec<u8> = (0..size).map(|at| at as u8).collect();
            outbox.write(|out| out.push(b'-'));
            outbox.push(piece.clone().into());
            wanted.push(b'-');
            wanted.extend(piece);
        }
        assert_eq!(outbox.len(), wanted.len());
        let mut told = 0;
        let writing = std::future::poll_fn(|cx| outbox.poll_write(&mut near, cx, |count| told += count));
        let mut seen = vec![0; wanted.len()];
        let (written, read) = tokio::join!(writing, far.read_exact(&mut seen));
        assert!(written.is_ok() && read.is_ok());
        assert!(seen == wanted);
        assert!(outbox.is_empty() && told == wanted.len());
        outbox.write(|out| out.push(1));
        assert_eq!(outbox.len(), 1);
    }
}
