//! Changed inputs: from a fixed seed, so that a failure comes again, and for as long as is wanted.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    time::{Duration, Instant, SystemTime},
};

/// The usual seed.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// Numbers that look random (xorshift).
#[derive(Clone)]
pub struct Numbers(u64);

impl Numbers {
    /// The next number, below this.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }

    /// A piece of the corpus with one to four changes.
    pub fn change(&mut self, corpus: &[Vec<u8>], words: &[&[u8]]) -> Vec<u8> {
        let mut input = corpus[self.below(corpus.len())].clone();
        for _ in 0..=self.below(4) {
            let at = self.below(input.len() + 1);
            let end = (at + self.below(8)).min(input.len());
            match self.below(6) {
                0 => drop(input.splice(at..at, words[self.below(words.len())].iter().copied())),
                1 => drop(input.splice(at..end, words[self.below(words.len())].iter().copied())),
                2 => drop(input.drain(at..end)),
                3 => input.insert(at, self.below(256) as u8),
                4 => {
                    let copy = input[at..end].to_vec();
                    drop(input.splice(at..at, copy));
                }
                _ => {
                    let other = &corpus[self.below(corpus.len())];
                    let from = self.below(other.len() + 1);
                    input.truncate(at);
                    input.extend_from_slice(&other[from..]);
                }
            }
        }
        input
    }
}

/// Runs so many rounds, the same ones each time. With `SELVEDGE_FUZZ_SECONDS` others follow for that long. One that
/// fails says its number, with which `SELVEDGE_FUZZ_ROUND` begins.
pub fn repeat(target: &str, rounds: usize, mut round: impl FnMut(&mut Numbers)) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let mut numbers = Numbers(number("SELVEDGE_FUZZ_ROUND").unwrap_or(SEED).max(1));
    let mut once = |numbers: &mut Numbers| {
        let first = numbers.0;
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| round(numbers))) {
            eprintln!("{target} failed; SELVEDGE_FUZZ_ROUND={first} begins with this round");
            resume_unwind(panic);
        }
    };
    (0..rounds).for_each(|_| once(&mut numbers));
    let mut count = rounds;
    if let Some(seconds) = number("SELVEDGE_FUZZ_SECONDS") {
        let end = Instant::now() + Duration::from_secs(seconds);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        numbers.0 = (now.as_nanos() as u64).max(1);
        while Instant::now() < end {
            once(&mut numbers);
            count += 1;
        }
    }
    eprintln!("{target}: {count} inputs");
}
