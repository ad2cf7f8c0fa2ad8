//! Passthrough: hosts whose TLS an endpoint ends, as the Ingress says that comes first for them.
//!
//! ingress-nginx: the oldest Ingress of a host decides alone, and all connections of the host go where its path `/` leads.

use std::sync::Arc;

use selvedge_common::{
    filter::{Access, Filter},
    id::RouteId,
    kube::{ingress::Ingress, objects::Kind},
    model::{
        BackendRef, BackendTarget, HostMatch, InvalidBackend, PathMatch, Problem, Route, TcpRoute,
        TlsPassthrough, VirtualHost,
    },
};

use super::{
    Context, RouteDraft, Via, annotation_field, backend, globals, host, ingress_ref, name, namespace, rule,
    rule::rules_of, rules, said::Said, spec,
};
use crate::{
    annotations::{Annotations, NGINX_PREFIX, is_honoured, without_prefix},
    globals::Globals,
};

/// The annotation that asks for it.
const KEY: &str = "ssl-passthrough";

/// Annotations that count for connections that are passed through, or say nothing of how TLS is served.
const NOT_FOR_TLS: [&str; 16] = [
    KEY,
    "allowlist-source-range",
    "backend-protocol",
    "denylist-source-range",
    "enable-access-log",
    "force-ssl-redirect",
    "load-balance",
    "proxy-connect-timeout",
    "proxy-ssl-name",
    "proxy-ssl-secret",
    "proxy-ssl-server-name",
    "proxy-ssl-verify",
    "server-alias",
    "service-upstream",
    "ssl-redirect",
    "whitelist-source-range",
];

/// Passes the TLS of a host through if its first Ingress says so, and nothing that protects the host is lost by it.
pub(super) fn pass<'r>(
    cx: &mut Context<'_, 'r>,
    (ingresses, host): (&[&'r Arc<Ingress>], &HostMatch),
    virtual_host: &mut VirtualHost,
) {
    let named = ingresses.iter().copied().filter(|ingress| rules_of(ingress, host).next().is_some());
    let mut mains = named.filter(|ingress| !cx.said(ingress).is_canary()).collect::<Vec<_>>().into_iter();
    let Some(first) = mains.next() else { return };
    if !asks(cx, first) {
        for other in mains.filter(|other| asks(cx, other)).collect::<Vec<_>>() {
            let message = format!(
                "{} comes first for host {host} and does not ask for it; TLS of the host ends here",
                ingress_ref(first)
            );
            tell(cx, other, "PassthroughConflict", message);
        }
        return;
    }
    // That a rule has no host is told for the Ingress.
    if *host == HostMatch::Any {
        return;
    }
    let Some(mut draft) = root(cx, (ingresses, host), first) else {
        let message = format!(
            "no path `/` of type Prefix and no defaultBackend of this Ingress says where connections to {host} go; their TLS \
             ends here"
        );
        tell(cx, first, "PassthroughWithoutBackend", message);
        return;
    };
    let said = draft.said.clone();
    said.annotations.apply(&mut draft);
    globals::add(&mut draft);
    let access = access(&draft.filters);
    if let Some(why) = lost(&draft, &access, virtual_host) {
        let message = format!("refused: {why}; TLS of host {host} ends here");
        tell(cx, first, "AnnotationRefused", message);
        return;
    }
    let passthrough = made(cx, draft, access);
    tell_uncounted(cx, (first, host), (virtual_host, &passthrough.to));
    virtual_host.tls_passthrough = Some(Arc::new(passthrough));
}

/// What is wrong with an Ingress that asks for it beside what its hosts say: without the name of a host no connection can
/// be told from another one.
pub(super) fn without_host(ingress: &Ingress, annotations: &Annotations) -> Vec<Problem> {
    if annotations.frontend_tls.passthrough != Some(true) {
        return Vec::new();
    }
    let object = ingress_ref(ingress);
    let problem = |field: String| {
        let message = "ssl-passthrough tells connections apart by the host that clients name in TLS, and there is none; TLS \
                       ends here, name a host"
            .to_owned();
        Problem::error(&object, field, "PassthroughWithoutHost", message)
    };
    let fields = host::rule_hosts(ingress).filter(|(_, host)| *host == Ok(HostMatch::Any));
    let field = annotation_field(ingress, KEY);
    let fields = fields.map(|(field, _)| field).chain(rules(ingress).is_empty().then_some(field));
    fields.map(problem).collect()
}

fn asks<'r>(cx: &mut Context<'_, 'r>, ingress: &'r Ingress) -> bool {
    cx.said(ingress).annotations.frontend_tls.passthrough == Some(true)
}

/// What no other path of the host wants, if it is this Ingress that says where that goes.
fn root<'r>(
    cx: &mut Context<'_, 'r>,
    (ingresses, host): (&[&'r Arc<Ingress>], &HostMatch),
    first: &'r Arc<Ingress>,
) -> Option<RouteDraft<'r>> {
    let told = cx.parts.problems.len();
    let mut drafts = rule::drafts(cx, ingresses, host);
    // What is wrong there is told with the routes.
    cx.parts.problems.truncate(told);
    let all = PathMatch::Prefix("/".into());
    let found = drafts.remove(&all).or_else(|| drafts.remove(&PathMatch::RegexBegin("/".into())));
    if let Some(draft) = found {
        return std::ptr::eq(draft.ingress, &**first).then_some(draft);
    }
    let backend = spec(first)?.default_backend.as_deref()?;
    let field = ("spec.defaultBackend".into(), backend);
    let said = cx.said(first);
    Some(RouteDraft::new((first, said), "default".into(), (all, "/".into()), field))
}

fn access(filters: &[Filter]) -> Vec<Access> {
    let lists = filters.iter().filter_map(|filter| match filter {
        Filter::Access(access) => Some(access.clone()),
        _ => None,
    });
    lists.collect()
}

/// Why the host must not be passed through: what would no longer protect it. Lists of addresses go on to count, if they
/// are the same for every path of this owner; who asks for anything else has to see requests.
fn lost(draft: &RouteDraft<'_>, access_of_all: &[Access], virtual_host: &VirtualHost) -> Option<String> {
    const ASKED: &str = "who comes in is asked for a password, by a service or for a certificate, which needs TLS to end here";
    let unasked = Globals::begins(draft.written_path(), &draft.said.globals.unasked);
    if (draft.passwords.is_some() || draft.asks.is_some()) && !unasked {
        return Some(ASKED.to_owned());
    }
    if virtual_host.client_verification.is_some() {
        return Some(ASKED.to_owned());
    }
    if draft.unprotected {
        return Some("what shall protect it cannot be kept up".to_owned());
    }
    let own = namespace(draft.ingress);
    virtual_host.routes.iter().filter(|route| &*route.source.namespace == own).find_map(|route| {
        let path = route.path.text();
        let asks = |filter: &Filter| {
            matches!(filter, Filter::BasicAuth(_) | Filter::AuthRequest(_) | Filter::ClientCertificate(_))
        };
        if route.filters.iter().any(asks) {
            return Some(format!("on path {path} {ASKED}"));
        }
        if is_closed(route) {
            return Some(format!("what shall protect path {path} cannot be kept up"));
        }
        let differs = access(&route.filters).iter().any(|list| !access_of_all.contains(list));
        differs
            .then(|| format!("path {path} has a list of addresses of its own, and paths are not seen there"))
    })
}

fn is_closed(route: &Route) -> bool {
    let closed = BackendTarget::Invalid(InvalidBackend::Unprotected);
    route.backends.iter().any(|backend| backend.target == closed)
}

fn made(cx: &mut Context<'_, '_>, mut draft: RouteDraft<'_>, access: Vec<Access>) -> TlsPassthrough {
    // The router reads requests, and a canary is chosen by what they say.
    (draft.via, draft.canary) = (Some(Via::Direct), None);
    let told = cx.parts.problems.len();
    let target = backend::resolve(cx, &draft).target;
    // It is told with the route that leads there.
    cx.parts.problems.truncate(told);
    let backends = vec![BackendRef { target, weight: 1 }];
    TlsPassthrough {
        id: RouteId::new(format!("{}/{}/{}/tls", namespace(draft.ingress), name(draft.ingress), draft.part)),
        source: ingress_ref(draft.ingress),
        to: TcpRoute { backends, connect_retries: cx.defaults.retry.attempts },
        access,
        unlogged: draft.unlogged,
    }
}

/// Tells the owner what of the host counts for plain HTTP alone.
fn tell_uncounted<'r>(
    cx: &mut Context<'_, 'r>,
    (ingress, host): (&'r Arc<Ingress>, &HostMatch),
    (virtual_host, to): (&VirtualHost, &TcpRoute),
) {
    let uncounted = uncounted(ingress, &cx.said(ingress), virtual_host);
    if uncounted.is_empty() {
        return;
    }
    let to = to.backends.iter().map(|backend| match &backend.target {
        BackendTarget::Backend(id) => id.as_str(),
        BackendTarget::Invalid(_) => "nowhere",
    });
    let message = format!(
        "TLS of host {host} goes to {} as it is, so for plain HTTP alone count {}",
        to.collect::<Vec<_>>().join(", "),
        uncounted.join(", ")
    );
    let field = annotation_field(ingress, KEY);
    cx.parts.problems.push(Problem::warning(&ingress_ref(ingress), field, "PassedThrough", message));
}

fn uncounted(ingress: &Ingress, said: &Said, virtual_host: &VirtualHost) -> Vec<String> {
    let given = ingress.metadata.annotations.iter().map(|(whole, _)| whole);
    let given = given.filter(|whole| said.adopted || !whole.starts_with(NGINX_PREFIX));
    let names = given.filter_map(|whole| without_prefix(whole));
    let names: Vec<_> = names.filter(|name| is_honoured(name) && !NOT_FOR_TLS.contains(name)).collect();
    let routes = &virtual_host.routes;
    let is_limited = routes.iter().flat_map(|route| &route.filters).any(|filter| {
        matches!(filter, Filter::RateLimit(_)) && !names.iter().any(|name| name.starts_with("limit-"))
    });
    let of_rules = routes.iter().any(|route| &*route.source.kind == Kind::RouteRule.name());
    let parts = [
        (routes.iter().any(|route| !is_root(route)), "the paths other than `/`"),
        (of_rules, "RouteRules"),
        (virtual_host.certificate.is_some(), "the certificate of spec.tls"),
        (!said.globals.blocked_fields.is_empty(), "block-user-agents and block-referers of the class"),
        (is_limited, "the limit of the rate by a TrafficPolicy"),
    ];
    let parts = parts.into_iter().filter(|(is_there, _)| *is_there).map(|(_, part)| part.to_owned());
    parts.chain(names.into_iter().map(|name| format!("`{name}`"))).collect()
}

fn is_root(route: &Route) -> bool {
    route.path == PathMatch::Prefix("/".into()) || route.path == PathMatch::RegexBegin("/".into())
}

fn tell(cx: &mut Context<'_, '_>, ingress: &Ingress, reason: &str, message: String) {
    let field = annotation_field(ingress, KEY);
    cx.parts.problems.push(Problem::error(&ingress_ref(ingress), field, reason, message));
}
