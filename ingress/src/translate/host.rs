//! Hosts as Ingresses write them.

use selvedge_common::{
    kube::{
        host::parse_shared,
        ingress::{Ingress, IngressRule},
    },
    model::HostMatch,
};

pub(super) use selvedge_common::kube::host::{is, parse};

use super::{rules, tls};

/// A field of an Ingress and the host in it, or what is wrong with it.
type HostField = (String, Result<HostMatch, String>);

/// The valid hosts of rules.
pub(super) fn named_by_rules(ingress: &Ingress) -> impl Iterator<Item = HostMatch> {
    rules(ingress).iter().filter_map(|rule| of_rule(rule).ok())
}

/// The valid hosts of rules and under `spec.tls`.
pub(super) fn named(ingress: &Ingress) -> impl Iterator<Item = HostMatch> {
    let by_tls = tls(ingress).iter().flat_map(|tls| tls.hosts.iter());
    named_by_rules(ingress).chain(by_tls.filter_map(|host| parse(host).ok()))
}

/// Whether a host, which is a valid one, is among these.
pub(super) fn names(ingress: &Ingress, host: &HostMatch) -> bool {
    rules(ingress).iter().any(|rule| is_of_rule(rule, host))
        || tls(ingress).iter().any(|tls| tls.hosts.iter().any(|text| is(text, host)))
}

/// The host of each rule.
pub(super) fn rule_hosts(ingress: &Ingress) -> impl Iterator<Item = HostField> {
    rules(ingress)
        .iter()
        .enumerate()
        .map(|(index, rule)| (format!("spec.rules[{index}].host"), of_rule(rule)))
}

/// Each host under `spec.tls`.
pub(super) fn tls_hosts(ingress: &Ingress) -> impl Iterator<Item = HostField> {
    tls(ingress).iter().enumerate().flat_map(|(index, tls)| {
        let hosts = tls.hosts.iter().enumerate();
        hosts.map(move |(at, host)| (format!("spec.tls[{index}].hosts[{at}]"), parse(host)))
    })
}

/// The host of a rule; a rule without one answers every host.
pub(super) fn of_rule(rule: &IngressRule) -> Result<HostMatch, String> {
    match rule.host.as_ref().filter(|host| !host.is_empty()) {
        None => Ok(HostMatch::Any),
        Some(host) => parse_shared(host),
    }
}

/// Whether a rule is for this host, which is a valid one.
pub(super) fn is_of_rule(rule: &IngressRule, host: &HostMatch) -> bool {
    match rule.host.as_deref() {
        None | Some("") => *host == HostMatch::Any,
        Some(text) => is(text, host),
    }
}
