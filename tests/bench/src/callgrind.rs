//! Callgrind's profiles, read as far as is needed: instructions, allocations and system calls in all.

use std::{
    collections::HashMap,
    ops::{Add, Sub},
    str::FromStr,
};

/// What a program, or a part of its run, has cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Instructions in user space.
    pub instructions: f64,
    /// Calls of an allocator for memory, new or grown.
    pub allocations: f64,
    /// System calls, but for those that wait for events and those that read a clock.
    pub system_calls: f64,
    /// System calls that wait for events: how many there are depends on how many events come together.
    pub waits: f64,
    /// How often a clock was read. It is a system call under valgrind only.
    pub clock_reads: f64,
}

/// Functions of the system that wait for events.
const WAITS: [&str; 4] = ["epoll_wait", "epoll_pwait", "epoll_pwait2", "poll"];
/// Functions of the system that read a clock.
const CLOCKS: [&str; 3] = ["clock_gettime", "gettimeofday", "time"];
/// Functions of allocators, by names of the C library and of mimalloc, that give memory.
const ALLOCATORS: [&str; 6] = ["malloc", "calloc", "realloc", "memalign", "aligned_alloc", "posix_memalign"];

impl Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            instructions: self.instructions + other.instructions,
            allocations: self.allocations + other.allocations,
            system_calls: self.system_calls + other.system_calls,
            waits: self.waits + other.waits,
            clock_reads: self.clock_reads + other.clock_reads,
        }
    }
}

impl Sub for Counts {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self + other.each(-1.0)
    }
}

impl Counts {
    /// The same for each of so many requests.
    pub fn each(self, requests: f64) -> Self {
        Self {
            instructions: self.instructions / requests,
            allocations: self.allocations / requests,
            system_calls: self.system_calls / requests,
            waits: self.waits / requests,
            clock_reads: self.clock_reads / requests,
        }
    }
}

/// Whether a function gives memory.
fn allocates(name: &str) -> bool {
    let own = is_inside(name) && name.contains("alloc") && !name.contains("free") && !name.contains("usable");
    ALLOCATORS.contains(&name) || own
}

/// Whether a function is a part of an allocator, whose calls of itself do not count.
fn is_inside(name: &str) -> bool {
    name.starts_with("mi_") || name.starts_with("_mi_") || ALLOCATORS.contains(&name)
}

/// Whether a line of a profile is a cost: it begins with the number of a line of code, or how far that is from the last.
fn is_cost(line: &str) -> bool {
    line.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '*'))
}

/// Reads the lines of a profile one by one.
#[derive(Default)]
struct Reader {
    /// Names by their numbers; each is written out once.
    names: HashMap<String, String>,
    /// Which of the costs are system calls.
    system_calls: Option<usize>,
    caller: String,
    callee: String,
    /// The next line is the cost of a call, which the callee has as its own already.
    is_call: bool,
    counts: Counts,
}

impl FromStr for Counts {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let mut reader = Reader::default();
        text.lines().for_each(|line| reader.line(line));
        let totals = text.lines().find_map(|line| line.strip_prefix("totals:"));
        let totals =
            totals.ok_or_else(|| anyhow::anyhow!("a profile without totals; it was not written whole"))?;
        let at =
            |index: usize| totals.split_whitespace().nth(index).and_then(|value| value.parse::<f64>().ok());
        let mut counts = reader.counts;
        counts.instructions = at(0).unwrap_or(0.0);
        let system_calls = reader.system_calls.and_then(at).unwrap_or(0.0);
        counts.system_calls = system_calls - counts.waits - counts.clock_reads;
        Ok(counts)
    }
}

impl Reader {
    fn line(&mut self, line: &str) {
        if let Some(events) = line.strip_prefix("events:") {
            self.system_calls = events.split_whitespace().position(|event| event == "sysCount");
        } else if let Some(name) = line.strip_prefix("fn=") {
            self.caller = self.name(name);
        } else if let Some(name) = line.strip_prefix("cfn=") {
            self.callee = self.name(name);
        } else if let Some(call) = line.strip_prefix("calls=") {
            let count = call.split_whitespace().next().and_then(|count| count.parse::<f64>().ok());
            if allocates(&self.callee) && !is_inside(&self.caller) {
                self.counts.allocations += count.unwrap_or(0.0);
            }
            self.is_call = true;
        } else if is_cost(line) && !std::mem::take(&mut self.is_call) {
            self.cost(line);
        }
    }

    /// The own cost of a line of a function: its number, then a value for each event.
    fn cost(&mut self, line: &str) {
        let sum = match self.caller.as_str() {
            name if WAITS.contains(&name) => &mut self.counts.waits,
            name if CLOCKS.contains(&name) => &mut self.counts.clock_reads,
            _ => return,
        };
        let value = self.system_calls.and_then(|index| line.split_whitespace().nth(1 + index));
        *sum += value.and_then(|value| value.parse::<f64>().ok()).unwrap_or(0.0);
    }

    /// A name is `(number) name` at first, then `(number)`. A version behind `@` is cut off, and what tells callers
    /// apart behind `'`.
    fn name(&mut self, text: &str) -> String {
        let (number, name) = text.split_once(' ').unwrap_or((text, ""));
        if !name.is_empty() {
            let name = name.split(['\'', '@']).next().unwrap_or(name);
            self.names.insert(number.into(), name.into());
        }
        self.names.get(number).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: &str = "version: 1\npositions: line\nevents: Ir sysCount sysTime\n\n\
        fn=(1) serve\n10 500\n\
        cfn=(2) mi_malloc_aligned\ncalls=3 0\n11 60\n\
        cfn=(3) epoll_wait\ncalls=2 0\n* 40 2 9\n\
        cfn=(4) write\ncalls=5 0\n+1 50 5\n\
        cfn=(6) mi_free\ncalls=7 0\n+1 50\n\n\
        fn=(2)\n5 30\ncfn=(5) _mi_malloc_generic\ncalls=1 0\n6 30\n\n\
        fn=(5)\n7 30\n\nfn=(3)\n8 40 2 9\n\nfn=(4)\n9 50 5\n\n\
        fn=(9) clock_gettime@@GLIBC_2.17\n9 5 3\n\n\
        fn=(7) main\n20 5\ncfn=(8) realloc\ncalls=1 0\n20 5\n\ntotals: 700 10 9\n";

    #[test]
    fn a_profile_is_added_up() {
        let counts: Counts = PROFILE.parse().unwrap();
        assert_eq!((counts.instructions, counts.allocations), (700.0, 4.0));
        assert_eq!((counts.system_calls, counts.waits, counts.clock_reads), (5.0, 2.0, 3.0));
    }

    #[test]
    fn what_a_program_costs_anyway_falls_out() {
        let few = Counts { instructions: 1_000.0, allocations: 10.0, system_calls: 8.0, ..Counts::default() };
        let many =
            Counts { instructions: 3_000.0, allocations: 12.0, system_calls: 48.0, ..Counts::default() };
        let each = (many - few).each(10.0);
        assert_eq!((each.instructions, each.allocations, each.system_calls), (200.0, 0.2, 4.0));
    }

    #[test]
    fn a_profile_that_was_cut_off_is_told() {
        assert!("events: Ir\nfn=(1) main\n1 2\n".parse::<Counts>().is_err());
    }
}
