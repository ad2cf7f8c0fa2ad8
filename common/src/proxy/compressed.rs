//! Compressed: the body of an answer that is compressed piece by piece while it passes.

use std::{
    io::{self, Write},
    mem,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
};

use brotli::CompressorWriter;
use bytes::Bytes;
use flate2::{Compress, Compression as Level, FlushCompress, Status};

use super::{body::Incoming, exchange::Exchange, shared::Shared};
use crate::{
    filter::{Compression, CompressionChoice, ContentCoding},
    http1::{BodyError, BodyFraming},
    message::{Fields, Method, ResponseHead},
};

/// Most bytes that are compressed before somebody else has his turn.
const PIECE_BYTES: usize = 16 << 10;
/// Room for what comes out that is asked for at once.
const STEP_BYTES: usize = 8 << 10;
/// Memory that the compressors of an engine take at once; further answers pass as they are.
const MOST_BYTES: u64 = 256 << 20;
/// What gzip takes; measured, and rounded up.
const GZIP_BYTES: u64 = 384 << 10;
/// What Brotli takes for short bodies, for others, and with more than usual effort.
const BROTLI_BYTES: [u64; 3] = [1 << 20, 2 << 20, 6 << 20];
/// Smallest window, and the largest ones of gzip and of Brotli, as powers of two. Brotli takes four times the memory for
/// eight times the window, and gains little on texts.
const SMALLEST_WINDOW: u8 = 10;
const GZIP_WINDOW: u8 = 15;
const BROTLI_WINDOW: u8 = 16;
/// Largest window for short bodies.
const SHORT_WINDOW: u8 = 12;
/// Levels of Brotli above this one take tables that are larger, and very large ones with small windows.
const BROTLI_USUAL_LEVEL: u8 = 4;
const BROTLI_TABLE_WINDOW: u8 = 17;
/// Highest level of Brotli: those beyond take up to ten times the memory, for files that are compressed once.
const BROTLI_LEVEL: u8 = 6;

/// A body that is compressed as it comes. What has come when the backend pauses goes out before anything else is waited for.
pub struct Compressed<'a> {
    inner: Incoming<'a>,
    compressor: Compressor,
    /// What is compressed, and how much of it has been taken.
    ready: Vec<u8>,
    taken: usize,
    /// Whether the compressor holds something back.
    holds: bool,
}

/// What compresses one body. When it is dropped before the end, the body never had one.
pub struct Compressor {
    coder: Coder,
    _room: Room,
}

enum Coder {
    Gzip(Compress),
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    /// The body has ended.
    Done,
}

/// Decides whether the body of an answer is compressed, makes its head say so, and gives what does it; beside it the
/// framing of what the client gets.
pub fn begin(
    x: &Exchange<'_>,
    head: &mut ResponseHead,
    framing: BodyFraming,
) -> (Option<Box<Compressor>>, BodyFraming) {
    let mut routes = x.route.iter().chain(&x.outer);
    match routes.find_map(|route| route.compression.as_deref()) {
        Some(compression) => begin_with(x, compression, (head, framing)),
        None => (None, framing),
    }
}

fn begin_with(
    x: &Exchange<'_>,
    compression: &Compression,
    (head, framing): (&mut ResponseHead, BodyFraming),
) -> (Option<Box<Compressor>>, BodyFraming) {
    let is_head = x.head.method == Method::Head;
    if !framing.has_body() && !is_head {
        return (None, framing);
    }
    let Some(choice) = compression.choose(&x.head, head) else { return (None, framing) };
    if is_head {
        choice.tell(head);
        return (None, framing);
    }
    let Some(compressor) = Compressor::new(&x.worker().shared, choice) else { return (None, framing) };
    choice.tell(head);
    (Some(Box::new(compressor)), BodyFraming::Chunked)
}

impl<'a> Compressed<'a> {
    /// A body as it goes on: compressed, or as it is.
    pub fn apply(compressor: Option<Box<Compressor>>, inner: Incoming<'a>) -> Incoming<'a> {
        match compressor {
            Some(compressor) => Incoming::Compressed(Box::new(Self::new(*compressor, inner))),
            None => inner,
        }
    }

    fn new(compressor: Compressor, inner: Incoming<'a>) -> Self {
        Self { inner, compressor, ready: Vec::new(), taken: 0, holds: false }
    }

    /// See [`Incoming::poll_data`].
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, BodyError>> {
        while self.data().is_empty() {
            self.taken = 0;
            self.ready.clear();
            if self.compressor.is_done() {
                return Poll::Ready(Ok(false));
            }
            let done = match self.inner.poll_data(cx)? {
                Poll::Ready(true) => self.compress_piece(),
                Poll::Ready(false) => self.compressor.finish(&mut self.ready),
                Poll::Pending if self.holds => {
                    self.holds = false;
                    self.compressor.flush(&mut self.ready)
                }
                Poll::Pending => return Poll::Pending,
            };
            done.map_err(|error| BodyError::Broken(error.kind()))?;
        }
        Poll::Ready(Ok(true))
    }

    fn compress_piece(&mut self) -> io::Result<()> {
        let data = self.inner.data();
        let piece = &data[..data.len().min(PIECE_BYTES)];
        let count = piece.len();
        self.compressor.write(piece, &mut self.ready)?;
        self.inner.consume(count);
        self.holds = true;
        Ok(())
    }

    /// See [`Incoming::data`].
    pub fn data(&self) -> &[u8] {
        &self.ready[self.taken..]
    }

    /// See [`Incoming::consume`].
    pub fn consume(&mut self, count: usize) {
        self.taken += count;
    }

    /// Takes payload that is compressed, up to so many bytes.
    pub fn take(&mut self, most_bytes: usize) -> Bytes {
        let ready = self.data();
        let data = Bytes::copy_from_slice(&ready[..ready.len().min(most_bytes)]);
        self.consume(data.len());
        data
    }

    /// See [`Incoming::trailers`].
    pub fn trailers(&self) -> &Fields {
        self.inner.trailers()
    }

    /// See [`Incoming::is_done`].
    pub fn is_done(&self) -> bool {
        self.compressor.is_done() && self.data().is_empty()
    }
}

impl Compressor {
    /// `None` if all memory for it is taken.
    fn new(shared: &Arc<Shared>, choice: CompressionChoice) -> Option<Self> {
        let (coder, room) = match choice.coding {
            ContentCoding::Gzip => {
                let room = Room::take(shared, GZIP_BYTES)?;
                let window = window(choice.length, GZIP_WINDOW);
                let level = Level::new(u32::from(choice.level.clamp(1, 9)));
                (Coder::Gzip(Compress::new_gzip(level, window)), room)
            }
            ContentCoding::Brotli => {
                let level = choice.level.min(BROTLI_LEVEL);
                let is_usual = level <= BROTLI_USUAL_LEVEL;
                let window = match is_usual {
                    true => window(choice.length, BROTLI_WINDOW),
                    false => BROTLI_TABLE_WINDOW,
                };
                let bytes = match (is_usual, window <= SHORT_WINDOW) {
                    (true, true) => BROTLI_BYTES[0],
                    (true, false) => BROTLI_BYTES[1],
                    (false, _) => BROTLI_BYTES[2],
                };
                let room = Room::take(shared, bytes)?;
                let coder = CompressorWriter::new(Vec::new(), STEP_BYTES, level.into(), window.into());
                (Coder::Brotli(Box::new(coder)), room)
            }
        };
        Some(Self { coder, _room: room })
    }

    fn is_done(&self) -> bool {
        matches!(self.coder, Coder::Done)
    }

    fn write(&mut self, data: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        match &mut self.coder {
            Coder::Gzip(gzip) => deflate(gzip, data, FlushCompress::None, out),
            Coder::Brotli(brotli) => {
                brotli.write_all(data)?;
                move_out(brotli, out);
                Ok(())
            }
            Coder::Done => Ok(()),
        }
    }

    /// Gives out all that was written, so that whoever reads it has it too.
    fn flush(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        match &mut self.coder {
            Coder::Gzip(gzip) => deflate(gzip, &[], FlushCompress::Sync, out),
            Coder::Brotli(brotli) => {
                brotli.flush()?;
                move_out(brotli, out);
                Ok(())
            }
            Coder::Done => Ok(()),
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        match mem::replace(&mut self.coder, Coder::Done) {
            Coder::Gzip(mut gzip) => deflate(&mut gzip, &[], FlushCompress::Finish, out),
            Coder::Brotli(brotli) => {
                out.append(&mut brotli.into_inner());
                Ok(())
            }
            Coder::Done => Ok(()),
        }
    }
}

/// How far back a compressor looks, as a power of two: no further than the body is long.
fn window(length: Option<u64>, largest: u8) -> u8 {
    let needed = length.map(|length| length.checked_next_power_of_two().map_or(64, u64::trailing_zeros));
    needed.map_or(largest, |needed| (needed as u8).clamp(SMALLEST_WINDOW, largest))
}

/// Compresses this much with gzip, and gives out as much as `flush` says.
fn deflate(gzip: &mut Compress, mut data: &[u8], flush: FlushCompress, out: &mut Vec<u8>) -> io::Result<()> {
    loop {
        out.reserve(STEP_BYTES);
        let before = gzip.total_in();
        let status = gzip.compress_vec(data, out, flush).map_err(io::Error::other)?;
        data = &data[(gzip.total_in() - before) as usize..];
        let has_room = out.len() < out.capacity();
        match (flush, status) {
            (FlushCompress::Finish, Status::StreamEnd) => return Ok(()),
            (FlushCompress::Finish, _) if !has_room => {}
            (FlushCompress::None | FlushCompress::Sync, _) if has_room && data.is_empty() => return Ok(()),
            // It takes no more although there is room.
            (_, Status::BufError) => return Err(io::ErrorKind::WriteZero.into()),
            _ => {}
        }
    }
}

/// Moves what Brotli gave out.
fn move_out(brotli: &mut CompressorWriter<Vec<u8>>, out: &mut Vec<u8>) {
    match out.is_empty() {
        true => mem::swap(out, brotli.get_mut()),
        false => out.append(brotli.get_mut()),
    }
}

/// Memory for a compressor; given back when this is dropped.
struct Room {
    shared: Arc<Shared>,
    bytes: u64,
}

impl Room {
    fn take(shared: &Arc<Shared>, bytes: u64) -> Option<Self> {
        let held = &shared.compressing;
        let more = |held: u64| held.checked_add(bytes).filter(|held| *held <= MOST_BYTES);
        held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Self { shared: shared.clone(), bytes })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.shared.compressing.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
