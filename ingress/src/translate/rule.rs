//! Rules: the routes of one host while they are drafts, from all Ingresses that name it.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::networking::v1 as networking;
use selvedge_common::model::{HostMatch, PathMatch, Problem};

use super::{Context, RouteDraft, conflict, host, ingress_ref, path, rules, spec, tls};

/// The routes of a host that Ingresses declare, by path. The Ingresses come in the order in which they win conflicts.
pub(super) fn drafts<'r>(
    cx: &mut Context<'_, 'r>,
    ingresses: &[&'r Arc<networking::Ingress>],
    host: &HostMatch,
) -> BTreeMap<PathMatch, RouteDraft<'r>> {
    let mut drafts: BTreeMap<PathMatch, RouteDraft<'r>> = BTreeMap::new();
    for ingress in ingresses {
        for (index, rule) in rules_of(ingress, host) {
            for (at, declared) in rule.http.iter().flat_map(|http| http.paths.iter()).enumerate() {
                let field = format!("spec.rules[{index}].http.paths[{at}]");
                if let Some(draft) = draft(cx, ingress, (&field, format!("{index}/{at}")), declared) {
                    conflict::add_route(cx, &mut drafts, draft, (ingress, field, host));
                }
            }
        }
    }
    // A host without paths sends everything to the default backend: whatever no path of it wants.
    for ingress in ingresses {
        let without_paths =
            |rule: &networking::IngressRule| rule.http.as_ref().is_none_or(|http| http.paths.is_empty());
        for (index, _) in rules_of(ingress, host).filter(|(_, rule)| without_paths(rule)) {
            let field = format!("spec.rules[{index}]");
            if let Some(draft) = everything(cx, ingress, index, host) {
                conflict::add_route(cx, &mut drafts, draft, (ingress, field, host));
            }
        }
    }
    let host_has_tls = tls::covers(cx, ingresses, host);
    drafts.values_mut().for_each(|draft| draft.host_has_tls = host_has_tls);
    drafts
}

fn rules_of<'a>(
    ingress: &'a networking::Ingress,
    host: &HostMatch,
) -> impl Iterator<Item = (usize, &'a networking::IngressRule)> {
    rules(ingress).iter().enumerate().filter(move |(_, rule)| host::is_of_rule(rule, host))
}

fn draft<'a>(
    cx: &mut Context<'_, '_>,
    ingress: &'a networking::Ingress,
    (field, part): (&str, String),
    declared: &'a networking::HTTPIngressPath,
) -> Option<RouteDraft<'a>> {
    match path::parse(declared.path.as_deref(), &declared.path_type) {
        Ok(path) => {
            Some(RouteDraft::new(ingress, part, path, (format!("{field}.backend"), &declared.backend)))
        }
        Err(fault) => {
            let field = format!("{field}.{}", fault.field);
            let problem = Problem::error(&ingress_ref(ingress), field, fault.reason, fault.message);
            cx.parts.problems.push(problem);
            None
        }
    }
}

/// The route of a rule without paths. Its own Ingress' default backend comes first, whoever holds the global one.
fn everything<'a>(
    cx: &mut Context<'_, 'a>,
    ingress: &'a networking::Ingress,
    index: usize,
    host: &HostMatch,
) -> Option<RouteDraft<'a>> {
    let own = spec(ingress).and_then(|spec| spec.default_backend.as_ref());
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
    (*host != HostMatch::Any)
        .then(|| RouteDraft::new(owner, part, path, ("spec.defaultBackend".into(), backend)))
}
