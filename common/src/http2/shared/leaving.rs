//! Leaving: how a connection ends, by our word, by its peer's or by itself, and how it is found out that the peer is gone.

use std::task::{Context, Poll};

use super::{
    super::{
        frame::{MOST, kind, put, put_goaway},
        reason::{Broken, Reason},
    },
    Shared,
};

/// Payloads of our PINGs: one that asks whether the peer is there, one behind which it knows that we go.
const PING_ALIVE: [u8; 8] = *b"selvedge";
const PING_LEAVE: [u8; 8] = *b"leaving.";

/// How far a connection is on its way to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    /// Not at all.
    No,
    /// The peer has been told that we go, not yet which streams we still look at.
    Told,
    /// No stream behind this one is looked at.
    Behind(u32),
}

impl Shared {
    /// The peer answers a PING.
    pub fn pong(&self, payload: &[u8]) {
        let mut state = self.state.borrow_mut();
        if payload == PING_ALIVE {
            state.has_answered = true;
            if let Some(waker) = state.asking.take() {
                waker.wake();
            }
        } else if payload == PING_LEAVE && state.leaving == Leaving::Told {
            let last = state.last_peer;
            state.leaving = Leaving::Behind(last);
            state.out.write(|out| put_goaway(out, last, Reason::NO_ERROR));
        }
    }

    /// The peer goes, and looks at no stream of ours behind the last one.
    pub fn goes(&self, last: u32) {
        let mut state = self.state.borrow_mut();
        state.is_closed = true;
        let is_ours = |id: u32| id.is_multiple_of(2) == self.is_server;
        let unseen: Vec<_> = state.streams.keys().copied().filter(|id| *id > last && is_ours(*id)).collect();
        let unseen: Vec<_> = unseen.iter().filter_map(|id| state.streams.remove(id)).collect();
        drop(state);
        for stream in unseen {
            let mut state = stream.state.borrow_mut();
            state.break_off(Broken::Unseen);
            self.leave_line(&mut state);
        }
    }

    /// Asks whether the peer is there.
    pub fn ping(&self) {
        let mut state = self.state.borrow_mut();
        state.has_answered = false;
        state.out.write(|out| put(out, kind::PING, 0, 0, &PING_ALIVE));
        state.wake();
    }

    /// Waits until the peer has answered since it was asked.
    pub fn poll_pong(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.state.borrow_mut();
        if state.has_answered {
            return Poll::Ready(());
        }
        state.asking = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Tells the peer that no further streams are taken. Those that it opens before it knows are looked at.
    pub fn leave(&self) {
        let mut state = self.state.borrow_mut();
        if state.leaving == Leaving::No {
            state.leaving = Leaving::Told;
            state.out.write(|out| {
                put_goaway(out, MOST, Reason::NO_ERROR);
                put(out, kind::PING, 0, 0, &PING_LEAVE);
            });
            state.wake();
        }
    }

    /// Nobody opens streams of ours any more.
    pub fn unused(&self) {
        let mut state = self.state.borrow_mut();
        state.is_unused = true;
        state.wake();
    }

    /// Whether the connection has nothing left to do but to write what waits.
    pub fn is_done(&self) -> bool {
        let state = self.state.borrow();
        let is_leaving = matches!(state.leaving, Leaving::Behind(_));
        (is_leaving || state.is_unused || state.is_closed) && state.streams.is_empty()
    }

    /// Writes the last word of a connection, unless it was said.
    pub fn say_goodbye(&self, reason: Reason) {
        let mut state = self.state.borrow_mut();
        let last = match state.leaving {
            Leaving::Behind(_) if reason == Reason::NO_ERROR => return,
            // It may not grow (RFC 9113 §6.8).
            Leaving::Behind(last) => last,
            Leaving::No | Leaving::Told => state.last_peer,
        };
        state.leaving = Leaving::Behind(last);
        state.out.write(|out| put_goaway(out, last, reason));
    }

    /// The connection has ended, and with it all its streams.
    pub fn end(&self) {
        let streams = {
            let mut state = self.state.borrow_mut();
            state.is_closed = true;
            state.connection = None;
            state.waiting.clear();
            std::mem::take(&mut state.streams)
        };
        streams.into_values().for_each(|stream| stream.state.borrow_mut().break_off(Broken::Closed));
    }
}
