//! Rules: the routes of one host while they are drafts, from all Ingresses that name it.

use std::{collections::BTreeMap, sync::Arc};

use selvedge_common::{
    kube::ingress::{Ingress, IngressPath, IngressRule},
    model::{HostMatch, PathMatch, Problem},
};

use super::{
    Context, RouteDraft, canary, canary::CanaryDraft, conflict, host, ingress_ref, path, root, rules, spec,
    tls,
};

/// Routes of a host by their paths.
pub(super) type Drafts<'r> = BTreeMap<PathMatch, RouteDraft<'r>>;

/// A path of a rule.
struct Declared<'r> {
    ingress: &'r Arc<Ingress>,
    /// Where it stands there: `spec.rules[0].http.paths[1]` and `0/1`.
    field: String,
    part: String,
    path: &'r IngressPath,
}

/// The routes of a host that Ingresses declare, by path. The Ingresses come in the order in which they win conflicts.
pub(super) fn drafts<'r>(
    cx: &mut Context<'_, 'r>,
    ingresses: &[&'r Arc<Ingress>],
    host: &HostMatch,
) -> Drafts<'r> {
    let mut drafts = Drafts::new();
    let (mut mains, mut canaries) = (Vec::new(), Vec::new());
    for ingress in ingresses.iter().copied().filter(|ingress| rules_of(ingress, host).next().is_some()) {
        let of_kind = if cx.said(ingress).is_canary() { &mut canaries } else { &mut mains };
        of_kind.push(ingress);
    }
    let is_regex = mains.iter().any(|ingress| cx.said(ingress).annotations.asks_for_regex());
    for one in mains.iter().flat_map(|ingress| declared(ingress, host)) {
        let Some(path) = read_path(cx, &one, is_regex) else { continue };
        let said = cx.said(one.ingress);
        let backend = (format!("{}.backend", one.field), &one.path.backend);
        let draft =
            RouteDraft::new((one.ingress, said), one.part.clone(), (path, written(one.path)), backend);
        conflict::add_route(cx, &mut drafts, draft, (one.ingress, one.field, host));
    }
    // A host without paths sends everything to the default backend: whatever no path of it wants.
    for ingress in &mains {
        let without_paths = |rule: &IngressRule| rule.http.as_ref().is_none_or(|http| http.paths.is_empty());
        for (index, _) in rules_of(ingress, host).filter(|(_, rule)| without_paths(rule)) {
            let field = format!("spec.rules[{index}]");
            if let Some(draft) = everything(cx, ingress, index, host) {
                conflict::add_route(cx, &mut drafts, draft, (ingress, field, host));
            }
        }
    }
    root::add(cx, &mut drafts, (&mains, host));
    let host_has_tls = tls::covers(cx, ingresses, host);
    drafts.values_mut().for_each(|draft| draft.host_has_tls |= host_has_tls);
    for one in canaries.iter().flat_map(|ingress| declared(ingress, host)) {
        let Some(path) = read_path(cx, &one, is_regex) else { continue };
        let (field, backend) = (format!("{}.backend", one.field), &one.path.backend);
        let said = cx.said(one.ingress);
        let canary = CanaryDraft { ingress: one.ingress, said, part: one.part, backend, field };
        canary::add(cx, &mut drafts, &path, (canary, one.field, host));
    }
    drafts
}

/// The paths of an Ingress for a host.
fn declared<'r>(ingress: &'r Arc<Ingress>, host: &HostMatch) -> impl Iterator<Item = Declared<'r>> {
    rules_of(ingress, host).flat_map(move |(index, rule)| {
        let paths = rule.http.iter().flat_map(|http| http.paths.iter()).enumerate();
        paths.map(move |(at, path)| Declared {
            ingress,
            field: format!("spec.rules[{index}].http.paths[{at}]"),
            part: format!("{index}/{at}"),
            path,
        })
    })
}

fn written(declared: &IngressPath) -> Arc<str> {
    let path = declared.path.clone().filter(|path| !path.is_empty());
    path.unwrap_or_else(|| "/".into())
}

/// Which requests a path is for; what is wrong with it is told.
fn read_path(cx: &mut Context<'_, '_>, declared: &Declared<'_>, is_regex: bool) -> Option<PathMatch> {
    let text = declared.path.path.as_ref();
    let read = match is_regex {
        true => path::parse_regex(text.map(|text| &**text)),
        false => path::parse(text, &declared.path.path_type),
    };
    read.map_err(|fault| {
        let field = format!("{}.{}", declared.field, fault.field);
        let problem = Problem::error(&ingress_ref(declared.ingress), field, fault.reason, fault.message);
        cx.parts.problems.push(problem);
    })
    .ok()
}

pub(super) fn rules_of<'a>(
    ingress: &'a Ingress,
    host: &HostMatch,
) -> impl Iterator<Item = (usize, &'a IngressRule)> {
    rules(ingress).iter().enumerate().filter(move |(_, rule)| host::is_of_rule(rule, host))
}

/// The route of a rule without paths. Its own Ingress' default backend comes first, whoever holds the global one.
fn everything<'a>(
    cx: &mut Context<'_, 'a>,
    ingress: &'a Ingress,
    index: usize,
    host: &HostMatch,
) -> Option<RouteDraft<'a>> {
    let own = spec(ingress).and_then(|spec| spec.default_backend.as_deref());
    let backend = match own {
        Some(backend) => Some((ingress, format!("{index}/default"), backend)),
        // That of another Ingress keeps its own name and settings.
        None => conflict::default_backend(cx).map(|(owner, backend)| (owner, "default".to_owned(), backend)),
    };
    let Some((owner, part, backend)) = backend else {
        let message = "it has no paths and there is no defaultBackend, so it has no effect".to_owned();
        let field = format!("spec.rules[{index}]");
        cx.parts.problems.push(Problem::error(&ingress_ref(ingress), field, "NoPaths", message));
        return None;
    };
    // Without host too, the rule asks for what the fallback does anyway.
    let path = PathMatch::Prefix("/".into());
    let said = cx.said(owner);
    let field = ("spec.defaultBackend".into(), backend);
    (*host != HostMatch::Any).then(|| RouteDraft::new((owner, said), part, (path, "/".into()), field))
}
