//! More hosts: names that an Ingress answers beside those of its rules, by `server-alias` and `from-to-www-redirect`.

use std::sync::Arc;

use selvedge_common::{
    filter::{Filter, Redirect},
    id::RouteId,
    kube::{ingress::Ingress, reader::Unit, translation::HostTranslation},
    model::{HostMatch, PathMatch, Problem, Route, VirtualHost},
};

use super::{
    Context, ROUTE_SET, client_certificates, host, host_rules, ingress_ref, name, namespace, passthrough,
    root, rule, tls,
};
use crate::annotations::{
    NGINX_PREFIX, PREFIX,
    form::{Form, Hosts},
    weight::{MOST_BYTES, weight},
};

/// The annotation that names them.
const ALIAS: &str = "server-alias";
/// The annotation that redirects from one of two names to the other.
const WWW: &str = "from-to-www-redirect";
/// Most routes of all names of a host together: each name has those of the host.
const MOST_ROUTES: usize = 100_000;

/// The hosts that an Ingress may have a say in beside those that it names, whether or not its annotations count.
pub(crate) fn declared(ingress: &Ingress) -> Vec<HostMatch> {
    let annotations = &ingress.metadata.annotations;
    let values = move |key: &'static str| {
        let is_it =
            move |name: &str| [PREFIX, NGINX_PREFIX].iter().any(|at| name.strip_prefix(at) == Some(key));
        annotations.iter().filter(move |(name, _)| is_it(name)).map(|(_, text)| text)
    };
    let aliases = values(ALIAS).filter_map(Hosts::parse).flat_map(|hosts| hosts.hosts.to_vec());
    let mut hosts: Vec<_> = aliases.collect();
    if values(WWW).any(|text| bool::parse(text) == Some(true)) {
        hosts.extend(host::named_by_rules(ingress).filter_map(|host| counterpart(&host)));
    }
    hosts
}

/// The name with `www.` of one without, and the other way round.
fn counterpart(host: &HostMatch) -> Option<HostMatch> {
    let HostMatch::Exact(name) = host else { return None };
    let other = match name.strip_prefix("www.") {
        Some(bare) => bare.to_owned(),
        None => format!("www.{name}"),
    };
    host::parse(&other).ok()
}

/// A host that no rule names: what its names are good for; `None` if they are not used.
pub(super) fn translate<'r>(
    cx: &mut Context<'_, 'r>,
    ingresses: &[&'r Arc<Ingress>],
    host: &HostMatch,
) -> Option<HostTranslation> {
    let of_alias = ingresses.iter().find_map(|ingress| aliased(cx, ingress, host));
    if let Some(real) = of_alias {
        return Some(as_alias(cx, (ingresses, host), &real));
    }
    let (owner, other) = ingresses.iter().find_map(|ingress| {
        let asked = cx.said(ingress).annotations.hosts.from_to_www == Some(true);
        let other = counterpart(host).filter(|other| asked && has_rule(ingress, other))?;
        Some((*ingress, other))
    })?;
    let HostMatch::Exact(to) = &other else { return None };
    let certificate = tls::certificate(cx, ingresses, host);
    let status = cx.said(owner).globals.redirect_status;
    let redirect = Redirect { scheme: None, host: Some(to.clone()), port: None, path: None, status };
    let id = RouteId::new(format!("{}/{}/www", namespace(owner), name(owner)));
    let mut route = Route::new(id, ingress_ref(owner), PathMatch::Prefix("/".into()), Vec::new());
    route.filters.push(Filter::Redirect(redirect));
    let virtual_host = Some(VirtualHost::new(certificate, vec![route]));
    let has_tls = tls::is_offered(ingresses, host);
    Some(HostTranslation { virtual_host, has_tls, parts: std::mem::take(&mut cx.parts) })
}

fn has_rule(ingress: &Ingress, host: &HostMatch) -> bool {
    super::rules(ingress).iter().any(|rule| host::is_of_rule(rule, host))
}

/// The host that an Ingress gives another name to, if it does and may.
///
/// ingress-nginx: of several Ingresses of a host only the oldest one with the annotation counts.
fn aliased<'r>(cx: &mut Context<'_, 'r>, ingress: &'r Arc<Ingress>, alias: &HostMatch) -> Option<HostMatch> {
    let names_it = is_alias(cx, ingress, alias);
    let real = host::named_by_rules(ingress).next().filter(|_| names_it)?;
    let of_real = cx.ours(&Unit::Host(ROUTE_SET.into(), real.clone()));
    let first = of_real
        .iter()
        .find(|other| has_rule(other, &real) && cx.said(other).annotations.hosts.server_alias.is_some())?;
    if !Arc::ptr_eq(first, ingress) {
        let message = format!(
            "host {real} has the names that {} gives it, which comes first; {alias} is none of them",
            ingress_ref(first)
        );
        tell(cx, ingress, "AliasConflict", message);
        return None;
    }
    let names = cx.said(ingress).annotations.hosts.server_alias.clone().map(|names| names.hosts)?;
    let paths = of_real.iter().map(|other| count_paths(other, &real)).sum::<usize>();
    let bytes = of_real.iter().map(|other| weight(other)).fold(0, usize::saturating_add);
    if paths.saturating_mul(names.len()) > MOST_ROUTES || bytes.saturating_mul(names.len()) > MOST_BYTES {
        let message = format!(
            "{} names of a host with {paths} paths, whose annotations have {bytes} bytes for all of them, are more than \
             can be held; host {real} has no other name, use fewer or a `*.` wildcard",
            names.len()
        );
        // Once, and not for each of them.
        if names.first() == Some(alias) {
            tell(cx, ingress, "TooManyAliases", message);
        }
        return None;
    }
    Some(real)
}

fn count_paths(ingress: &Ingress, host: &HostMatch) -> usize {
    let rules = super::rules(ingress).iter().filter(|rule| host::is_of_rule(rule, host));
    rules.map(|rule| rule.http.as_ref().map_or(0, |http| http.paths.len())).sum()
}

fn is_alias<'r>(cx: &mut Context<'_, 'r>, ingress: &'r Ingress, alias: &HostMatch) -> bool {
    let said = cx.said(ingress);
    said.annotations.hosts.server_alias.as_ref().is_some_and(|names| names.hosts.contains(alias))
}

/// The same as the real host, under another name.
fn as_alias<'r>(
    cx: &mut Context<'_, 'r>,
    (ingresses, alias): (&[&'r Arc<Ingress>], &HostMatch),
    real: &HostMatch,
) -> HostTranslation {
    let own = tls::certificate(cx, ingresses, alias);
    let told = cx.parts.problems.len();
    let of_real = cx.ours(&Unit::Host(ROUTE_SET.into(), real.clone()));
    let certificate = own.or_else(|| tls::certificate(cx, &of_real, real));
    let has_tls = tls::is_offered(ingresses, alias) || tls::is_offered(&of_real, real);
    let drafts = rule::drafts(cx, &of_real, real);
    let mut routes = host_rules::routes(cx, real, drafts);
    routes.extend(root::nothing_else(cx, (&of_real, real), &routes));
    let mut made = VirtualHost::new(certificate, routes);
    client_certificates::ask(cx, (&of_real, real), &mut made);
    passthrough::pass(cx, (&of_real, real), &mut made);
    // What is wrong there is told under its own name.
    cx.parts.problems.truncate(told);
    let virtual_host = Some(made);
    HostTranslation { virtual_host, has_tls, parts: std::mem::take(&mut cx.parts) }
}

/// Tells those who would give a host another name that some rule has as its own.
pub(super) fn tell_taken<'r>(cx: &mut Context<'_, 'r>, ingresses: &[&'r Arc<Ingress>], host: &HostMatch) {
    for ingress in ingresses {
        if is_alias(cx, ingress, host) && !has_rule(ingress, host) {
            let message = format!("a rule has {host} as its own host, so it is no name of another one");
            tell(cx, ingress, "AliasConflict", message);
        }
    }
}

fn tell<'r>(cx: &mut Context<'_, 'r>, ingress: &'r Ingress, reason: &str, message: String) {
    let field = super::annotation_field(ingress, ALIAS);
    cx.parts.problems.push(Problem::error(&ingress_ref(ingress), field, reason, message));
}
