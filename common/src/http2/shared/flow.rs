//! Flow: what windows let pass, and the line of streams that wait for room (RFC 9113 §5.2).

use std::rc::Rc;

use super::{
    super::{
        frame::{MOST, put_window_update},
        reason::{Fault, Reason},
        stream::{Stream, StreamState},
    },
    MOST_UNSENT, Shared,
};

impl Shared {
    /// Bytes that the window of the connection has, and those that wait to be written.
    pub fn room(&self) -> (usize, usize) {
        let state = self.state.borrow();
        (usize::try_from(state.send_window).unwrap_or(0), state.out.len())
    }

    /// A stream waits until there is more room, in the place that it has had since it got some.
    pub fn wait(&self, stream: &Rc<Stream>, of: &mut StreamState) {
        let state = &mut *self.state.borrow_mut();
        let place = *of.place.get_or_insert_with(|| {
            state.places += 1;
            state.places
        });
        state.waiting.entry(place).or_insert_with(|| stream.clone());
    }

    /// A stream got room, or needs none any more.
    pub fn leave_line(&self, of: &mut StreamState) {
        if let Some(place) = of.place.take() {
            self.state.borrow_mut().waiting.remove(&place);
        }
    }

    /// Wakes those who wait for room, in the order in which they came, if there is any.
    pub fn wake_waiting(&self) {
        let waiting = {
            let mut state = self.state.borrow_mut();
            let has_room = state.send_window > 0 && state.out.len() < MOST_UNSENT / 2;
            if !has_room || state.waiting.is_empty() {
                return;
            }
            std::mem::take(&mut state.waiting)
        };
        waiting.into_values().for_each(|stream| stream.state.borrow_mut().wake_writer());
    }

    /// Payload was taken from a stream: its peer may send as much more.
    pub fn took(&self, id: u32, stream: &mut StreamState, bytes: usize) {
        if !stream.has_received_all
            && stream.broken.is_none()
            && let Some(update) = stream.window.take(bytes as u32)
        {
            self.write(|out| put_window_update(out, id, update));
        }
        self.release(bytes);
    }

    /// Payload is there no more, of whichever stream.
    pub fn release(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let update = self.state.borrow_mut().window.take(bytes as u32);
        if let Some(update) = update {
            self.write(|out| put_window_update(out, 0, update));
        }
    }

    /// Bytes of payload arrive, padding included.
    pub fn arrive(&self, bytes: usize) -> Result<(), Fault> {
        match self.state.borrow_mut().window.arrive(bytes as u32) {
            true => Ok(()),
            false => Err(Fault::Connection(Reason::FLOW_CONTROL_ERROR)),
        }
    }

    /// The window of the connection is larger.
    pub fn widen(&self, bytes: u32) -> Result<(), Fault> {
        let mut state = self.state.borrow_mut();
        state.send_window += i64::from(bytes);
        match state.send_window > i64::from(MOST) {
            true => Err(Fault::Connection(Reason::FLOW_CONTROL_ERROR)),
            false => Ok(()),
        }
    }
}

/// Changes the window of a stream.
pub fn widen(stream: &Stream, bytes: i64) -> Result<(), Reason> {
    let mut state = stream.state.borrow_mut();
    state.send_window += bytes;
    if state.send_window > i64::from(MOST) {
        return Err(Reason::FLOW_CONTROL_ERROR);
    }
    if bytes > 0 && state.send_window > 0 {
        state.wake_writer();
    }
    Ok(())
}
