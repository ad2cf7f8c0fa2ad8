//! The thread that writes the access log and survives an output that fails.

use std::{
    io::{self, ErrorKind, Write},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::{self, Thread},
    time::Duration,
};

use crate::runtime::metrics::AccessLogCounts;

/// Shortest and longest pause before a failed write is tried again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// Whole lines of one worker.
pub(super) struct Lines {
    /// The lines, each with its line feed.
    pub text: Vec<u8>,
    /// How many they are.
    pub count: u64,
}

/// The workers' side of the writer.
pub(super) struct Shared {
    sender: SyncSender<Lines>,
    handed_over: AtomicU64,
    progress: Arc<Progress>,
    thread: Thread,
    pub(super) counts: AccessLogCounts,
}

/// What the writer tells those who wait for it.
#[derive(Default)]
struct Progress {
    /// Buffers dealt with.
    done: Mutex<u64>,
    changed: Condvar,
    /// Nobody is left who could hand over more.
    closed: AtomicBool,
}

impl Shared {
    /// Starts the thread, with room for this many waiting buffers.
    pub(super) fn start(
        output: Box<dyn Write + Send>,
        counts: AccessLogCounts,
        waiting: usize,
    ) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(waiting);
        let progress = Arc::new(Progress::default());
        let mut writer = Writer { output, counts: counts.clone(), progress: progress.clone() };
        let thread = thread::Builder::new().name("access-log".into()).spawn(move || writer.run(&receiver))?;
        let thread = thread.thread().clone();
        Ok(Self { sender, handed_over: AtomicU64::new(0), progress, thread, counts })
    }

    /// Gives lines to the writer, or gives them back when too many wait already.
    pub(super) fn hand_over(&self, lines: Lines) -> Result<(), TrySendError<Lines>> {
        self.sender.try_send(lines)?;
        self.handed_over.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Waits until everything handed over is dealt with, but no longer than this; says whether it is.
    pub(super) fn finish(&self, longest: Duration) -> bool {
        let wanted = self.handed_over.load(Ordering::Acquire);
        let done = self.progress.done.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.progress.changed.wait_timeout_while(done, longest, |done| *done < wanted);
        *waited.unwrap_or_else(PoisonError::into_inner).0 >= wanted
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.progress.closed.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

struct Writer {
    output: Box<dyn Write + Send>,
    counts: AccessLogCounts,
    progress: Arc<Progress>,
}

impl Writer {
    /// Writes until the last sender is gone.
    fn run(&mut self, receiver: &Receiver<Lines>) {
        while let Ok(lines) = receiver.recv() {
            if !self.write(&lines.text) {
                self.counts.dropped_lines.inc_by(lines.count);
            }
            *self.progress.done.lock().unwrap_or_else(PoisonError::into_inner) += 1;
            self.progress.changed.notify_all();
        }
    }

    /// Writes all of it, trying again after failures from where it stopped, so that no line is torn or
    /// doubled. Gives up only when the log is closed; says whether it succeeded.
    fn write(&mut self, mut text: &[u8]) -> bool {
        let mut pause = PAUSES.0;
        while !text.is_empty() {
            match self.output.write(text) {
                Ok(written) if written > 0 => {
                    text = &text[written.min(text.len())..];
                    pause = PAUSES.0;
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                // An output shared with a program that made it non-blocking is not broken, only slow.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Ok(_) | Err(_) => {
                    self.counts.write_errors.inc();
                }
            }
            if self.progress.closed.load(Ordering::Acquire) {
                return false;
            }
            thread::park_timeout(pause);
            pause = (pause * 2).min(PAUSES.1);
        }
        let _ = self.output.flush();
        true
    }
}
