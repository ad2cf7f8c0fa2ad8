//! Settings groups: backends, bodies and answers. Most are the defaults of annotations.

use super::{
    Effect, Globals,
    given::Given,
    setting::{setting, usual},
};
use crate::annotations::form::{
    Codes, Count, HttpVersion, LoadBalance, NextUpstream, Path, Size, Switch, Text, Time,
};

/// Why nothing has to be set.
const STREAMED: &str = "bodies are passed on as they come and are not kept, but for up to 64 KiB of a request that may be tried again";
/// Why nothing has to be set for connections to backends.
const KEPT: &str = "connections to backends are kept as long as they are good, and flags say for how long";

super::settings! {
    /// Backends
    Backends {
        /// Longest time to open a connection to an endpoint, in seconds.
        connect: Time = usual("proxy-connect-timeout").default("`5`").example("`10`");
        /// Longest wait for the head of one try's answer, and longest silence within its body.
        read: Time = usual("proxy-read-timeout").default("`60`").example("`300`");
        /// Longest time in which the endpoint takes nothing of the request.
        send: Time = usual("proxy-send-timeout").default("`60`").example("`300`")
            .approximated("the time that flags give each write holds");
        /// Which failures are worth another try.
        next: NextUpstream = usual("proxy-next-upstream").default("`error timeout`").example("`error timeout http_503`");
        /// Longest time for all tries together; 0 is none.
        next_time: Time = usual("proxy-next-upstream-timeout").default("`0`").example("`10`");
        /// How often a request is tried in all.
        next_tries: Count = usual("proxy-next-upstream-tries").default("`3`").example("`2`");
        /// Try requests again whose method is not idempotent, too.
        non_idempotent: bool = setting("retry-non-idempotent").default("`false`").example("`true`");
        /// How endpoints are chosen.
        balance: LoadBalance = usual("load-balance").default("`round_robin`").example("`ewma`");
        /// What of a request decides its endpoint.
        hash_by: Text = usual("upstream-hash-by").example("`$http_x_user`");
        /// Spread the requests of one key over several endpoints.
        hash_subset: bool = usual("upstream-hash-by-subset").default("`false`").example("`true`")
            .approximated("the requests of one key go to one endpoint");
        /// Over how many.
        hash_subset_size: Count = usual("upstream-hash-by-subset-size").default("`3`").example("`2`")
            .no_effect("the requests of one key go to one endpoint");
        /// Send requests to the cluster IP of Services.
        service_upstream: bool = usual("service-upstream").default("`false`").example("`true`");
        /// Idle connections that are kept in each process.
        connections: Count = setting("upstream-keepalive-connections").default("`320`").example("`1000`").no_effect(KEPT);
        /// How long one is used.
        connection_time: Time = setting("upstream-keepalive-time").default("`1h`").example("`10m`").no_effect(KEPT);
        /// How long one is kept idle.
        connection_idle: Time = setting("upstream-keepalive-timeout").default("`60`").example("`30`").no_effect(KEPT);
        /// How many requests one carries.
        connection_requests: Count = setting("upstream-keepalive-requests").default("`10000`").example("`1000`").no_effect(KEPT);
        /// Version of HTTP/1 towards backends.
        http_version: HttpVersion = usual("proxy-http-version").default("`1.1`").example("`1.0`")
            .no_effect("requests go to backends over HTTP/1.1");
        /// Buffer for messages of gRPC.
        grpc_buffer: Count = setting("grpc-buffer-size-kb").default("`0`").example("`64`").no_effect(STREAMED);
    }
}

super::settings! {
    /// Bodies
    Bodies {
        /// Largest body of a request; 0 is no limit.
        body_size: Size = usual("proxy-body-size").default("`1m`").example("`20m`");
        /// Whether the body of a request is read whole before it is sent on.
        request_buffering: Switch = setting("proxy-request-buffering").default("`on`").example("`off`").no_effect(STREAMED);
        /// Whether answers are read ahead of the client.
        buffering: Switch = setting("proxy-buffering").default("`off`").example("`on`").no_effect(STREAMED);
        /// Largest head of an answer.
        buffer_size: Size = setting("proxy-buffer-size").default("`4k`").example("`16k`")
            .no_effect("heads of answers are held to the limits of the proxy, which are far wider");
        /// How many buffers answers are read into.
        buffers: Count = setting("proxy-buffers-number").default("`4`").example("`8`").no_effect(STREAMED);
        /// How many of them may be on their way to the client.
        busy_buffers: Size = setting("proxy-busy-buffers-size").example("`16k`").no_effect(STREAMED);
        /// How much of an answer may be kept in a file.
        temp_file: Size = setting("proxy-max-temp-file-size").default("`1024m`").example("`0`").no_effect(STREAMED);
        /// KiB a second of one answer; 0 is no limit.
        rate: Count = usual("limit-rate").default("`0`").example("`512`");
        /// KiB of an answer before that counts.
        rate_after: Count = usual("limit-rate-after").default("`0`").example("`1024`");
    }
}

super::settings! {
    /// Answers
    Redirects {
        /// Statuses in whose place the Service answers that an Ingress names by its annotation `default-backend`.
        errors: Codes = usual("custom-http-errors").example("`404,503`")
            .approximated("there is no default backend for all Ingresses: those without the annotation default-backend answer as without it");
        /// Leave answers with these statuses as they are.
        no_intercept: bool = usual("disable-proxy-intercept-errors").default("`false`").example("`true`");
        /// `Domain` of cookies: what it is and what it becomes.
        cookie_domain: Text = usual("proxy-cookie-domain").default("`off`").example("`shop.internal shop.example`");
        /// `Path` of cookies: what it is and what it becomes.
        cookie_path: Text = usual("proxy-cookie-path").default("`off`").example("`/internal /`");
        /// What `Location` and `Refresh` of the backend begin with where they are rewritten.
        redirect_from: Text = usual("proxy-redirect-from").default("`off`").example("`http://shop.internal/`");
        /// What they begin with then.
        redirect_to: Text = usual("proxy-redirect-to").example("`https://shop.example/`");
        /// Write redirects without scheme and host.
        relative: bool = setting("relative-redirects").default("`false`").example("`true`")
            .no_effect("redirects name the scheme, host and port that the client used, which leads to the same place");
        /// Write the port of the listener into redirects.
        use_port: bool = setting("use-port-in-redirects").default("`false`").example("`true`")
            .no_effect("redirects name the port that clients see, which flags set for each listener");
        /// Type of answers that have none.
        default_type: Text = setting("default-type").default("`text/html`").example("`text/plain`")
            .no_effect("answers of backends keep the type that they have, or none");
        /// Where requests for the root of each host are sent.
        app_root: Path = usual("app-root").example("`/app`");
    }
}

impl Effect for Backends {
    fn apply(&self, _: &mut Globals, given: &mut Given<'_>) {
        const KEY: &str = "proxy-next-upstream";
        if self.non_idempotent == Some(true) {
            let on = given.usual.get(KEY).unwrap_or("error timeout");
            let on = format!("{on} non_idempotent");
            given.usual.insert(KEY, &on);
        }
    }
}

impl Effect for Bodies {}

impl Effect for Redirects {}
