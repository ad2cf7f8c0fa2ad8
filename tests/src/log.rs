//! An access log in memory, so that a test can wait for its lines and count them.

use std::{
    io::{self, Write},
    sync::mpsc::{Receiver, Sender, channel},
    time::Duration,
};

use selvedge_common::runtime::{
    access_log::{AccessLog, AccessLogFormat},
    metrics::AccessLogCounts,
};
use serde_json::Value;

/// Longest wait for a line.
const PATIENCE: Duration = Duration::from_secs(20);

/// The lines of an access log.
pub struct Lines(Receiver<Value>);

/// A log in JSON for [`Setup`](crate::proxy::Setup) and its lines.
pub fn lines() -> (AccessLog, Lines) {
    let (sender, receiver) = channel();
    let output = Box::new(Output { sender, text: Vec::new() });
    let log = AccessLog::start(AccessLogFormat::Json, output, AccessLogCounts::default());
    (log.expect("threads can be started"), Lines(receiver))
}

impl Lines {
    /// Waits for the next line.
    pub fn next_line(&self) -> Value {
        self.0.recv_timeout(PATIENCE).expect("a line is written")
    }

    /// All further lines; returns when the log is closed, that is after the engine was dropped.
    pub fn rest(&self) -> Vec<Value> {
        self.0.iter().collect()
    }
}

struct Output {
    sender: Sender<Value>,
    text: Vec<u8>,
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        while let Some(end) = self.text.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.text.drain(..=end).collect();
            let value = serde_json::from_slice(&line).expect("a line is JSON");
            // A test that has ended reads no more.
            let _ = self.sender.send(value);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
