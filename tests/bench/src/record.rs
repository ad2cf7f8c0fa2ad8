//! The record of what a request costs, which a person changes on purpose, and how far off from it one is.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use anyhow::Context;
use serde::Deserialize;

use crate::{callgrind::Counts, table::grouped};

/// What may change without being told.
const TOLERANCE: f64 = 0.05;
/// What may change in any case, however near a figure is to 0: what a program does beside requests, every so often, is
/// more on a slow machine. A call that each request makes is 1.
const BESIDE: f64 = 0.25;

/// What a request costs.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Figures {
    /// Instructions in user space.
    instructions: f64,
    /// Calls of an allocator for memory.
    allocations: f64,
    /// System calls, but for those that wait for events or read a clock.
    system_calls: f64,
}

/// The recorded figures by program.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Record(BTreeMap<String, Figures>);

/// A figure beside its record.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Judgement {
    Same,
    Better,
    Worse,
}

impl Record {
    /// Reads the file.
    ///
    /// # Errors
    /// If it is not there or is no record.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
        let record = serde_saphyr::from_str(&text);
        record.with_context(|| format!("{}: not figures by program", path.display()))
    }

    /// The programs that it has figures of.
    pub fn programs(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// A table of recorded and measured figures, and whether none is worse.
    pub fn compare(&self, measured: &BTreeMap<String, Counts>) -> (String, bool) {
        let mut table =
            "| program | per request | recorded | measured | |\n|---|---|---:|---:|---|\n".to_owned();
        let mut is_good = true;
        for (program, recorded) in &self.0 {
            let Some(counts) = measured.get(program) else { continue };
            for (name, recorded, measured) in [
                ("instructions", recorded.instructions, counts.instructions),
                ("allocations", recorded.allocations, counts.allocations),
                ("system calls", recorded.system_calls, counts.system_calls),
            ] {
                let judgement = judge(recorded, measured);
                is_good &= judgement != Judgement::Worse;
                let words = words(judgement, recorded, measured);
                let (recorded, measured) = (number(recorded), number(measured));
                let _ = writeln!(table, "| {program} | {name} | {recorded} | {measured} | {words} |");
            }
        }
        (table, is_good)
    }
}

fn judge(recorded: f64, measured: f64) -> Judgement {
    let change = measured - recorded;
    match change.abs() <= (recorded * TOLERANCE).max(BESIDE) {
        true => Judgement::Same,
        false if change < 0.0 => Judgement::Better,
        false => Judgement::Worse,
    }
}

fn words(judgement: Judgement, recorded: f64, measured: f64) -> String {
    let percent = match recorded > 0.0 {
        true => format!("{:+.1} %", (measured / recorded - 1.0) * 100.0),
        false => "from nothing".into(),
    };
    match judgement {
        Judgement::Same => percent,
        Judgement::Better => format!("{percent}: better, update the record"),
        Judgement::Worse => format!("{percent}: WORSE"),
    }
}

/// Small figures with digits behind the point.
pub fn number(value: f64) -> String {
    if value.abs() < 100.0 { format!("{value:.2}") } else { grouped(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        serde_saphyr::from_str("edge: {instructions: 10000, allocations: 0, system_calls: 4}").unwrap()
    }

    fn compare(instructions: f64, allocations: f64, system_calls: f64) -> (String, bool) {
        let counts = Counts { instructions, allocations, system_calls, waits: 1.0, clock_reads: 8.0 };
        record().compare(&[("edge".to_owned(), counts)].into())
    }

    #[test]
    fn small_changes_pass() {
        let (table, is_good) = compare(10_490.0, 0.2, 4.2);
        assert!(is_good, "{table}");
        assert!(table.contains("| edge | instructions | 10,000 | 10,490 | +4.9 % |"), "{table}");
    }

    #[test]
    fn what_got_worse_fails_and_is_named() {
        for (instructions, allocations, system_calls) in
            [(10_600.0, 0.0, 4.0), (10_000.0, 0.3, 4.0), (10_000.0, 0.0, 4.3)]
        {
            let (table, is_good) = compare(instructions, allocations, system_calls);
            assert!(!is_good, "{table}");
            assert_eq!(table.matches("WORSE").count(), 1, "{table}");
        }
    }

    #[test]
    fn what_got_better_passes_and_asks_for_a_new_record() {
        let (table, is_good) = compare(8_000.0, 0.0, 4.0);
        assert!(is_good, "{table}");
        assert!(table.contains("| -20.0 %: better, update the record |"), "{table}");
    }

    #[test]
    fn a_record_with_other_fields_is_none() {
        assert!(serde_saphyr::from_str::<Record>("edge: {instructions: 1}").is_err());
    }
}
