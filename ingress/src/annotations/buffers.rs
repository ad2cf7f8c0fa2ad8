//! Annotation group: sizes of bodies, heads and what is kept of them.

use selvedge_common::filter::{BodyLimit, Filter};

use super::{
    Effect,
    form::{Count, HttpVersion, Size, Switch, Text},
    key::key,
};
use crate::translate::RouteDraft;

/// Why nothing has to be set.
const STREAMED: &str = "bodies are passed on as they come and are not kept, but for up to 64 KiB of a request that may be tried again";

super::group! {
    /// Bodies and buffers
    Buffers {
        /// Largest body of a request; 0 is no limit.
        body_size: Size = key("proxy-body-size").default("`1m`").example("`8m`")
            .limits("The default is that of classes of ingress-nginx; in others there is none.");
        /// Whether the body of a request is read whole before it is sent on.
        request_buffering: Switch = key("proxy-request-buffering").default("`on`").example("`off`").no_effect(STREAMED);
        /// Whether answers are read ahead of the client.
        buffering: Switch = key("proxy-buffering").default("`off`").example("`on`").no_effect(STREAMED);
        /// How much of a request's body is kept in memory.
        client_body_buffer_size: Size = key("client-body-buffer-size").default("`8k`").example("`16k`").no_effect(STREAMED);
        /// Largest head of an answer.
        buffer_size: Size = key("proxy-buffer-size").default("`4k`").example("`16k`")
            .no_effect("heads of answers are held to the limits of the proxy, which are far wider");
        /// How many buffers answers are read into.
        buffers_number: Count = key("proxy-buffers-number").default("`4`").example("`8`").no_effect(STREAMED);
        /// How many of them may be on their way to the client.
        busy_buffers_size: Size = key("proxy-busy-buffers-size").example("`16k`").no_effect(STREAMED);
        /// How much of an answer may be kept in a file.
        max_temp_file_size: Size = key("proxy-max-temp-file-size").default("`1024m`").example("`0`").no_effect(STREAMED);
        /// Version of HTTP/1 towards backends.
        http_version: HttpVersion = key("proxy-http-version").default("`1.1`").example("`1.0`")
            .no_effect("requests go to backends over HTTP/1.1, which each server of HTTP/1.0 answers as well as it can");
        /// `Connection` towards backends.
        connection_header: Text = key("connection-proxy-header").example("`keep-alive`")
            .no_effect("connections to backends are kept and shared by the proxy itself, and upgrades pass");
        /// Push what `Link` names over HTTP/2.
        push_preload: bool = key("http2-push-preload").default("`false`").example("`true`")
            .no_effect("no browser takes pushed answers any more");
    }
}

/// ingress-nginx: the largest body where nothing else is said.
const USUAL_BODY: u64 = 1 << 20;

impl Effect for Buffers {
    fn apply(&self, route: &mut RouteDraft<'_>) {
        let usual = route.adopted.then_some(USUAL_BODY);
        if let Some(bytes) = self.body_size.map(|size| size.0).or(usual).filter(|bytes| *bytes > 0) {
            route.filters.push(Filter::BodyLimit(BodyLimit { bytes }));
        }
    }
}
