//! Hosts as Ingresses write them.

use selvedge_common::{
    kube::ingress::{Ingress, IngressRule},
    model::HostMatch,
};

pub(super) use selvedge_common::kube::host::{is, parse};

use super::{rules, tls};

/// A field of an Ingress and the host in it, or what is wrong with it.
type HostField = (String, Result<HostMatch, String>);

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
    match rule.host.as_deref() {
        None | Some("") => Ok(HostMatch::Any),
        Some(host) => parse(host),
    }
}

/// Whether a rule is for this host, which is a valid one.
pub(super) fn is_of_rule(rule: &IngressRule, host: &HostMatch) -> bool {
    match rule.host.as_deref() {
        None | Some("") => *host == HostMatch::Any,
        Some(text) => is(text, host),
    }
}
