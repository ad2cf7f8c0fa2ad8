//! Usage: what a process has used of processors and memory, as the system says in `/proc`.

use std::{fs, time::Duration};

use anyhow::Context;

/// Processor time of a process so far, its own and the system's for it. Exact, unlike the ticks in `stat`.
///
/// # Errors
/// If the process has ended.
pub fn processor_time(process: u32) -> anyhow::Result<Duration> {
    let folder = format!("/proc/{process}/task");
    let tasks = fs::read_dir(&folder).with_context(|| format!("process {process} has ended"))?;
    let texts = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok());
    let nanoseconds: Option<u64> = texts.map(|text| on_processor(&text)).sum();
    nanoseconds.map(Duration::from_nanos).with_context(|| format!("{folder}/*/schedstat has no times"))
}

/// Memory in use, in bytes, shared pages included.
///
/// # Errors
/// If the process has ended.
pub fn memory_bytes(process: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{process}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("process {process} has ended"))?;
    resident_bytes(&text).with_context(|| format!("{path} has no line VmRSS"))
}

/// The first number of `schedstat`: nanoseconds spent on a processor.
fn on_processor(schedstat: &str) -> Option<u64> {
    schedstat.split_whitespace().next()?.parse().ok()
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_the_system_are_read() {
        assert_eq!(on_processor("184179 55 3\n"), Some(184_179));
        assert_eq!(on_processor(""), None);
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t    2048 kB\n"), Some(2_097_152));
        assert_eq!(resident_bytes("Name:\tx\n"), None);
    }

    #[test]
    fn the_own_process_has_used_something() {
        let own = std::process::id();
        assert!(memory_bytes(own).unwrap() > 100_000);
        assert!(processor_time(own).unwrap() > Duration::ZERO);
        assert!(processor_time(u32::MAX).is_err());
    }
}
