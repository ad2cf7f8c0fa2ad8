//! The access log: one line for each request, which never makes a worker wait.
//!
//! A worker formats its lines into a buffer of its own. Full or aged buffers go through a bounded channel to
//! a thread that writes them. When that thread cannot keep up (a slow reader, a full disk, a closed stdout),
//! lines are dropped and counted; requests go on.

mod escape;
mod format;
mod writer;

use std::{
    cell::RefCell,
    io::{self, Write},
    net::{IpAddr, SocketAddr},
    os::fd::AsFd,
    sync::{Arc, mpsc},
    time::{Duration, SystemTime},
};

use self::{
    format::Stamp,
    writer::{Lines, Shared},
};
use super::metrics::AccessLogCounts;
use crate::message::Version;

/// Bytes of lines that a worker gathers before it hands them over without waiting for a flush.
const HAND_OVER_BYTES: usize = 32 << 10;
/// Bytes of lines that a worker keeps at most while the writer is busy; more are dropped.
const KEEP_BYTES: usize = 64 << 10;
/// Buffers that wait for the writer at most, of all workers together.
const WAITING_BUFFERS: usize = 64;

/// How a line of the access log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessLogFormat {
    /// No access log.
    Off,
    /// The common log format with the further columns as `key=value`.
    #[default]
    Text,
    /// One JSON object in a line.
    Json,
}

/// What a line shows. It borrows, so that a worker builds it on its stack.
#[derive(Clone, Copy, Debug)]
pub struct AccessRecord<'a> {
    /// When the request's first byte came.
    pub time: SystemTime,
    /// Who sent it: the connection's other end, or what a trusted proxy before us says.
    pub client: IpAddr,
    /// Method as sent.
    pub method: &'a [u8],
    /// Request target as sent, query included.
    pub target: &'a [u8],
    /// `Host` or `:authority` as sent.
    pub host: &'a [u8],
    /// Version that the client spoke.
    pub version: Version,
    /// Status sent to the client; 0 when the connection ended before one was.
    pub status: u16,
    /// Bytes of the request body that came.
    pub received_bytes: u64,
    /// Bytes of the response body that went out.
    pub sent_bytes: u64,
    /// From the first byte of the request to the last of the response.
    pub duration: Duration,
    /// Id of the route that matched.
    pub route: Option<&'a str>,
    /// Id of the backend that was chosen.
    pub backend: Option<&'a str>,
    /// Endpoint that was asked last.
    pub endpoint: Option<SocketAddr>,
    /// How many times the request was sent to an endpoint.
    pub tries: u32,
    /// Generation of the snapshot that decided.
    pub generation: u64,
    /// Why the proxy itself answered or gave up; `None` for a response of a backend.
    pub reason: Option<&'a str>,
    /// The request's id, as the backend saw it.
    pub request_id: &'a [u8],
    /// `User-Agent` as sent.
    pub user_agent: Option<&'a [u8]>,
    /// `Referer` as sent.
    pub referer: Option<&'a [u8]>,
    /// TLS version of the client's connection, for example `TLSv1.3`; `None` for plain text.
    pub tls: Option<&'a str>,
}

/// The access log of a process. Clones write to the same output.
#[derive(Clone)]
pub struct AccessLog {
    format: AccessLogFormat,
    shared: Option<Arc<Shared>>,
}

impl AccessLog {
    /// A log that writes nothing and costs nothing.
    pub fn off() -> Self {
        Self { format: AccessLogFormat::Off, shared: None }
    }

    /// A log on standard output.
    ///
    /// Fails when standard output cannot be duplicated or the writing thread cannot be started.
    pub fn stdout(format: AccessLogFormat, counts: AccessLogCounts) -> io::Result<Self> {
        // Not `io::Stdout`: it keeps bytes that it failed to write, and whoever prints holds its lock.
        let output = io::stdout().as_fd().try_clone_to_owned()?;
        Self::start(format, Box::new(std::fs::File::from(output)), counts)
    }

    /// A log on this output, which the thread named `access-log` alone writes to.
    ///
    /// Fails when the thread cannot be started.
    pub fn start(
        format: AccessLogFormat,
        output: Box<dyn Write + Send>,
        counts: AccessLogCounts,
    ) -> io::Result<Self> {
        if format == AccessLogFormat::Off {
            return Ok(Self::off());
        }
        Ok(Self { format, shared: Some(Arc::new(Shared::start(output, counts, WAITING_BUFFERS)?)) })
    }

    /// The handle of one worker.
    pub fn worker(&self) -> WorkerLog {
        WorkerLog { format: self.format, shared: self.shared.clone(), buffer: RefCell::default() }
    }

    /// Waits until every line handed over so far is written, but no longer than this. Says whether it is so.
    ///
    /// It blocks: for the end of a process, after the workers have flushed.
    pub fn finish(&self, longest: Duration) -> bool {
        self.shared.as_ref().is_none_or(|shared| shared.finish(longest))
    }
}

/// One worker's end of the access log; neither shared nor sent between threads while in use.
///
/// Its lines reach the output at a [`flush`](Self::flush), when its buffer is full, or when it is dropped.
pub struct WorkerLog {
    format: AccessLogFormat,
    shared: Option<Arc<Shared>>,
    buffer: RefCell<Buffer>,
}

#[derive(Default)]
struct Buffer {
    text: Vec<u8>,
    lines: u64,
    stamp: Stamp,
}

impl WorkerLog {
    /// Whether records are written at all; lets a caller skip gathering what only a record needs.
    pub fn is_on(&self) -> bool {
        self.shared.is_some()
    }

    /// Adds a line. Never waits; drops lines, and counts them, while the output cannot keep up.
    pub fn record(&self, record: &AccessRecord<'_>) {
        let Some(shared) = &self.shared else { return };
        let mut buffer = self.buffer.borrow_mut();
        let buffer = &mut *buffer;
        if buffer.text.capacity() == 0 {
            // One line may begin just below the mark.
            buffer.text.reserve(HAND_OVER_BYTES + (4 << 10));
        }
        match self.format {
            AccessLogFormat::Off => return,
            AccessLogFormat::Text => format::text(&mut buffer.text, &mut buffer.stamp, record),
            AccessLogFormat::Json => format::json(&mut buffer.text, &mut buffer.stamp, record),
        }
        buffer.lines += 1;
        if buffer.text.len() >= HAND_OVER_BYTES {
            buffer.hand_over(shared);
        }
    }

    /// Hands the lines gathered so far to the writer. A worker calls it about every 100 ms and when it ends.
    pub fn flush(&self) {
        if let Some(shared) = &self.shared {
            self.buffer.borrow_mut().hand_over(shared);
        }
    }
}

impl Drop for WorkerLog {
    fn drop(&mut self) {
        self.flush();
        if let Some(shared) = &self.shared {
            shared.counts.dropped_lines.inc_by(self.buffer.get_mut().lines);
        }
    }
}

impl Buffer {
    /// Passes the lines on; if the writer is busy they stay for the next time, up to a size.
    fn hand_over(&mut self, shared: &Shared) {
        if self.lines == 0 {
            return;
        }
        let lines = Lines { text: std::mem::take(&mut self.text), count: self.lines };
        match shared.hand_over(lines) {
            Ok(()) => self.lines = 0,
            Err(mpsc::TrySendError::Full(lines) | mpsc::TrySendError::Disconnected(lines)) => {
                self.text = lines.text;
                if self.text.len() >= KEEP_BYTES {
                    shared.counts.dropped_lines.inc_by(self.lines);
                    self.text.clear();
                    self.lines = 0;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
