//! Root: what ingress-nginx answers on a host beside the paths that its Ingresses name.

use std::sync::Arc;

use selvedge_common::{
    filter::{Filter, PathChange, Redirect, Respond},
    id::RouteId,
    kube::ingress::Ingress,
    model::{HostMatch, PathMatch, Route},
};

use super::{
    Context, RouteDraft, conflict, ingress_ref, name, namespace,
    rule::{Drafts, rules_of},
    spec,
};

/// The status of a redirect to the path with a slash at its end.
const SLASH_STATUS: u16 = 301;

/// Adds what a host of adopted Ingresses answers beside their paths.
pub(super) fn add<'r>(
    cx: &mut Context<'_, 'r>,
    drafts: &mut Drafts<'r>,
    (mains, host): (&[&'r Arc<Ingress>], &HostMatch),
) {
    add_app_root(cx, drafts, mains);
    let Some(first) = mains.first().copied().filter(|first| cx.said(first).adopted) else { return };
    add_slashes(drafts);
    add_root(cx, drafts, (first, host));
}

/// Requests for the root of the host are sent to a path of it, as the oldest Ingress with the annotation says.
fn add_app_root<'r>(cx: &mut Context<'_, 'r>, drafts: &mut Drafts<'r>, mains: &[&'r Arc<Ingress>]) {
    let found =
        mains.iter().find_map(|ingress| Some((*ingress, cx.said(ingress).annotations.redirects.root()?)));
    let Some((ingress, filter)) = found else { return };
    // Whatever it leads to, a path of this Ingress lends it the rest.
    let own = drafts.values().find(|draft| std::ptr::eq(draft.ingress, &**ingress));
    let Some(own) = own.cloned() else { return };
    let path = PathMatch::Exact("/".into());
    let part = format!("{}/root", own.part);
    drafts
        .insert(path.clone(), RouteDraft { path, part, written: "/".into(), elsewhere: Some(filter), ..own });
}

/// Paths that end in a slash are redirected to from those without, unless these are there, too.
fn add_slashes(drafts: &mut Drafts<'_>) {
    let mut slashes = Vec::new();
    for draft in drafts.values().filter(|draft| draft.adopted) {
        let (PathMatch::Exact(text) | PathMatch::Prefix(text)) = &draft.path else { continue };
        let Some(bare) = text.strip_suffix('/').filter(|bare| !bare.is_empty()) else { continue };
        let path = PathMatch::Exact(bare.into());
        let is_there = drafts.contains_key(&path) || drafts.contains_key(&PathMatch::Prefix(bare.into()));
        let Some(change) = PathChange::full(text).ok().filter(|_| !is_there) else { continue };
        let filter = draft.said.annotations.redirects.to_slash(text, SLASH_STATUS).unwrap_or_else(|| {
            Filter::Redirect(Redirect {
                scheme: None,
                host: None,
                port: None,
                path: Some(change),
                status: SLASH_STATUS,
            })
        });
        let part = format!("{}/slash", draft.part);
        slashes.push(RouteDraft { path, part, elsewhere: Some(filter), ..draft.clone() });
    }
    drafts.extend(slashes.into_iter().map(|draft| (draft.path.clone(), draft)));
}

/// What no path of a host wants goes to the default backend of the Ingress that came first, and never to that of another
/// one.
fn add_root<'r>(
    cx: &mut Context<'_, 'r>,
    drafts: &mut Drafts<'r>,
    (first, host): (&'r Arc<Ingress>, &HostMatch),
) {
    let root = PathMatch::Prefix("/".into());
    if *host == HostMatch::Any || drafts.values().any(|draft| draft.written_path() == "/" && !is_exact(draft))
    {
        return;
    }
    let said = cx.said(first);
    let own = spec(first).and_then(|spec| spec.default_backend.as_deref());
    let index = rules_of(first, host).next().map_or(0, |(index, _)| index);
    let part = format!("{index}/default");
    if let Some(backend) = own {
        let field = ("spec.defaultBackend".into(), backend);
        drafts.insert(root.clone(), RouteDraft::new((first, said), part, (root, "/".into()), field));
    }
}

fn is_exact(draft: &RouteDraft<'_>) -> bool {
    matches!(draft.path, PathMatch::Exact(_))
}

/// The route that keeps the default backend of another Ingress away from a host, if there is one to be kept away.
pub(super) fn nothing_else<'r>(
    cx: &mut Context<'_, 'r>,
    (ingresses, host): (&[&'r Arc<Ingress>], &HostMatch),
    routes: &[Route],
) -> Option<Route> {
    let named = ingresses.iter().filter(|ingress| rules_of(ingress, host).next().is_some());
    let first = named.copied().find(|ingress| !cx.said(ingress).is_canary())?;
    let root = PathMatch::Prefix("/".into());
    let of_all = [root.clone(), PathMatch::RegexBegin("/".into())];
    let has_root = routes.iter().any(|route| of_all.contains(&route.path) && route.conditions.is_empty());
    if *host == HostMatch::Any
        || !cx.said(first).adopted
        || has_root
        || conflict::default_backend(cx).is_none()
    {
        return None;
    }
    let id = RouteId::new(format!("{}/{}/none", namespace(first), name(first)));
    let mut route = Route::new(id, ingress_ref(first), root, Vec::new());
    let respond = Respond { status: 404, body: "404 Not Found\n".into(), content_type: None };
    route.filters.push(Filter::Respond(respond));
    Some(route)
}
