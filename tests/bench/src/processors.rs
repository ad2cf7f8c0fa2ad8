//! Processors: the proxy has one to itself, load and backends share another.

use std::thread;

use anyhow::Context;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Processors for the two sides.
#[derive(Clone, Copy, Debug)]
pub struct Processors {
    /// That of the proxy.
    pub proxy: usize,
    /// That of load and backends.
    pub load: usize,
}

impl Processors {
    /// The first two that this process may use.
    ///
    /// # Errors
    /// If there are not as many.
    pub fn choose() -> anyhow::Result<Self> {
        let allowed = sched_getaffinity(None).context("which processors may be used is not known")?;
        let mut numbers = (0..CpuSet::MAX_CPU).filter(|number| allowed.is_set(*number));
        match (numbers.next(), numbers.next()) {
            (Some(proxy), Some(load)) => Ok(Self { proxy, load }),
            _ => anyhow::bail!("one processor only; two are needed, one of them for the proxy alone"),
        }
    }
}

/// Keeps this thread, and what it starts, on one processor.
///
/// # Errors
/// If the system does not allow that.
pub fn pin(processor: usize) -> anyhow::Result<()> {
    let mut only = CpuSet::new();
    only.set(processor);
    sched_setaffinity(None, &only).with_context(|| format!("processor {processor} cannot be had"))
}

/// Does something on a thread that is pinned, if a processor is given.
///
/// # Errors
/// What the work gives, or if the processor cannot be had.
pub fn on<T: Send>(
    processor: Option<usize>,
    work: impl FnOnce() -> anyhow::Result<T> + Send,
) -> anyhow::Result<T> {
    let pinned = || {
        processor.map_or(Ok(()), pin)?;
        work()
    };
    thread::scope(|scope| scope.spawn(pinned).join().expect("the work does not panic"))
}
