//! Settings groups: the inner workings of nginx, which there are none of here, and its streams of TCP and UDP.

use super::{Effect, Globals, given::Given, setting::setting};
use crate::annotations::form::{Count, Forgiving, Time};

/// Why nothing has to be set for tables.
const TABLES: &str = "tables grow as they are needed";
/// Why nothing has to be set for processes.
const WORKERS: &str = "there is one process with a worker for each core, and flags say how many";

super::settings! {
    /// Inner workings of nginx
    Workings {
        /// How many processes there are.
        processes: Forgiving = setting("worker-processes").example("`4`").no_effect(WORKERS);
        /// Which cores they use.
        affinity: Forgiving = setting("worker-cpu-affinity").example("`auto`").no_effect(WORKERS);
        /// How long a process may go on once it shall stop.
        shutdown: Time = setting("worker-shutdown-timeout").default("`240s`").example("`60s`")
            .no_effect("the flags for stopping say how long connections are waited for; changes of the configuration end none");
        /// Read the configuration in one process after the other.
        serial_reloads: bool = setting("enable-serial-reloads").default("`false`").example("`true`")
            .no_effect("nothing is read anew: changes take effect at once and end no connection");
        /// Take several connections at once.
        multi_accept: bool = setting("enable-multi-accept").default("`true`").example("`false`").no_effect(WORKERS);
        /// How many connections a process has.
        connections: Count = setting("max-worker-connections").default("`16384`").example("`65536`")
            .no_effect("the flag --max-connections bounds the connections of clients");
        /// How many files a process has open.
        files: Count = setting("max-worker-open-files").default("`0`").example("`65536`")
            .no_effect("as many are open as the system lets a process have");
        /// Let processes have sockets of their own for a port.
        reuse_port: bool = setting("reuse-port").default("`true`").example("`false`").no_effect(WORKERS);
        /// Write files beside.
        aio: bool = setting("enable-aio-write").default("`true`").example("`false`").no_effect("no answer is written to a file");
        /// Size of a part of a map.
        map_bucket: Count = setting("map-hash-bucket-size").default("`64`").example("`128`").no_effect(TABLES);
        /// Size of the table of hosts.
        server_names: Count = setting("server-name-hash-max-size").default("`1024`").example("`2048`").no_effect(TABLES);
        /// Size of a part of it.
        server_names_bucket: Count = setting("server-name-hash-bucket-size").example("`128`").no_effect(TABLES);
        /// Size of the table of fields.
        fields: Count = setting("proxy-headers-hash-max-size").default("`512`").example("`1024`").no_effect(TABLES);
        /// Size of a part of it.
        fields_bucket: Count = setting("proxy-headers-hash-bucket-size").default("`64`").example("`128`").no_effect(TABLES);
        /// Size of the table of variables.
        variables: Count = setting("variables-hash-max-size").default("`2048`").example("`4096`").no_effect(TABLES);
        /// Size of a part of it.
        variables_bucket: Count = setting("variables-hash-bucket-size").default("`256`").example("`512`").no_effect(TABLES);
        /// Sizes of what processes share.
        dicts: Forgiving = setting("lua-shared-dicts").example("`certificate_data: 100`").no_effect(TABLES);
    }
}

super::settings! {
    /// TCP and UDP
    Streams {
        /// Longest silence of a connection to one of the TCP services; without it the time that `--tunnel-idle-timeout` gives.
        idle: Time = setting("proxy-stream-timeout").example("`10m`");
        /// Try another endpoint where one cannot be reached.
        next: bool = setting("proxy-stream-next-upstream").default("`true`").example("`false`")
            .no_effect("the flag --retries says how often another one is tried");
        /// How long.
        next_time: Time = setting("proxy-stream-next-upstream-timeout").default("`600s`").example("`10s`")
            .no_effect("the flag --retries says how often another one is tried");
        /// How often.
        next_tries: Count = setting("proxy-stream-next-upstream-tries").default("`3`").example("`2`")
            .no_effect("the flag --retries says how often another one is tried");
        /// How many answers a datagram of UDP has.
        responses: Count = setting("proxy-stream-responses").default("`1`").example("`2`").no_effect("UDP is not carried");
    }
}

impl Effect for Workings {}

impl Effect for Streams {
    fn apply(&self, globals: &mut Globals, given: &mut Given<'_>) {
        let idle = self.idle.map(|time| time.0);
        if idle.is_some_and(|idle| idle.is_zero()) {
            let message = "a time of 0 would end every connection; it has no effect".to_owned();
            given.tell("proxy-stream-timeout", "InvalidSetting", message);
        }
        globals.listener.tcp_idle = idle.filter(|idle| !idle.is_zero());
    }
}
