//! Behaviours of ingress-nginx that no annotation names, and what becomes of each in a class that was adopted.

/// One of them.
#[derive(Clone, Copy, Debug)]
pub struct Behaviour {
    /// What ingress-nginx does.
    pub there: &'static str,
    /// What happens here; empty if it is the same.
    pub here: &'static str,
}

/// All of them, in the order in which they are numbered.
pub const BEHAVIOURS: &[Behaviour] = &[
    same(
        "A path that is a regular expression is anchored at its start only, and compared without regard to case.",
    ),
    same(
        "`use-regex` on any Ingress makes all paths of its hosts regular expressions, in every Ingress and namespace, even `Exact` ones.",
    ),
    same("`rewrite-target` turns `use-regex` on."),
    same(
        "A `Prefix` path that ends in `/` redirects (301) the request without it, unless that path is there, too.",
    ),
    differs(
        "Paths are normalised before they are matched, and backends may see them as they came.",
        "Backends see the path that was matched, so that the two cannot mean different things.",
    ),
    same(
        "Paths are tried by descending length, then by descending text; the first regular expression that matches wins. A path that is no valid one is left out alone.",
    ),
    same("For settings of a whole host (`server-alias`) the oldest Ingress of the host counts."),
    differs(
        "Certificate: that of the exact name under `tls[].hosts`, else of the first Secret whose names match, else the default one.",
        "Secrets are not searched for names: a host under no `tls[].hosts` has the default certificate.",
    ),
    same("Without endpoints: 503."),
    same(
        "A canary's own annotations count only where they are `canary-…`, `load-balance`, `upstream-hash-by` and `affinity`; one canary for each path; field, then cookie, then weight.",
    ),
    same("`ssl-redirect` (308) only where the host has TLS; paths of ACME challenges are left out."),
    same("Limits of the rate answer 503 and count in each replica."),
    same("Only idempotent methods are tried again, unless `non_idempotent` is said."),
    differs("A mirror delays the request.", "It does not."),
    differs(
        "Backends always get `X-Request-ID`, `X-Real-IP`, `X-Forwarded-For`, `-Host`, `-Port`, `-Proto` and `-Scheme`, `X-Scheme` and `X-Original-Forwarded-For`.",
        "So it is here, and `Proxy` is taken away.",
    ),
    same(
        "The redirect to HTTPS cuts a slash off the end of the request target, the query included, unless `preserve-trailing-slash` is set.",
    ),
    differs(
        "Redirects of `from-to-www-redirect` name port 80.",
        "They name a port only where it is not the usual one.",
    ),
    same("Any `spec.tls` redirects all hosts of its Ingress to HTTPS, also those that it does not list."),
    differs(
        "With `use-forwarded-headers` the backend's `Host` becomes `X-Forwarded-Host`, and `X-Forwarded-Proto` decides the redirect.",
        "Only trusted proxies (`proxy-real-ip-cidr`, `--trusted-cidr`) are believed, and of several values of `X-Forwarded-Proto` the first; `Host` stays, and redirects lead there.",
    ),
    differs(
        "The realm of passwords is empty by default; `digest` without one asks nobody.",
        "The realm is empty, too; `digest` is refused, and its paths answer 503.",
    ),
    same(
        "Same host and path: the older Ingress wins; of the same second the later name. Only the older one's `server-alias` counts.",
    ),
    same(
        "A canary without endpoints gets nothing; a main Service without endpoints answers 503 for the canary's requests, too.",
    ),
    same("`auth-url`: all but 2xx, 401 and 403 becomes 500."),
    differs(
        "A failed GET is tried three times, on the same endpoint if there is only one; a POST once.",
        "So it is here, within the budget of the backend (20 % of its requests and 10 a second).",
    ),
    same(
        "A preflight of CORS is answered before access lists and passwords; `app-root` comes before the redirect to HTTPS.",
    ),
    differs(
        "`%2F` counts as `/` where paths are matched, and a capture turns it into `/`.",
        "It stays as it came and never separates elements, as backends may see it otherwise.",
    ),
    differs(
        "An Ingress with a value that cannot be read is dropped as a whole in some cases, so that its paths answer 404.",
        "The annotation alone is left out; where it protects, the paths answer 503.",
    ),
    differs(
        "`X-Accel-Redirect` and other `X-Accel-` fields in answers of backends command the proxy.",
        "They command nothing, and clients do not see them, as there.",
    ),
    differs(
        "A request of HTTP/1.0 without `Host` is one for the host `_`, and redirected there.",
        "It has no host and is not redirected; the backend sees its own address.",
    ),
    differs(
        "Hosts that no Ingress names answer `/healthz` and `/nginx_status`, and tell browsers to come over HTTPS.",
        "They answer 404 and tell nothing more; health is asked at the admin address.",
    ),
    differs(
        "A path in an Ingress is compared with the decoded path of the request, so `%20` in it stands for three characters.",
        "It is read as one in a URL, so `%20` in it is a blank, and `+` is not `%2B`.",
    ),
    differs("A path whose backend is a resource is passed over.", "It answers 503."),
    differs(
        "Error services are told only of the error and the address of the client.",
        "They get the fields of every backend besides; no body is sent to them.",
    ),
    differs(
        "Each endpoint is asked in turn, however often it failed.",
        "One that fails several times in a row is asked nothing for a while.",
    ),
    same("`TRACE` is answered 405."),
    same("A port in an Ingress may be a target port of the Service, too."),
    differs(
        "What concerns the endpoints of a Service (`affinity` with its cookie, `load-balance`, `upstream-hash-by`, a canary) counts for every path of the namespace with that Service and port, in all its Ingresses and hosts. A canary whose Service is also that of an ordinary path is none, and its paths are ordinary ones.",
        "It counts for the paths of the Ingress that says it; a canary is one whatever else its Service is for.",
    ),
    differs(
        "Paths that no Ingress of their host has are those of its oldest Ingress for all but the backend: they are redirected, ask for passwords and keep addresses out as it says, and only then answer 404 or from the default backend.",
        "They answer 404 or from the default backend, and annotations say nothing of them.",
    ),
    differs(
        "An Ingress with a snippet is left out as a whole unless `allow-snippet-annotations` is set.",
        "It is served without the snippet, or answers 503 where that seems to keep somebody out.",
    ),
];

const fn same(there: &'static str) -> Behaviour {
    Behaviour { there, here: "" }
}

const fn differs(there: &'static str, here: &'static str) -> Behaviour {
    Behaviour { there, here }
}
