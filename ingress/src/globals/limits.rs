//! Settings group: connections of clients, and how much and how long they may take.

use super::{Effect, Globals, form::Buffers, given::Given, setting::setting};
use crate::annotations::form::{Count, Size, Text, Time};

/// Largest head that the engine reads.
const LARGEST_HEAD: u64 = 128 << 10;
/// Why nothing has to be set.
const FORMER: &str = "nginx itself has it no more; the flags of clients hold";

super::settings! {
    /// Clients
    Clients {
        /// Longest time that a connection stays open between two requests, in seconds.
        keep_alive: Time = setting("keep-alive").default("`75`").example("`30`");
        /// How many requests a connection carries.
        keep_alive_requests: Count = setting("keep-alive-requests").default("`1000`").example("`10000`")
            .no_effect("connections are closed by their age, --max-connection-age");
        /// Longest time for the head of a request, in seconds. Without it the flag --head-timeout counts.
        head_time: Time = setting("client-header-timeout").default("`60`").example("`10`");
        /// Longest silence within the body of a request, in seconds.
        body_time: Time = setting("client-body-timeout").default("`60`").example("`30`");
        /// Size of the first buffer for a head.
        head_buffer: Size = setting("client-header-buffer-size").default("`1k`").example("`4k`")
            .no_effect("room for heads grows as it is needed");
        /// Buffers for large heads: their sizes together are the largest head. Without it the flag --max-head-size counts.
        head_buffers: Buffers = setting("large-client-header-buffers").default("`4 8k`").example("`4 16k`")
            .approximated("all of them together bound the head, up to 128k, and no single field is held to one of them");
        /// How much of a request's body is kept in memory.
        body_buffer: Size = setting("client-body-buffer-size").default("`8k`").example("`16k`")
            .no_effect("bodies are passed on as they come");
        /// Streams of one connection of HTTP/2 at once.
        streams: Count = setting("http2-max-concurrent-streams").default("`128`").example("`64`");
        /// Largest field of HTTP/2.
        http2_field: Text = setting("http2-max-field-size").example("`8k`").no_effect(FORMER);
        /// Largest head of HTTP/2.
        http2_head: Text = setting("http2-max-header-size").example("`32k`").no_effect(FORMER);
        /// How many requests a connection of HTTP/2 carries.
        http2_requests: Count = setting("http2-max-requests").default("`0`").example("`1000`").no_effect(FORMER);
        /// Take fields with an underscore in their name.
        underscores: bool = setting("enable-underscores-in-headers").default("`false`").example("`true`");
        /// Drop fields with an invalid name instead of refusing the request.
        invalid_fields: bool = setting("ignore-invalid-headers").default("`true`").example("`false`")
            .no_effect("a request with an invalid field is refused in any case: what backends make of one differs");
    }
}

impl Effect for Clients {
    fn apply(&self, globals: &mut Globals, given: &mut Given<'_>) {
        let mut time = |name: &str, time: Option<Time>| {
            let time = time?.0;
            if time.is_zero() {
                given.tell(
                    name,
                    "InvalidSetting",
                    "a time of 0 would end every request; its default counts".into(),
                );
            }
            Some(time).filter(|time| !time.is_zero())
        };
        let listener = &mut globals.listener;
        listener.head_time = time("client-header-timeout", self.head_time);
        listener.body_idle = time("client-body-timeout", self.body_time);
        listener.keep_alive = self.keep_alive.map(|time| time.0);
        listener.streams = self.streams.map(|streams| streams.0).filter(|streams| *streams > 0);
        listener.underscores = self.underscores == Some(true);
        let head = self.head_buffers.map(|buffers| buffers.count.saturating_mul(buffers.bytes));
        let head = head.map(|bytes| bytes.clamp(1 << 10, LARGEST_HEAD));
        listener.head_bytes = head.and_then(|bytes| u32::try_from(bytes).ok());
    }
}
