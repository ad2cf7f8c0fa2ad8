//! Timing: tells clients that ask where the time of a request went (`Server-Timing`).

use std::{io::Write, time::Instant};

use super::exchange::Exchange;
use crate::{
    message::{RequestHead, ResponseHead},
    model::Listener,
};

/// What a request wants to know, and since when the backend has had it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timing {
    /// Whether the client asks, and may.
    pub is_asked: bool,
    /// When the last try began.
    pub last_try: Option<Instant>,
}

impl Timing {
    /// What a request on this listener asks for.
    pub fn asked(listener: Option<&Listener>, head: &RequestHead) -> Self {
        let allowed = listener.is_some_and(|listener| listener.server_timing);
        let is_asked = allowed && head.fields.get_by_name("x-selvedge-timing") == Some(b"1");
        Self { is_asked, last_try: None }
    }
}

/// Adds to an answer how long the proxy took until now, without the last try, and how long that one took until the head
/// of the answer was there; both in milliseconds.
pub fn tell(x: &Exchange<'_>, head: &mut ResponseHead) {
    let now = Instant::now();
    let upstream = x.timing.last_try.map(|start| now.saturating_duration_since(start));
    let own = now.saturating_duration_since(x.start()).saturating_sub(upstream.unwrap_or_default());
    head.fields.push_with(b"server-timing", |out| {
        let millis = |time: std::time::Duration| time.as_secs_f64() * 1000.0;
        // Writing to a Vec cannot fail.
        let _ = write!(out, "selvedge;dur={:.3}", millis(own));
        if let Some(upstream) = upstream {
            let _ = write!(out, ", upstream;dur={:.3}", millis(upstream));
        }
    });
}
