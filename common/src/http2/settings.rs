//! Settings: what each side of a connection says of itself (RFC 9113 §6.5).

use super::{
    frame::{MOST, MOST_PAYLOAD, kind, put},
    reason::Reason,
};

/// Window that streams and connections have before anything else is said (RFC 9113 §6.9.2).
pub(super) const FIRST_WINDOW: u32 = 65_535;

const HEADER_TABLE_SIZE: u16 = 1;
const ENABLE_PUSH: u16 = 2;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_FRAME_SIZE: u16 = 5;
const MAX_HEADER_LIST_SIZE: u16 = 6;

/// What we say of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Streams that the peer may have open at once.
    pub streams: u32,
    /// Bytes that the peer may send on a stream before we have taken any.
    pub stream_window_bytes: u32,
    /// The same for all streams together.
    pub connection_window_bytes: u32,
    /// Largest list of fields, each counted with 32 bytes more (RFC 9113 §6.5.2).
    pub header_list_bytes: u32,
}

/// What the peer has said.
#[derive(Clone, Copy, Debug)]
pub(super) struct PeerSettings {
    /// Bytes of fields that it keeps, which its encoder may refer to.
    pub table_bytes: u32,
    /// Streams that we may have open at once.
    pub streams: u32,
    /// Window of new streams.
    pub window: u32,
    /// Largest payload.
    pub payload: usize,
}

impl Default for PeerSettings {
    fn default() -> Self {
        Self { table_bytes: 4096, streams: MOST, window: FIRST_WINDOW, payload: MOST_PAYLOAD }
    }
}

impl PeerSettings {
    /// Takes the payload of a SETTINGS frame, whose length is a multiple of six.
    ///
    /// # Errors
    /// When a value is impossible. Any error is one of the connection.
    pub fn take(&mut self, payload: &[u8], is_server: bool) -> Result<(), Reason> {
        for [a, b, value @ ..] in payload.as_chunks::<6>().0 {
            let value = u32::from_be_bytes(*value);
            match u16::from_be_bytes([*a, *b]) {
                HEADER_TABLE_SIZE => self.table_bytes = value,
                // Only clients may be sent anything, and nothing ever is.
                ENABLE_PUSH if value > u32::from(is_server) => return Err(Reason::PROTOCOL_ERROR),
                MAX_CONCURRENT_STREAMS => self.streams = value,
                INITIAL_WINDOW_SIZE if value > MOST => return Err(Reason::FLOW_CONTROL_ERROR),
                INITIAL_WINDOW_SIZE => self.window = value,
                MAX_FRAME_SIZE if !(MOST_PAYLOAD as u32..1 << 24).contains(&value) => {
                    return Err(Reason::PROTOCOL_ERROR);
                }
                MAX_FRAME_SIZE => self.payload = value as usize,
                _ => {}
            }
        }
        Ok(())
    }
}

/// Writes our settings, with which each side begins.
pub(super) fn put_settings(out: &mut Vec<u8>, settings: &Settings, is_server: bool) {
    let mut payload = Vec::with_capacity(24);
    let mut set = |id: u16, value: u32| {
        payload.extend_from_slice(&id.to_be_bytes());
        payload.extend_from_slice(&value.to_be_bytes());
    };
    match is_server {
        true => set(MAX_CONCURRENT_STREAMS, settings.streams),
        false => set(ENABLE_PUSH, 0),
    }
    set(INITIAL_WINDOW_SIZE, settings.stream_window_bytes);
    set(MAX_HEADER_LIST_SIZE, settings.header_list_bytes);
    put(out, kind::SETTINGS, 0, 0, &payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(id: u16, value: u32, is_server: bool) -> Result<PeerSettings, Reason> {
        let mut payload = id.to_be_bytes().to_vec();
        payload.extend(value.to_be_bytes());
        let mut settings = PeerSettings::default();
        settings.take(&payload, is_server).map(|()| settings)
    }

    #[test]
    fn what_is_known_is_taken_and_the_rest_passed_over() {
        assert_eq!(take(HEADER_TABLE_SIZE, 0, true).map(|all| all.table_bytes), Ok(0));
        assert_eq!(take(MAX_CONCURRENT_STREAMS, 7, false).map(|all| all.streams), Ok(7));
        assert_eq!(take(INITIAL_WINDOW_SIZE, MOST, true).map(|all| all.window), Ok(MOST));
        assert_eq!(take(MAX_FRAME_SIZE, 16_384, true).map(|all| all.payload), Ok(16_384));
        assert!(take(77, u32::MAX, true).is_ok());
    }

    #[test]
    fn impossible_values_are_errors() {
        for (id, value, is_server, reason) in [
            (ENABLE_PUSH, 2, true, Reason::PROTOCOL_ERROR),
            (ENABLE_PUSH, 1, false, Reason::PROTOCOL_ERROR),
            (INITIAL_WINDOW_SIZE, MOST + 1, true, Reason::FLOW_CONTROL_ERROR),
            (MAX_FRAME_SIZE, 16_383, true, Reason::PROTOCOL_ERROR),
            (MAX_FRAME_SIZE, 1 << 24, true, Reason::PROTOCOL_ERROR),
        ] {
            assert_eq!(take(id, value, is_server).map(|_| ()), Err(reason), "{id} {value}");
        }
        assert!(take(ENABLE_PUSH, 1, true).is_ok());
    }
}
