//! Budget: what a peer may cost us with frames that carry nothing.

use tokio::time::Instant;

use super::frame::kind;

/// Costs that a peer may run up at once.
const BURST: u64 = 4000;
/// Costs forgiven in each second.
const PER_SECOND: u64 = 100;
/// Bytes sent to the peer that pay for one.
const BYTES_PER_COST: u64 = 32;

/// What it costs when a peer's fault makes us reset a stream, or when we refuse one.
pub(super) const OWN_RESET: u64 = 20;
/// What a block of fields costs that is dropped once it was unpacked.
pub(super) const DROPPED_BLOCK: u64 = 4;
/// What a DATA frame without payload costs that does not end its stream.
pub(super) const EMPTY_DATA: u64 = 1;

/// What is left of it.
///
/// Frames that are answered or dropped at once come in any number otherwise: PING, SETTINGS, PRIORITY, WINDOW_UPDATE,
/// CONTINUATION, unknown frames, resets, what makes us reset and blocks of streams that are gone. Each of these costs something; answers pay for them,
/// as an honest client sends them beside requests, and so does time.
#[derive(Debug)]
pub(super) struct Budget {
    left: u64,
    /// Bytes written that have paid already.
    paid: u64,
    refilled: Instant,
}

/// What a frame of this type costs (RFC 9113 §6).
pub(super) fn frame_cost(frame: u8) -> u64 {
    match frame {
        kind::DATA | kind::HEADERS => 0,
        // A request was begun for nothing.
        kind::RST_STREAM => 4,
        // Every open stream may have to be changed.
        kind::SETTINGS => 10,
        _ => 1,
    }
}

impl Budget {
    /// The whole of it.
    pub fn new() -> Self {
        Self { left: BURST, paid: 0, refilled: Instant::now() }
    }

    /// Pays, when so many bytes have been written to the peer in all; false if there is not enough left.
    pub fn spend(&mut self, cost: u64, written: u64) -> bool {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn requests_and_their_bodies_cost_nothing() {
        assert_eq!([kind::HEADERS, kind::DATA].map(frame_cost), [0, 0]);
        assert!((kind::PRIORITY..=kind::CONTINUATION).chain([99]).all(|frame| frame_cost(frame) > 0));
    }

    #[tokio::test(start_paused = true)]
    async fn answers_and_time_pay() {
        let mut budget = Budget::new();
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
}
