//! Filter: fails or delays a share of the requests on purpose, to see what becomes of those who depend on them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{FilterContext, Flow, Reply, ReplyKind, Share};
use crate::{
    duration,
    message::{RequestHead, ResponseHead},
};

/// Faults that are injected. Whether a request is delayed and whether it fails is decided independently; one that
/// suffers both fails after the delay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Requests that fail, without a backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abort: Option<Abort>,
    /// Requests that wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Delay>,
}

/// Which requests fail and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abort {
    /// How many of all requests.
    pub share: Share,
    /// What the client is told.
    pub with: AbortWith,
}

/// What the client of a request that fails on purpose is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AbortWith {
    /// A status code; clients of gRPC get the `grpc-status` that says the same.
    Http(u16),
    /// A `grpc-status` from 0 to 16; other clients get the status code that says the same.
    Grpc(u8),
}

/// Which requests wait and for how long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delay {
    /// How many of all requests.
    pub share: Share,
    /// How long.
    #[serde(with = "duration")]
    pub duration: Duration,
}

impl Fault {
    /// The upper random bits decide about the abort, the lower ones about the delay.
    pub(super) fn request(&self, cx: &FilterContext<'_>, _: &mut RequestHead) -> Flow {
        let abort = self.abort.as_ref().filter(|abort| abort.share.holds((cx.random >> 32) as u32));
        let delay = self.delay.as_ref().filter(|delay| delay.share.holds(cx.random as u32));
        let reply = abort.map(|abort| abort.with.reply());
        match (delay, reply) {
            (Some(delay), reply) => Flow::Wait(delay.duration, reply.map(Box::new)),
            (None, Some(reply)) => Flow::Reply(reply),
            (None, None) => Flow::Next,
        }
    }

    pub(super) fn response(&self, _: &FilterContext<'_>, _: &mut ResponseHead) {}
}

impl AbortWith {
    fn reply(self) -> Reply {
        let (status, grpc_status) = match self {
            Self::Http(status) => (status, None),
            Self::Grpc(code) => (http_status(code), Some(code)),
        };
        Reply { kind: ReplyKind::Refusal { grpc_status }, ..Reply::refusal(status, "fault_abort") }
    }
}

/// The status code that says the same as a status of gRPC.
fn http_status(code: u8) -> u16 {
    match code {
        0 => 200,
        3 | 9 | 11 => 400, // INVALID_ARGUMENT, FAILED_PRECONDITION, OUT_OF_RANGE
        4 => 504,          // DEADLINE_EXCEEDED
        5 => 404,          // NOT_FOUND
        6 | 10 => 409,     // ALREADY_EXISTS, ABORTED
        7 => 403,          // PERMISSION_DENIED
        8 => 429,          // RESOURCE_EXHAUSTED
        12 => 501,         // UNIMPLEMENTED
        14 => 503,         // UNAVAILABLE
        16 => 401,         // UNAUTHENTICATED
        _ => 500,          // CANCELLED, UNKNOWN, INTERNAL, DATA_LOSS
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::Given, *};

    /// Random bits that belong to half of all requests, or do not.
    fn bits(abort: bool, delay: bool) -> u64 {
        let half = |yes| if yes { 0 } else { u64::from(u32::MAX) };
        half(abort) << 32 | half(delay)
    }

    fn flow(fault: &Fault, random: u64) -> Flow {
        let given = Given::default();
        fault.request(&FilterContext { random, ..given.cx() }, &mut RequestHead::default())
    }

    #[test]
    fn abort_and_delay_are_decided_independently() {
        let half = Share(500_000);
        let duration = Duration::from_millis(200);
        let abort = Some(Abort { share: half, with: AbortWith::Http(503) });
        let fault = Fault { abort, delay: Some(Delay { share: half, duration }) };
        let reply = Reply::refusal(503, "fault_abort");
        let rows = [
            (bits(false, false), Flow::Next),
            (bits(true, false), Flow::Reply(reply.clone())),
            (bits(false, true), Flow::Wait(duration, None)),
            (bits(true, true), Flow::Wait(duration, Some(Box::new(reply)))),
        ];
        for (random, wanted) in rows {
            assert_eq!(flow(&fault, random), wanted, "{random:x}");
        }
    }

    #[test]
    fn no_fault_hits_nobody() {
        assert_eq!(flow(&Fault { abort: None, delay: None }, 0), Flow::Next);
        let never = Some(Abort { share: Share(0), with: AbortWith::Http(500) });
        assert_eq!(flow(&Fault { abort: never, delay: None }, 0), Flow::Next);
    }

    #[test]
    fn a_status_of_grpc_has_one_of_http() {
        for (code, status) in [(0, 200), (5, 404), (8, 429), (13, 500), (14, 503), (16, 401), (99, 500)] {
            let reply = AbortWith::Grpc(code).reply();
            assert_eq!(reply.status, status);
            assert_eq!(reply.kind, ReplyKind::Refusal { grpc_status: Some(code) });
        }
    }
}
