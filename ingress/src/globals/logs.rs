//! Settings group: what is written about requests.

use super::{Effect, Globals, form::Values, given::Given, setting::setting};
use crate::annotations::form::{Count, Forgiving, Text};

/// Why nothing has to be set.
const OUTPUT: &str = "the access log goes to the standard output, and --access-log says in which form";

super::settings! {
    /// Logs
    Logs {
        /// Write no access log, neither of requests nor of connections over TCP.
        disabled: bool = setting("disable-access-log").default("`false`").example("`true`");
        /// The same for HTTP alone.
        http_disabled: bool = setting("disable-http-access-log").default("`false`").example("`true`");
        /// The same for TCP alone.
        stream_disabled: bool = setting("disable-stream-access-log").default("`false`").example("`true`");
        /// Paths with their query, as clients send them, whose requests are not in it. They are left out on every listener, whichever class or route they are for.
        skipped: Values = setting("skip-access-log-urls").example("`/healthz`");
        /// Write requests for the default backend into it.
        of_default: bool = setting("enable-access-log-for-default-backend").default("`false`").example("`true`")
            .no_effect("all requests are in the access log");
        /// Parameters of it.
        params: Text = setting("access-log-params").example("`buffer=16k`").no_effect(OUTPUT);
        /// Where it is written to.
        path: Text = setting("access-log-path").default("`/var/log/nginx/access.log`").example("`/dev/stdout`").no_effect(OUTPUT);
        /// The same for HTTP.
        http_path: Text = setting("http-access-log-path").example("`/dev/stdout`").no_effect(OUTPUT);
        /// The same for TCP.
        stream_path: Text = setting("stream-access-log-path").example("`/dev/stdout`").no_effect(OUTPUT);
        /// Form of its lines.
        format: Forgiving = setting("log-format-upstream").example("`$remote_addr $status`").no_effect(OUTPUT);
        /// The same for TCP.
        stream_format: Forgiving = setting("log-format-stream").example("`$remote_addr`").no_effect(OUTPUT);
        /// Write values as they are.
        escape_none: bool = setting("log-format-escape-none").default("`false`").example("`true`").no_effect(OUTPUT);
        /// Write values as JSON does.
        escape_json: bool = setting("log-format-escape-json").default("`false`").example("`true`").no_effect(OUTPUT);
        /// Where errors are written to.
        error_path: Text = setting("error-log-path").default("`/var/log/nginx/error.log`").example("`/dev/stderr`")
            .no_effect("the program's own log goes to the standard error output");
        /// How much is written there.
        error_level: Text = setting("error-log-level").default("`notice`").example("`warn`")
            .no_effect("the flag --log-filter says how much is written");
        /// Send both to a server.
        syslog: bool = setting("enable-syslog").default("`false`").example("`true`")
            .refused("logs go to the standard outputs, where the cluster collects them");
        /// Its host.
        syslog_host: Text = setting("syslog-host").example("`logs.example`").no_effect(OUTPUT);
        /// Its port.
        syslog_port: Count = setting("syslog-port").default("`514`").example("`1514`").no_effect(OUTPUT);
    }
}

impl Effect for Logs {
    fn apply(&self, globals: &mut Globals, given: &mut Given<'_>) {
        globals.listener.tcp_unlogged = self.disabled == Some(true) || self.stream_disabled == Some(true);
        if let Some(skipped) = &self.skipped {
            globals.listener.unlogged_targets = skipped.0.to_vec();
        }
        if self.disabled == Some(true) || self.http_disabled == Some(true) {
            given.usual.insert("enable-access-log", "false");
        }
    }
}
