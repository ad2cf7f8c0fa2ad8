//! Policy shape: what the schema of a TrafficPolicy refuses but a file may say, and fields without effect.

use selvedge_crds::{
    TrafficPolicy,
    balance::{Affinity, Algorithm, Balance, HashKey},
    connection::{BackendTls, PolicyTimeouts, TlsMode},
    health::{HealthCheck, HttpCheck},
    load::{CircuitBreaking, Concurrency, LimitKey, RateLimit},
};

use super::{Context, shape};
use crate::{
    filter::{check_token, check_value},
    id::ObjectRef,
    message::authority,
};

/// Whether something is wrong, with its field and what to do.
type Row = (bool, &'static str, &'static str);

/// Tells what is wrong with the form of a TrafficPolicy.
pub(super) fn check(cx: &mut Context<'_, '_>, object: &ObjectRef, policy: &TrafficPolicy) {
    let spec = &policy.spec;
    let mut rows = vec![(
        spec.targets.is_empty(),
        "targets",
        "name what it counts for; without a target it has no effect",
    )];
    rows.extend(spec.balance.iter().flat_map(of_balance));
    rows.extend(spec.affinity.iter().flat_map(of_affinity));
    rows.extend(spec.circuit_breaking.iter().flat_map(of_circuit_breaking));
    rows.extend(spec.health_check.iter().flat_map(of_health_check));
    rows.extend(spec.rate_limit.iter().flat_map(of_rate_limit));
    rows.extend(spec.concurrency.iter().flat_map(of_concurrency));
    rows.extend(spec.tls.iter().flat_map(of_tls));
    rows.extend(spec.timeouts.iter().flat_map(of_timeouts));
    for (_, field, message) in rows.into_iter().filter(|(is_wrong, ..)| *is_wrong) {
        cx.error(object, format!("spec.{field}"), "InvalidPolicy", message.to_owned());
    }
    for (index, target) in spec.targets.iter().enumerate() {
        if spec.targets[..index].contains(target) {
            let message = "this target is there twice; remove one of them".to_owned();
            cx.warning(object, format!("spec.targets[{index}]"), "DuplicateTarget", message);
        }
    }
}

fn of_balance(given: &Balance) -> Vec<Row> {
    let is_hash = given.algorithm == Algorithm::Hash;
    let mut rows = vec![
        (
            is_hash && given.hash.is_none(),
            "balance",
            "algorithm Hash needs hash, which says what is hashed; the client's address is",
        ),
        (!is_hash && given.hash.is_some(), "balance.hash", "only algorithm Hash has it; it has no effect"),
    ];
    if let Some(HashKey { header, cookie, source }) = &given.hash {
        let forms = [header.is_some(), cookie.is_some(), source.is_some()];
        rows.push((
            forms.into_iter().filter(|given| *given).count() != 1,
            "balance.hash",
            "give exactly one of header, cookie and source; the first of them counts, or else the client's address",
        ));
        rows.push((
            *source == Some(false),
            "balance.hash.source",
            "this can only be true; it counts as true",
        ));
    }
    rows
}

fn of_affinity(given: &Affinity) -> [Row; 2] {
    let path = given.cookie.path.as_deref().unwrap_or("/");
    [
        (
            check_token(&given.cookie.name).is_err(),
            "affinity.cookie.name",
            "a name of a cookie is made of letters, digits, '-' and '_'; there is no affinity",
        ),
        (
            !is_cookie_path(path),
            "affinity.cookie.path",
            "a path begins with '/' and has no space or ';'; the cookie is for '/'",
        ),
    ]
}

/// Whether a path can be written into a cookie.
pub(super) fn is_cookie_path(path: &str) -> bool {
    is_path(path) && !path.contains(';')
}

/// Whether a path can be asked for.
pub(super) fn is_path(path: &str) -> bool {
    path.starts_with('/') && path.is_ascii() && check_value(path).is_ok() && !path.contains([' ', '\t', '#'])
}

fn of_circuit_breaking(given: &CircuitBreaking) -> [Row; 2] {
    let zero = "0 would let nothing through; leave it out for no limit, which counts now";
    [
        (given.connections == Some(0), "circuitBreaking.connections", zero),
        (given.requests == Some(0), "circuitBreaking.requests", zero),
    ]
}

fn of_health_check(given: &HealthCheck) -> Vec<Row> {
    let HealthCheck { http, tcp, grpc, interval, timeout, .. } = given;
    let forms = [http.is_some(), tcp.is_some(), grpc.is_some()];
    let mut rows = vec![
        (
            forms.into_iter().filter(|given| *given).count() != 1,
            "healthCheck",
            "give exactly one of http, tcp and grpc; the first of http, grpc and tcp counts, or else tcp",
        ),
        (
            interval.is_some_and(|interval| interval.get().is_zero()),
            "healthCheck.interval",
            "it must be longer than 0s; 10s counts",
        ),
        (
            matches!((timeout, interval), (Some(timeout), Some(interval)) if timeout > interval),
            "healthCheck.timeout",
            "timeout must not be longer than interval; as long as interval counts",
        ),
    ];
    if let Some(HttpCheck { path, host, status }) = http {
        let wrong = "a path begins with '/' and has no space; nothing is asked";
        rows.push((!is_path(path), "healthCheck.http.path", wrong));
        let is_wrong = host.as_ref().is_some_and(|host| authority::parse(host.as_bytes()).is_err());
        rows.push((
            is_wrong,
            "healthCheck.http.host",
            "a host is a name such as api.example.com; the endpoint's address is asked for",
        ));
        rows.push((
            status.iter().any(|status| !(100..=599).contains(status)),
            "healthCheck.http.status",
            "a status is from 100 to 599; others are left out",
        ));
    }
    rows
}

fn of_rate_limit(given: &RateLimit) -> Vec<Row> {
    let mut rows = vec![
        (
            given.per.get().is_zero(),
            "rateLimit.per",
            "per must be longer than 0s; write one such as 1s, 1m or 1h; there is no limit",
        ),
        (
            given.requests == 0,
            "rateLimit.requests",
            "0 lets nothing through; write at least 1; there is no limit",
        ),
        (
            given.status.is_some_and(|status| !(400..=599).contains(&status)),
            "rateLimit.status",
            "a status of a refusal is from 400 to 599; 429 is answered",
        ),
    ];
    if let Some(LimitKey { caller, header, source }) = &given.key {
        let forms = [caller.is_some(), header.is_some(), source.is_some()];
        rows.push((
            forms.into_iter().filter(|given| *given).count() != 1,
            "rateLimit.key",
            "give exactly one of caller, header and source; the first of them counts, or else the client's address",
        ));
        let wrong = "this can only be true; it has no effect";
        rows.push((*caller == Some(false), "rateLimit.key.caller", wrong));
        rows.push((*source == Some(false), "rateLimit.key.source", wrong));
    }
    rows
}

fn of_concurrency(given: &Concurrency) -> [Row; 1] {
    let is_wrong = given.queue.is_some() && given.per_caller.is_none();
    let message = "queue is for requests above perCaller; give perCaller too; it has no effect";
    [(is_wrong, "concurrency.queue", message)]
}

fn of_tls(given: &BackendTls) -> [Row; 3] {
    let BackendTls { mode, ca, server_name, client_certificate, insecure_skip_verify } = given;
    let more = ca.is_some()
        || server_name.is_some()
        || client_certificate.is_some()
        || insecure_skip_verify.is_some();
    let both = ca.as_ref().is_some_and(|ca| ca.secret.is_some() && ca.config_map.is_some());
    [
        (
            *mode == Some(TlsMode::Plain) && more,
            "tls",
            "mode Plain means plain connections: remove ca, serverName, clientCertificate and insecureSkipVerify, which \
             have no effect",
        ),
        (
            *insecure_skip_verify == Some(true) && ca.is_some(),
            "tls.ca",
            "with insecureSkipVerify nothing is checked against ca; remove one of them; any certificate is taken",
        ),
        (both, "tls.ca", "name exactly one of secret and configMap; the Secret counts"),
    ]
}

fn of_timeouts(given: &PolicyTimeouts) -> [Row; 1] {
    [(shape::backend_outlasts(given.request, given.backend), "timeouts.backend", shape::TIMEOUTS)]
}
