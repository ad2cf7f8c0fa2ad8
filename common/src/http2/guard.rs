//! Guard: watches the frames of an HTTP/2 connection and ends one whose client keeps us busy for nothing.

use std::{
    cell::Cell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

/// Bytes of the preface, which is no frame (RFC 9113 §3.4).
const PREFACE_BYTES: usize = 24;
/// Bytes in front of each frame's payload (RFC 9113 §4.1).
const HEAD_BYTES: usize = 9;
/// Costs that a client may run up at once.
const BURST: u64 = 4000;
/// Costs forgiven in each second.
const PER_SECOND: u64 = 100;
/// Bytes sent to the client that pay for one.
const BYTES_PER_COST: u64 = 32;

/// What has gone over a connection.
#[derive(Debug, Default)]
pub struct Traffic {
    read: Cell<u64>,
    written: Cell<u64>,
    flooded: Cell<bool>,
}

impl Traffic {
    /// Bytes that the client has sent.
    pub fn read(&self) -> u64 {
        self.read.get()
    }

    /// Bytes that the client's side has taken.
    pub fn written(&self) -> u64 {
        self.written.get()
    }

    /// Whether the connection was ended because of its frames.
    pub fn is_flooded(&self) -> bool {
        self.flooded.get()
    }
}

/// A stream that fails to be read once its client has sent too many frames that carry nothing.
///
/// `h2` bounds memory, and some floods: of empty DATA, CONTINUATION and streams reset before it saw them. What it
/// answers or drops at once, it takes in any number: PING, SETTINGS, PRIORITY, WINDOW_UPDATE, unknown frames, and
/// resets of streams that it did see. Each of these costs something here; answers pay for them, as an honest client
/// sends them beside requests, and so does time.
#[derive(Debug)]
pub struct Guard<S> {
    stream: S,
    traffic: Rc<Traffic>,
    scanner: Scanner,
    budget: Budget,
}

/// Finds the frames in a sequence of bytes.
#[derive(Debug)]
struct Scanner {
    /// Bytes that are no head of a frame.
    skip: usize,
    head: [u8; HEAD_BYTES],
    filled: usize,
}

#[derive(Debug)]
struct Budget {
    left: u64,
    /// Bytes written that have paid already.
    paid: u64,
    refilled: Instant,
}

impl<S> Guard<S> {
    /// Guards a connection of which not even the preface was read.
    pub fn new(stream: S) -> (Self, Rc<Traffic>) {
        let traffic = Rc::new(Traffic::default());
        let budget = Budget { left: BURST, paid: 0, refilled: Instant::now() };
        let scanner = Scanner { skip: PREFACE_BYTES, head: [0; HEAD_BYTES], filled: 0 };
        (Self { stream, traffic: traffic.clone(), scanner, budget }, traffic)
    }

    fn see(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.traffic.read.set(self.traffic.read.get() + bytes.len() as u64);
        let cost = self.scanner.cost(bytes);
        if cost == 0 || self.budget.spend(cost, self.traffic.written.get()) {
            return Ok(());
        }
        self.traffic.flooded.set(true);
        Err(io::Error::new(io::ErrorKind::InvalidData, "too many frames that carry nothing"))
    }

    fn wrote(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(count)) = &result {
            self.traffic.written.set(self.traffic.written.get() + *count as u64);
        }
        result
    }
}

impl Scanner {
    /// What the frames that begin in these bytes cost.
    fn cost(&mut self, mut bytes: &[u8]) -> u64 {
        let mut cost = 0;
        while !bytes.is_empty() {
            if self.skip > 0 {
                let count = self.skip.min(bytes.len());
                self.skip -= count;
                bytes = &bytes[count..];
                continue;
            }
            let count = (HEAD_BYTES - self.filled).min(bytes.len());
            self.head[self.filled..self.filled + count].copy_from_slice(&bytes[..count]);
            self.filled += count;
            bytes = &bytes[count..];
            if self.filled == HEAD_BYTES {
                self.filled = 0;
                self.skip = usize::from(self.head[0]) << 16
                    | usize::from(self.head[1]) << 8
                    | usize::from(self.head[2]);
                cost += frame_cost(self.head[3]);
            }
        }
        cost
    }
}

/// What a frame of this type costs (RFC 9113 §6).
fn frame_cost(kind: u8) -> u64 {
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const SETTINGS: u8 = 4;
    match kind {
        DATA | HEADERS => 0,
        // A request was begun for nothing.
        RST_STREAM => 4,
        // Every open stream may have to be changed.
        SETTINGS => 10,
        _ => 1,
    }
}

impl Budget {
    /// Pays for frames; `false` if there is not enough left.
    fn spend(&mut self, cost: u64, written: u64) -> bool {
        let earned = (written - self.paid) / BYTES_PER_COST;
        self.paid += earned * BYTES_PER_COST;
        self.left = (self.left + earned).min(BURST);
        if self.left < cost {
            let now = Instant::now();
            let forgiven = (now - self.refilled).as_millis() as u64 * PER_SECOND / 1000;
            self.refilled = now;
            self.left = (self.left + forgiven).min(BURST);
        }
        match self.left.checked_sub(cost) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, out))?;
        Poll::Ready(self.see(&out.filled()[before..]))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.wrote(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        let mut frame = vec![(length >> 16) as u8, (length >> 8) as u8, length as u8, kind, 0, 0, 0, 0, 1];
        frame.resize(HEAD_BYTES + length, 6);
        frame
    }

    fn sequence(frames: &[(u8, usize)]) -> Vec<u8> {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        frames.iter().for_each(|(kind, length)| bytes.extend(frame(*kind, *length)));
        bytes
    }

    #[test]
    fn frames_are_found_however_the_bytes_arrive() {
        // SETTINGS, HEADERS, DATA, PING, WINDOW_UPDATE, RST_STREAM, an unknown one.
        let bytes = sequence(&[(4, 12), (1, 70), (0, 70_000), (6, 8), (8, 4), (3, 4), (77, 0)]);
        for size in [1, 2, 9, 10, 24, 1000, bytes.len()] {
            let mut scanner = Scanner { skip: PREFACE_BYTES, head: [0; HEAD_BYTES], filled: 0 };
            let cost: u64 = bytes.chunks(size).map(|piece| scanner.cost(piece)).sum();
            assert_eq!(cost, 10 + 1 + 1 + 4 + 1, "in pieces of {size}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_ends_the_connection() {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let (mut guard, traffic) = Guard::new(near);
        far.write_all(&sequence(&vec![(6, 8); BURST as usize])).await.unwrap();
        let mut room = vec![0; 1 << 20];
        assert!(guard.read(&mut room).await.is_ok());
        far.write_all(&frame(6, 8)).await.unwrap();
        assert_eq!(guard.read(&mut room).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(traffic.is_flooded());
    }

    #[tokio::test(start_paused = true)]
    async fn answers_and_time_pay() {
        let mut budget = Budget { left: BURST, paid: 0, refilled: Instant::now() };
        assert!(budget.spend(BURST, 0));
        assert!(!budget.spend(1, BYTES_PER_COST - 1));
        assert!(budget.spend(1, BYTES_PER_COST));
        assert!(!budget.spend(1, BYTES_PER_COST), "each byte pays once");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(budget.spend(PER_SECOND, BYTES_PER_COST));
        assert!(!budget.spend(1, BYTES_PER_COST));
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert!(!budget.spend(BURST + 1, BYTES_PER_COST), "no more than a burst is saved up");
    }

    #[tokio::test]
    async fn requests_and_their_bodies_cost_nothing() {
        let (near, mut far) = tokio::io::duplex(8 << 20);
        let (mut guard, _) = Guard::new(near);
        far.write_all(&sequence(&vec![(1, 50); 3 * BURST as usize])).await.unwrap();
        far.write_all(&sequence(&vec![(0, 50); 3 * BURST as usize])[PREFACE_BYTES..]).await.unwrap();
        drop(far);
        assert!(guard.read_to_end(&mut Vec::new()).await.is_ok());
    }
}
