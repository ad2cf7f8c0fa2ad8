//! Health checks, as a TrafficPolicy says them.

use std::time::Duration;

use selvedge_crds::{
    TrafficPolicy,
    health::{HealthCheck as GivenCheck, HttpCheck},
};

use super::{Context, targets::object_ref};
use crate::{
    kube::{host, objects::Kind},
    model::{HealthCheck, HealthCheckKind},
};

/// What is wrong with a check: the field in it, the reason, and a sentence.
type Fault = (&'static str, &'static str, String);

/// How a policy has endpoints asked; what is wrong with it is told, and then it says nothing of it.
pub(super) fn read(cx: &mut Context<'_, '_>, policy: &TrafficPolicy) -> Option<HealthCheck> {
    match read_check(policy.spec.health_check.as_ref()?) {
        Ok(check) => Some(check),
        Err((field, reason, why)) => {
            let object = object_ref(Kind::TrafficPolicy, &policy.metadata);
            let message = format!("{why}; the check has no effect");
            cx.error(&object, format!("spec.healthCheck{field}"), reason, message);
            None
        }
    }
}

fn read_check(given: &GivenCheck) -> Result<HealthCheck, Fault> {
    let kind = match (&given.http, &given.tcp, &given.grpc) {
        (Some(http), None, None) => read_http(http)?,
        (None, Some(_), None) => HealthCheckKind::Tcp,
        (None, None, Some(grpc)) => {
            HealthCheckKind::Grpc { service: grpc.service.as_deref().unwrap_or_default().into() }
        }
        _ => return Err(("", "InvalidHealthCheck", "give exactly one of http, tcp and grpc".to_owned())),
    };
    let time = |given: Option<selvedge_crds::Duration>, absent: Duration, field| match given {
        Some(time) if time.get().is_zero() => {
            Err((field, "InvalidHealthCheck", "a time must be longer than nothing".to_owned()))
        }
        given => Ok(given.map_or(absent, |time| time.get())),
    };
    let interval = time(given.interval, Duration::from_secs(10), ".interval")?;
    Ok(HealthCheck {
        kind,
        interval,
        timeout: time(given.timeout, interval.min(Duration::from_secs(1)), ".timeout")?,
        healthy_after: given.healthy_after.unwrap_or(2),
        unhealthy_after: given.unhealthy_after.unwrap_or(3),
        port: given.port,
    })
}

fn read_http(given: &HttpCheck) -> Result<HealthCheckKind, Fault> {
    let is_plain = given.path.bytes().all(|byte| matches!(byte, 0x21..=0x7e) && byte != b'#');
    if !given.path.starts_with('/') || !is_plain {
        let why =
            "a path begins with '/' and has no '#', space or other sign that is not plain; write it as %XX";
        return Err((".http.path", "InvalidPath", why.to_owned()));
    }
    if let Some(status) = given.status.iter().find(|status| !(100..=599).contains(*status)) {
        return Err((".http.status", "InvalidStatus", format!("{status} is no status; give 100 to 599")));
    }
    let host = given.host.as_deref().map(str::to_ascii_lowercase);
    if let Some(Err(why)) = host.as_deref().map(host::check) {
        return Err((".http.host", "InvalidHost", why));
    }
    Ok(HealthCheckKind::Http {
        path: given.path.as_str().into(),
        host: host.map(Into::into),
        statuses: given.status.iter().map(|status| *status..=*status).collect(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(given: serde_json::Value) -> Result<HealthCheck, String> {
        let given = serde_json::from_value(given).unwrap();
        read_check(&given).map_err(|(field, reason, _)| format!("{field} {reason}"))
    }

    #[test]
    fn what_is_absent_is_as_documented() {
        let check = read(json!({ "tcp": {} })).unwrap();
        assert_eq!((check.interval, check.timeout), (Duration::from_secs(10), Duration::from_secs(1)));
        assert_eq!((check.healthy_after, check.unhealthy_after), (2, 3));
        let check = read(json!({ "tcp": {}, "interval": "200ms" })).unwrap();
        assert_eq!(check.timeout, Duration::from_millis(200), "not longer than the interval");
    }

    #[test]
    fn each_kind_is_read() {
        let kind = |given| read(given).unwrap().kind;
        let http = json!({ "http": { "path": "/healthz", "host": "Shop.example", "status": [204, 418] } });
        let wanted = HealthCheckKind::Http {
            path: "/healthz".into(),
            host: Some("shop.example".into()),
            statuses: [204..=204, 418..=418].into(),
        };
        assert_eq!(kind(http), wanted);
        assert_eq!(kind(json!({ "tcp": {} })), HealthCheckKind::Tcp);
        assert_eq!(kind(json!({ "grpc": {} })), HealthCheckKind::Grpc { service: "".into() });
    }

    #[test]
    fn what_cannot_be_asked_is_told_with_its_field() {
        let rows = [
            (json!({}), " InvalidHealthCheck"),
            (json!({ "tcp": {}, "grpc": {} }), " InvalidHealthCheck"),
            (json!({ "tcp": {}, "interval": "0s" }), ".interval InvalidHealthCheck"),
            (json!({ "tcp": {}, "timeout": "0s" }), ".timeout InvalidHealthCheck"),
            (json!({ "http": { "path": "healthz" } }), ".http.path InvalidPath"),
            (json!({ "http": { "path": "/a b" } }), ".http.path InvalidPath"),
            (json!({ "http": { "path": "/a\r\nx: y" } }), ".http.path InvalidPath"),
            (json!({ "http": { "path": "/", "status": [42] } }), ".http.status InvalidStatus"),
            (json!({ "http": { "path": "/", "host": "a b" } }), ".http.host InvalidHost"),
        ];
        for (given, wanted) in rows {
            assert_eq!(read(given.clone()).err().as_deref(), Some(wanted), "{given}");
        }
    }
}
