//! Every metric's name and help; the prefix `selvedge_` is added to each, `_total` to each counter.

/// Prefix of all names.
pub(super) const PREFIX: &str = "selvedge";

/// Name without prefix and suffix, and help.
pub(super) type Name = (&'static str, &'static str);

// Per route: labels `namespace`, `route`, `service`.
pub(super) const REQUESTS: Name =
    ("requests", "Requests ended, by class of status; 4xx if the client went before its answer");
pub(super) const REQUEST_DURATION: Name =
    ("request_duration_seconds", "From the last byte of a request's head to the last of its response");
pub(super) const REQUESTS_IN_FLIGHT: Name = ("requests_in_flight", "Requests begun and not ended");
pub(super) const RECEIVED_BYTES: Name = ("request_received_bytes", "Bytes of request bodies from clients");
pub(super) const SENT_BYTES: Name = ("response_sent_bytes", "Bytes of response bodies to clients");
pub(super) const ROUTE_SERIES: Name = ("route_series", "Label sets of routes held now");
pub(super) const ROUTES_OVERFLOWED: Name =
    ("routes_overflowed", "Times a route was counted under the labels overflow as there are too many");

// Per edge of the call graph: labels `source`, `destination`, `route`.
pub(super) const EDGE_REQUESTS: Name =
    ("edge_requests", "Requests ended, by who called which service by which route, and class of status");
pub(super) const EDGE_DURATION: Name =
    ("edge_request_duration_seconds", "From the last byte of a request's head to the last of its response");
pub(super) const EDGE_SERIES: Name = ("edge_series", "Edges of the call graph held now");
pub(super) const EDGES_OVERFLOWED: Name =
    ("edges_overflowed", "Times an edge was counted under the labels other as there are too many");

// Per listener: label `listener`.
pub(super) const ACCEPTED: Name = ("connections_accepted", "Connections of clients accepted");
pub(super) const OPEN: Name = ("connections_open", "Connections of clients open");
pub(super) const CLOSED: Name = ("connections_closed", "Connections of clients closed, by reason");
pub(super) const HANDSHAKES: Name = ("tls_handshakes", "TLS handshakes with clients that succeeded");
pub(super) const HANDSHAKES_FAILED: Name =
    ("tls_handshakes_failed", "TLS handshakes with clients that failed, by reason");

// The proxy as a whole.
pub(super) const OWN_RESPONSES: Name =
    ("own_responses", "Requests that the proxy answered itself or gave up, by reason");
pub(super) const SHED: Name =
    ("requests_shed", "Requests refused as the process has too much to do, by priority");
pub(super) const UPSTREAM_OPENED: Name = ("upstream_connections_opened", "Connections to endpoints opened");
pub(super) const UPSTREAM_CLOSED: Name = ("upstream_connections_closed", "Connections to endpoints closed");
pub(super) const UPSTREAM_REUSED: Name =
    ("upstream_connections_reused", "Requests sent on a connection that had served another before");
pub(super) const UPSTREAM_FAILED: Name = ("upstream_failures", "Failed tries to have an answer, by reason");
pub(super) const UPSTREAM_EJECTIONS: Name =
    ("upstream_ejections", "Endpoints that get no requests for a while because they kept failing");
pub(super) const UPSTREAM_CHECKS: Name = (
    "upstream_health_checks",
    "Questions to endpoints whether they are well, by result: passed, or why they were not",
);
pub(super) const UPSTREAM_UNHEALTHY: Name =
    ("upstream_unhealthy_endpoints", "Endpoints that fail their health checks now");
pub(super) const UPSTREAM_RETRIES: Name = ("upstream_retries", "Requests sent once more, by reason");
pub(super) const MIRRORED: Name =
    ("mirrored_requests", "Copies of requests for mirrors, by result: answered, or why they were not");
pub(super) const LOG_DROPPED: Name = ("access_log_dropped_lines", "Lines the access log could not keep");
pub(super) const LOG_ERRORS: Name = ("access_log_write_errors", "Failed writes of the access log");
pub(super) const SPANS_EXPORTED: Name = ("spans_exported", "Spans of traces that the collector took");
pub(super) const SPANS_DROPPED: Name = (
    "spans_dropped",
    "Spans of traces lost, by reason: queue_full, export_failed, rejected by the collector, unsent at the end",
);
pub(super) const TOKENS_UNVERIFIED: Name = (
    "caller_tokens_unverified",
    "Requests whose token nobody could verify, so that only their address said who called",
);
pub(super) const PANICS: Name = ("panics", "Panics caught; each ended one connection or task");
pub(super) const BUILD: Name = ("build", "The program's version");

// Configuration.
pub(super) const GENERATION: Name = ("snapshot_generation", "Generation of the snapshot in effect");
pub(super) const UPDATES: Name = ("updates_applied", "Updates that changed what is served");
pub(super) const HOSTS: Name = ("hosts_translated", "Hosts translated, each time counted");
pub(super) const TRANSLATION: Name =
    ("translation_duration_seconds", "From the begin of a translation to its snapshot in effect");
pub(super) const PROBLEMS: Name = ("problems", "Problems of objects now, by severity");
pub(super) const KIND_DENIED: Name =
    ("kind_denied", "Parts of a kind, each a namespace or all of it, that may not be read");
