//! Conflicts: the oldest Ingress wins, the others are told.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use selvedge_common::{
    kube::{
        ingress::{Ingress, IngressBackend},
        reader::Unit,
    },
    model::{HostMatch, PathMatch, Problem, Route},
};

use super::{Context, RouteDraft, ingress_ref, name, namespace, rules, spec};

/// Orders Ingresses, each with whether its class was adopted: the smallest wins. By creation, then namespace, then name;
/// one without a time of creation (from a file) comes after those that have one.
///
/// ingress-nginx: of those of the same second the last one by name wins. They come after ours.
pub(super) fn order((one, adopted): (&Ingress, bool), (other, other_adopted): (&Ingress, bool)) -> Ordering {
    let created = |ingress: &Ingress| {
        let created = ingress.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (created.is_none(), created)
    };
    let names = (namespace(one), name(one)).cmp(&(namespace(other), name(other)));
    let names = if adopted { names.reverse() } else { names };
    created(one).cmp(&created(other)).then(adopted.cmp(&other_adopted)).then(names)
}

/// Adds a route unless an earlier one has the same path; then the Ingress and field that declare it are told.
pub(super) fn add_route<'a>(
    cx: &mut Context<'_, '_>,
    drafts: &mut BTreeMap<PathMatch, RouteDraft<'a>>,
    draft: RouteDraft<'a>,
    (ingress, field, host): (&Ingress, String, &HostMatch),
) {
    let winner = match drafts.entry(draft.path.clone()) {
        Entry::Vacant(entry) => {
            entry.insert(draft);
            return;
        }
        Entry::Occupied(entry) => entry.into_mut(),
    };
    if (winner.ingress, &winner.part) == (draft.ingress, &draft.part) {
        return;
    }
    let loser = ingress_ref(ingress);
    let path = draft.path.text();
    let (reason, by) = match ingress_ref(winner.ingress) {
        winner if winner == loser => ("DuplicatePath", "an earlier path of this Ingress".to_owned()),
        winner => ("PathConflict", format!("{winner}, which comes first")),
    };
    let message = format!("path {path} of host {host} is already answered by {by}; it has no effect");
    cx.parts.problems.push(Problem::error(&loser, field, reason, message));
}

/// The default backend that counts where no rule matches, and the Ingress that holds it.
pub(super) fn default_backend<'r>(cx: &mut Context<'_, 'r>) -> Option<(&'r Ingress, &'r IngressBackend)> {
    let oldest = claims(cx).into_iter().next()?;
    Some((oldest, spec(oldest)?.default_backend.as_deref()?))
}

/// The route for requests that no rule matches. Everyone else who claims it is told.
pub(super) fn fallback(cx: &mut Context<'_, '_>) -> Option<Route> {
    let claims = claims(cx);
    let (winner, losers) = claims.split_first()?;
    for loser in losers {
        let message = format!(
            "{} comes first and answers what no rule matches; this one only answers rules of its own without paths",
            ingress_ref(winner)
        );
        let problem =
            Problem::error(&ingress_ref(loser), "spec.defaultBackend", "DefaultBackendConflict", message);
        cx.parts.problems.push(problem);
    }
    let backend = spec(winner)?.default_backend.as_deref()?;
    let everything = PathMatch::Prefix("/".into());
    let said = cx.said(winner);
    let mut draft = RouteDraft::new(
        (winner, said),
        "default".into(),
        (everything, "/".into()),
        ("spec.defaultBackend".into(), backend),
    );
    // There is no host that it could have TLS for.
    draft.host_has_tls = false;
    draft.finish(cx).into_iter().next()
}

/// The Ingresses whose default backend is for hosts that no rule names; a canary has none of its own.
///
/// ingress-nginx: that of an Ingress with rules is for the hosts of these alone.
fn claims<'r>(cx: &mut Context<'_, 'r>) -> Vec<&'r Arc<Ingress>> {
    let mut claims = cx.ours(&Unit::Base);
    claims.retain(|ingress| {
        let said = cx.said(ingress);
        !said.is_canary() && (!said.adopted || rules(ingress).is_empty())
    });
    claims
}
