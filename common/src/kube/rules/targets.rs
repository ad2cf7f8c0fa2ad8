//! Targets: for which Services and hosts an object counts, and which objects count for one of them.

use std::sync::Arc;

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::ObjectMeta, jiff::Timestamp};
use selvedge_crds::{
    RouteRule, TrafficPolicy,
    route_rule::RouteTarget,
    traffic_policy::{PolicyTarget, PolicyTargetKind},
};

use super::{Context, shape};
use crate::{
    id::{ObjectRef, RouteSetId},
    kube::{
        host,
        objects::{Kind, Object, ObjectKey},
        reader::Unit,
    },
    model::HostMatch,
};

/// The units that a RouteRule or TrafficPolicy has a say in beside its own; `hosts` is the set that hosts are in.
pub fn attached_units(object: &Object, hosts: &RouteSetId) -> Vec<Unit> {
    match object {
        Object::RouteRule(rule) => {
            let unit = |target: &RouteTarget| match (&target.service, &target.host) {
                (Some(service), _) => {
                    Some(Unit::Attached(ObjectKey::new(Kind::Service, namespace(&rule.metadata), service)))
                }
                (None, Some(host)) => host_of(host).ok().map(|host| Unit::Host(hosts.clone(), host)),
                (None, None) => None,
            };
            rule.spec.targets.iter().filter_map(unit).collect()
        }
        Object::TrafficPolicy(policy) => {
            let key = |target: &PolicyTarget| policy_target(namespace(&policy.metadata), target);
            policy.spec.targets.iter().filter_map(key).map(Unit::Attached).collect()
        }
        _ => Vec::new(),
    }
}

/// Whether a RouteRule counts for hosts and no Service, so that its status is the edge's to write.
pub fn is_for_hosts_only(rule: &RouteRule) -> bool {
    rule.spec.targets.iter().all(|target| target.service.is_none())
}

/// Whether a RouteRule counts for a host, so that the edge has a say in its status.
pub fn is_for_hosts(rule: &RouteRule) -> bool {
    rule.spec.targets.iter().any(is_host)
}

/// Whether a target is a host.
pub(super) fn is_host(target: &RouteTarget) -> bool {
    target.service.is_none() && target.host.is_some()
}

/// Whether a TrafficPolicy counts for an Ingress, so that the edge has a say in its status.
pub fn is_for_ingresses(policy: &TrafficPolicy) -> bool {
    policy.spec.targets.iter().any(|target| target.kind == PolicyTargetKind::Ingress)
}

/// Whether a TrafficPolicy counts for Ingresses and nothing else, so that its status is the edge's to write.
pub fn is_for_ingresses_only(policy: &TrafficPolicy) -> bool {
    policy.spec.targets.iter().all(|target| target.kind == PolicyTargetKind::Ingress)
}

/// A host as it is written in a target: `api.example.com` or `*.example.com`.
///
/// # Errors
/// What is wrong with it, in a sentence without the name.
pub fn host_of(text: &str) -> Result<HostMatch, String> {
    host::parse(text)
}

/// What a policy's target is attached to; `None` for kinds that nobody looks for, such as an HTTPRoute, for a target
/// without its name, and for a namespace with one, as that could be another one.
pub(super) fn policy_target(namespace: &str, target: &PolicyTarget) -> Option<ObjectKey> {
    let kind = match target.kind {
        // It stands for the namespace itself, which needs not be read for that.
        PolicyTargetKind::Namespace => {
            return target.name.is_none().then(|| ObjectKey::new(Kind::TrafficPolicy, namespace, ""));
        }
        PolicyTargetKind::Service => Kind::Service,
        PolicyTargetKind::RouteRule => Kind::RouteRule,
        PolicyTargetKind::Ingress => Kind::Ingress,
        PolicyTargetKind::HttpRoute => return None,
    };
    Some(ObjectKey::new(kind, namespace, target.name.as_deref()?))
}

/// A target of a RouteRule as a person reads it.
pub(super) fn print_route_target(target: &RouteTarget) -> String {
    match (&target.service, target.port, &target.host) {
        (Some(service), Some(port), _) => format!("service {service}:{port}"),
        (Some(service), None, _) => format!("service {service}"),
        (None, _, Some(host)) => format!("host {host}"),
        (None, _, None) => "nothing".to_owned(),
    }
}

/// A target of a TrafficPolicy as a person reads it.
pub(super) fn print_policy_target(target: &PolicyTarget) -> String {
    let kind = match target.kind {
        PolicyTargetKind::Namespace => "namespace",
        PolicyTargetKind::Service => "service",
        PolicyTargetKind::RouteRule => "routerule",
        PolicyTargetKind::HttpRoute => "httproute",
        PolicyTargetKind::Ingress => "ingress",
    };
    match (&target.name, target.port) {
        (Some(name), Some(port)) => format!("{kind} {name}:{port}"),
        (Some(name), None) => format!("{kind} {name}"),
        (None, _) => kind.to_owned(),
    }
}

impl<'r> Context<'_, 'r> {
    /// The RouteRules that declare a unit, the one that comes first in front.
    pub(super) fn rules_of(&self, unit: &Unit) -> Vec<&'r Arc<RouteRule>> {
        let mut rules: Vec<_> = (self.reader.declaring(unit))
            .filter_map(|object| match object {
                Object::RouteRule(rule) => Some(rule),
                _ => None,
            })
            .collect();
        rules.sort_by(|a, b| {
            let order = |rule: &RouteRule| std::cmp::Reverse(shape::priority(rule));
            order(a).cmp(&order(b)).then_with(|| age(&a.metadata).cmp(&age(&b.metadata)))
        });
        rules
    }

    /// The TrafficPolicies that are attached to an object, the oldest first.
    pub(super) fn policies_of(&self, attached_to: &ObjectKey) -> Vec<&'r Arc<TrafficPolicy>> {
        let mut policies: Vec<_> = (self.reader.declaring(&Unit::Attached(attached_to.clone())))
            .filter_map(|object| match object {
                Object::TrafficPolicy(policy) => Some(policy),
                _ => None,
            })
            .collect();
        policies.sort_by(|a, b| age(&a.metadata).cmp(&age(&b.metadata)));
        policies
    }
}

/// What objects are ordered by.
pub type Age<'a> = (bool, Option<Timestamp>, &'a str, &'a str);

/// Orders objects: the smallest wins. By creation, then namespace, then name; one without a time of creation (from a
/// file) comes after those that have one.
pub fn age(metadata: &ObjectMeta) -> Age<'_> {
    let created = metadata.creation_timestamp.as_ref().map(|time| time.0);
    (created.is_none(), created, namespace(metadata), name(metadata))
}

pub(super) fn namespace(metadata: &ObjectMeta) -> &str {
    metadata.namespace.as_deref().unwrap_or_default()
}

pub(super) fn name(metadata: &ObjectMeta) -> &str {
    metadata.name.as_deref().unwrap_or_default()
}

pub(super) fn object_ref(kind: Kind, metadata: &ObjectMeta) -> ObjectRef {
    ObjectRef::new(kind.name(), namespace(metadata), name(metadata))
}
