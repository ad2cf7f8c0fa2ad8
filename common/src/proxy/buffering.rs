//! Buffering: reads a request body whole before an endpoint is chosen, where a route wants that, within limits.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{
    body::{Incoming, PumpError},
    exchange::Exchange,
    grpc, headers,
    replay::Replay,
    respond::Failure,
    send_http1::check_sent,
    shared::Shared,
};
use crate::model::Listener;

/// Bytes of bodies that an engine holds at once for routes that want them whole; further bodies are passed on as
/// they come.
const MOST_BYTES: u64 = 256 << 20;

/// Room for a body; given back when this is dropped.
pub struct Room {
    shared: Arc<Shared>,
    bytes: u64,
}

impl Room {
    /// Takes this much more; false if there is not so much.
    fn grow(&mut self, bytes: u64) -> bool {
        let has_room = take(&self.shared.buffered, bytes);
        self.bytes += if has_room { bytes } else { 0 };
        has_room
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.shared.buffered.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

fn take(held: &AtomicU64, bytes: u64) -> bool {
    let taken = held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
        held.checked_add(bytes).filter(|held| *held <= MOST_BYTES)
    });
    taken.is_ok()
}

/// Reads the body of a request whole, if its route wants that and it is not too large; else it is passed on as it comes,
/// or the rest of it is. Calls of gRPC may be endless, so theirs are passed on as well. The room is the body's until it
/// has been sent.
///
/// # Errors
/// When the body breaks off or comes too slowly.
pub async fn read_whole(
    x: &Exchange<'_>,
    listener: &Listener,
    body: &mut Incoming<'_>,
) -> Result<Option<Box<Room>>, Failure> {
    let most = x.route.as_ref().map_or(0, |route| route.route.buffered_body_bytes);
    let length = headers::content_length(&x.head.fields);
    if most == 0 || grpc::is_grpc(&x.head) {
        return Ok(None);
    }
    let mut room = Box::new(Room { shared: x.worker().shared.clone(), bytes: 0 });
    let fits = usize::try_from(most).is_ok() && length.is_none_or(|length| length <= most);
    if !fits || !room.grow(length.unwrap_or(0)) || !Replay::keep(body, length, most as usize) {
        return Ok(None);
    }
    let (mut read, mut waited) = (0, Duration::ZERO);
    let limits = &listener.limits;
    loop {
        let begun = Instant::now();
        let more = x.worker().deadlines.within(limits.body_idle, poll_fn(|cx| body.poll_data(cx))).await;
        waited += begun.elapsed();
        let is_slow = waited > limits.body_idle && read < limits.body_min_rate_bytes * waited.as_secs();
        let more = match more {
            Err(_) => Err(PumpError::ReadTimeout),
            Ok(_) if is_slow => Err(PumpError::ReadTimeout),
            Ok(more) => more.map_err(PumpError::Read),
        };
        let arrived = body.data().len() as u64;
        match more {
            Ok(true) if read + arrived <= most && (length.is_some() || room.grow(arrived)) => {
                body.consume(arrived as usize);
                read += arrived;
            }
            Ok(_) => break,
            Err(error) => {
                x.received.set(read);
                check_sent(Some(&Err(error)))?;
                return Err(Failure::ClientClosed);
            }
        }
    }
    body.rewind();
    Ok(Some(room))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_held_than_there_is_room_for() {
        let held = AtomicU64::new(0);
        assert!(take(&held, MOST_BYTES - 1) && take(&held, 1) && take(&held, 0));
        assert!(!take(&held, 1) && !take(&held, u64::MAX));
        assert_eq!(held.load(Ordering::Relaxed), MOST_BYTES);
    }
}
