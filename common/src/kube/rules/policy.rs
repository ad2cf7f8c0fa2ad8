//! Policies: what TrafficPolicies say of a Service or a route, the nearer one first, field by field.

use std::time::Duration;

use selvedge_crds::{
    TrafficPolicy,
    balance::{Affinity as GivenAffinity, Algorithm, Balance as GivenBalance, HashKey as GivenKey},
    connection::{PolicyTimeouts, ProxyProtocol},
    health::{HealthCheck as GivenCheck, Outlier},
    load::{CircuitBreaking, Concurrency, LimitKey, Priority, RateLimit as GivenLimit},
    retry::RetryBudget,
};

use super::{
    Context, policy_shape, sending,
    targets::{name, namespace},
    tls,
};
use crate::{
    filter::{Filter, Networks, RateKey, RateLimit, check_token},
    id::ObjectRef,
    kube::objects::{Kind, ObjectKey},
    message::authority,
    model::{
        self, Affinity, Backend, BackendLimits, BackendTls, Balance, FailingStatuses, Fairness, HashKey,
        HealthCheck, HealthCheckKind, ProxyProtocolVersion, RetryAllowance,
    },
};

/// What policies say; `None` leaves it to the less near one, and at last to the flags.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    pub(super) balance: Option<Balance>,
    pub(super) affinity: Option<Affinity>,
    pub(super) limits: Option<BackendLimits>,
    pub(super) fairness: Option<Fairness>,
    pub(super) outlier: Option<Outlier>,
    pub(super) check: Option<HealthCheck>,
    pub(super) retry_budget: Option<RetryBudget>,
    pub(super) connect_timeout: Option<Duration>,
    /// `Some(None)` is plain text.
    pub(super) tls: Option<Option<BackendTls>>,
    pub(super) slow_start: Option<Duration>,
    pub(super) prefer_zone: Option<bool>,
    pub(super) proxy_protocol: Option<ProxyProtocolVersion>,
    pub(super) request_timeout: Option<Duration>,
    pub(super) backend_timeout: Option<Duration>,
    pub(super) idle_timeout: Option<Duration>,
    pub(super) rate_limit: Option<RateLimit>,
    pub(super) priority: Option<Priority>,
}

/// A policy that is nearer than those of Services, with the object that it belongs to: a RouteRule or an Ingress.
#[derive(Clone, Debug)]
pub struct Near {
    /// Whose it is.
    pub owner: ObjectRef,
    /// What it says.
    pub policy: Policy,
}

impl Near {
    /// The policies that are attached to an object.
    pub fn of(cx: &mut Context<'_, '_>, owner: ObjectRef) -> Self {
        let key = ObjectKey::of(&owner).filter(|_| cx.reader.has_any(Kind::TrafficPolicy));
        let policy = key.map(|key| Policy::attached_to(cx, &key, None)).unwrap_or_default();
        Self { owner, policy }
    }

    /// What makes the id of a backend differ from that of the same Service port without this policy.
    pub(super) fn suffix(&self) -> String {
        let ObjectRef { kind, namespace, name, .. } = &self.owner;
        format!("+{}/{namespace}/{name}", kind.to_ascii_lowercase())
    }
}

impl Policy {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What counts for a port of a Service: that of the port, that of the Service, that of its namespace.
    pub fn of_service(cx: &mut Context<'_, '_>, namespace: &str, service: &str, port: u16) -> Self {
        if !cx.reader.has_any(Kind::TrafficPolicy) {
            return Self::default();
        }
        let of_service =
            Self::attached_to(cx, &ObjectKey::new(Kind::Service, namespace, service), Some(port));
        let of_namespace = Self::attached_to(cx, &ObjectKey::new(Kind::TrafficPolicy, namespace, ""), None);
        of_service.or(of_namespace)
    }

    /// What is attached to one object, the oldest policy first; one that names the port goes before one that does not.
    fn attached_to(cx: &mut Context<'_, '_>, key: &ObjectKey, port: Option<u16>) -> Self {
        let mut with_port = Self::default();
        let mut without = Self::default();
        for policy in cx.policies_of(key) {
            let targets = policy.spec.targets.iter();
            let targets = targets.filter(|target| {
                super::targets::policy_target(namespace(&policy.metadata), target).as_ref() == Some(key)
            });
            for target in targets {
                match target.port {
                    None => without = without.or(Self::read(cx, policy)),
                    named if named == port => with_port = with_port.or(Self::read(cx, policy)),
                    Some(_) => {}
                }
            }
        }
        with_port.or(without)
    }

    /// What one policy says; what is wrong with it is told.
    pub(super) fn read(cx: &mut Context<'_, '_>, policy: &TrafficPolicy) -> Self {
        let spec = &policy.spec;
        let timeouts = spec.timeouts.clone().unwrap_or_default();
        let PolicyTimeouts { request, backend, idle } = timeouts;
        let duration = |given: Option<selvedge_crds::Duration>| given.map(|time| time.get());
        let limit = |given| duration(given).map(sending::limit);
        Self {
            balance: spec.balance.as_ref().map(read_balance),
            affinity: spec.affinity.as_ref().and_then(read_affinity),
            limits: spec.circuit_breaking.as_ref().map(read_limits),
            fairness: spec.concurrency.as_ref().map(read_fairness),
            outlier: spec.outlier.clone(),
            check: spec.health_check.as_ref().and_then(read_check),
            retry_budget: spec.retry_budget.clone(),
            connect_timeout: spec.connection.as_ref().and_then(|connection| duration(connection.timeout)),
            tls: tls::read(cx, policy),
            slow_start: spec.slow_start.as_ref().map(|slow| slow.window.get()),
            prefer_zone: spec.zone.as_ref().and_then(|zone| zone.prefer),
            proxy_protocol: spec.proxy_protocol.map(|version| match version {
                ProxyProtocol::V1 => ProxyProtocolVersion::V1,
                ProxyProtocol::V2 => ProxyProtocolVersion::V2,
            }),
            request_timeout: limit(request),
            backend_timeout: limit(backend),
            idle_timeout: limit(idle),
            rate_limit: spec.rate_limit.as_ref().and_then(|limit| read_rate(policy, limit)),
            priority: spec.priority,
        }
    }

    /// One that says how long requests may take and nothing else.
    pub fn of_times(request: Option<Duration>, idle: Option<Duration>) -> Self {
        Self { request_timeout: request, idle_timeout: idle, ..Self::default() }
    }

    /// What it says of how long requests may take, and nothing else.
    pub fn times(&self) -> Self {
        Self {
            request_timeout: self.request_timeout,
            backend_timeout: self.backend_timeout,
            idle_timeout: self.idle_timeout,
            ..Self::default()
        }
    }

    /// Says this of the retry budget before anything else.
    pub(super) fn put_budget(&mut self, budget: RetryBudget) {
        self.retry_budget = merge(Some(budget), self.retry_budget.take(), budget_or);
    }

    /// What it says of requests and not of backends: how long they may take, their rate and their priority.
    pub(super) fn of_requests(&self) -> Self {
        Self { rate_limit: self.rate_limit.clone(), priority: self.priority, ..self.times() }
    }

    /// Whether it limits the rate of requests.
    pub fn limits_rate(&self) -> bool {
        self.rate_limit.is_some()
    }

    /// What this one says, and where it says nothing what the other one does.
    pub fn or(self, other: Self) -> Self {
        Self {
            balance: self.balance.or(other.balance),
            affinity: self.affinity.or(other.affinity),
            limits: merge(self.limits, other.limits, limits_or),
            fairness: self.fairness.or(other.fairness),
            outlier: merge(self.outlier, other.outlier, outlier_or),
            check: self.check.or(other.check),
            retry_budget: merge(self.retry_budget, other.retry_budget, budget_or),
            connect_timeout: self.connect_timeout.or(other.connect_timeout),
            tls: self.tls.or(other.tls),
            slow_start: self.slow_start.or(other.slow_start),
            prefer_zone: self.prefer_zone.or(other.prefer_zone),
            proxy_protocol: self.proxy_protocol.or(other.proxy_protocol),
            request_timeout: self.request_timeout.or(other.request_timeout),
            backend_timeout: self.backend_timeout.or(other.backend_timeout),
            idle_timeout: self.idle_timeout.or(other.idle_timeout),
            rate_limit: self.rate_limit.or(other.rate_limit),
            priority: self.priority.or(other.priority),
        }
    }

    /// Says to a backend what it says of backends.
    pub fn apply(&self, backend: &mut Backend) {
        fn set<T: Clone>(to: &mut T, from: Option<&T>) {
            if let Some(value) = from {
                to.clone_from(value);
            }
        }
        set(&mut backend.balance, self.balance.as_ref());
        set(&mut backend.fairness, self.fairness.as_ref());
        set(&mut backend.connect_timeout, self.connect_timeout.as_ref());
        set(&mut backend.prefer_zone, self.prefer_zone.as_ref());
        if let Some(limits) = &self.limits {
            backend.limits = limits_or(limits.clone(), backend.limits.clone());
        }
        backend.affinity = self.affinity.clone().or(backend.affinity.take());
        backend.check = self.check.clone().or(backend.check.take());
        backend.slow_start = self.slow_start.or(backend.slow_start);
        backend.proxy_protocol = self.proxy_protocol.or(backend.proxy_protocol);
        if let Some(tls) = &self.tls {
            let known_name = backend.tls.take().and_then(|tls| tls.server_name);
            backend.tls.clone_from(tls);
            if let Some(tls) = &mut backend.tls {
                tls.server_name = tls.server_name.take().or(known_name);
            }
        }
        if let Some(outlier) = &self.outlier {
            apply_outlier(outlier, &mut backend.health);
        }
        if let Some(budget) = &self.retry_budget {
            apply_budget(budget, &mut backend.retry_allowance);
        }
    }

    /// Which requests are refused first.
    pub(super) fn load_priority(&self) -> model::Priority {
        match self.priority.unwrap_or_default() {
            Priority::Low => model::Priority::Low,
            Priority::Normal => model::Priority::Normal,
            Priority::High => model::Priority::High,
        }
    }

    /// The filters that it asks for on routes to this Service or of this rule; each has a limit of its own.
    pub(super) fn filters(&self, of: &str) -> Vec<Filter> {
        let limit = self.rate_limit.clone().map(|limit| {
            let id = format!("{} of {of}", limit.id).into();
            Filter::RateLimit(RateLimit { id, ..limit })
        });
        limit.into_iter().collect()
    }
}

/// Puts two together where both are given.
fn merge<T>(near: Option<T>, far: Option<T>, or: impl FnOnce(T, T) -> T) -> Option<T> {
    match (near, far) {
        (Some(near), Some(far)) => Some(or(near, far)),
        (near, far) => near.or(far),
    }
}

fn limits_or(near: BackendLimits, far: BackendLimits) -> BackendLimits {
    BackendLimits {
        connections: near.connections.or(far.connections),
        pending: near.pending.or(far.pending),
        requests: near.requests.or(far.requests),
    }
}

fn outlier_or(near: Outlier, far: Outlier) -> Outlier {
    Outlier {
        failures: near.failures.or(far.failures),
        ejection: near.ejection.or(far.ejection),
        longest_ejection: near.longest_ejection.or(far.longest_ejection),
        most_ejected_percent: near.most_ejected_percent.or(far.most_ejected_percent),
        panic_percent: near.panic_percent.or(far.panic_percent),
    }
}

fn budget_or(near: RetryBudget, far: RetryBudget) -> RetryBudget {
    RetryBudget { percent: near.percent.or(far.percent), per_second: near.per_second.or(far.per_second) }
}

fn read_balance(given: &GivenBalance) -> Balance {
    match given.algorithm {
        Algorithm::RoundRobin => Balance::RoundRobin,
        Algorithm::LeastRequests => Balance::LeastRequests,
        Algorithm::Ewma => Balance::Ewma,
        Algorithm::Hash => Balance::Hash(match &given.hash {
            Some(GivenKey { header: Some(name), .. }) => HashKey::Header(name.to_ascii_lowercase().into()),
            Some(GivenKey { cookie: Some(name), .. }) => HashKey::Cookie(name.as_str().into()),
            _ => HashKey::Source,
        }),
    }
}

fn read_limits(given: &CircuitBreaking) -> BackendLimits {
    let some = |limit: Option<u32>| limit.filter(|limit| *limit > 0);
    BackendLimits {
        connections: some(given.connections),
        pending: given.pending,
        requests: some(given.requests),
    }
}

fn read_fairness(given: &Concurrency) -> Fairness {
    let queue = given.queue.as_ref();
    Fairness {
        per_caller: given.per_caller,
        queue: queue.map_or(0, |queue| queue.length),
        queue_wait: queue.map_or(Duration::ZERO, |queue| queue.wait.get()),
    }
}

/// `None` for one that cannot be asked.
fn read_check(given: &GivenCheck) -> Option<HealthCheck> {
    let is_host = |host: &&str| authority::parse(host.as_bytes()).is_ok();
    let is_status = |status: &&u16| (100..=599).contains(*status);
    let kind = match (&given.http, &given.grpc) {
        (Some(http), _) if !policy_shape::is_path(&http.path) => return None,
        (Some(http), _) => HealthCheckKind::Http {
            path: http.path.as_str().into(),
            host: http.host.as_deref().filter(is_host).map(Into::into),
            statuses: http
                .status
                .iter()
                .filter(|status| is_status(status))
                .map(|status| *status..=*status)
                .collect(),
        },
        (None, Some(grpc)) => {
            HealthCheckKind::Grpc { service: grpc.service.as_deref().unwrap_or_default().into() }
        }
        (None, None) => HealthCheckKind::Tcp,
    };
    let interval = given.interval.map(|time| time.get()).filter(|time| !time.is_zero());
    let interval = interval.unwrap_or(Duration::from_secs(10));
    let timeout = given.timeout.map_or(Duration::from_secs(1), |time| time.get());
    Some(HealthCheck {
        kind,
        interval,
        timeout: timeout.min(interval),
        healthy_after: given.healthy_after.unwrap_or(2),
        unhealthy_after: given.unhealthy_after.unwrap_or(3),
        port: given.port,
    })
}

fn read_affinity(given: &GivenAffinity) -> Option<Affinity> {
    let cookie = &given.cookie;
    let path = cookie.path.as_deref().filter(|path| policy_shape::is_cookie_path(path));
    check_token(&cookie.name).ok().map(|()| Affinity {
        path: path.unwrap_or("/").into(),
        ttl: cookie.ttl.map(|time| time.get()),
        ..Affinity::named(&cookie.name)
    })
}

/// `None` for one that would let nothing or everything through.
fn read_rate(policy: &TrafficPolicy, given: &GivenLimit) -> Option<RateLimit> {
    let key = match &given.key {
        None => RateKey::All,
        Some(LimitKey { caller: Some(true), .. }) => RateKey::Caller,
        Some(LimitKey { header: Some(name), .. }) => RateKey::Header(name.to_ascii_lowercase().into()),
        Some(_) => RateKey::Source,
    };
    let limits = given.requests > 0 && !given.per.get().is_zero();
    limits.then(|| RateLimit {
        id: format!("{}/{}", namespace(&policy.metadata), name(&policy.metadata)).into(),
        requests: given.requests,
        per: given.per.get(),
        burst: given.burst.unwrap_or(given.requests),
        key,
        except: Networks::default(),
        status: given.status.filter(|status| (400..=599).contains(status)).unwrap_or(429),
    })
}

fn apply_outlier(given: &Outlier, health: &mut crate::model::Health) {
    health.failing_statuses = FailingStatuses::Server;
    health.failures = given.failures.unwrap_or(health.failures);
    health.ejection = given.ejection.map_or(health.ejection, |time| time.get());
    let longest = given.longest_ejection.map_or(health.longest_ejection, |time| time.get());
    health.longest_ejection = longest.max(health.ejection);
    health.most_ejected_percent = given.most_ejected_percent.unwrap_or(health.most_ejected_percent);
    // The object says how few must be left, the model how many must have gone.
    let gone = given.panic_percent.map(|left| 100_u8.saturating_sub(left));
    health.panic_percent = gone.unwrap_or(health.panic_percent);
    health.failing_statuses = FailingStatuses::Server;
}

fn apply_budget(given: &RetryBudget, allowance: &mut RetryAllowance) {
    allowance.percent = given.percent.unwrap_or(allowance.percent);
    allowance.per_second = given.per_second.unwrap_or(allowance.per_second);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Health;

    #[test]
    fn outliers_are_told_by_status_too_and_panic_by_who_is_left() {
        for (left, gone) in [(None, 40), (Some(0), 100), (Some(30), 70), (Some(100), 0), (Some(200), 0)] {
            let mut health = Health { panic_percent: 40, ..Health::default() };
            apply_outlier(&Outlier { panic_percent: left, ..Outlier::default() }, &mut health);
            assert_eq!(health.panic_percent, gone, "{left:?}");
            assert_eq!(health.failing_statuses, FailingStatuses::Server);
            assert_eq!(health.failures, Health::default().failures);
        }
    }
}
