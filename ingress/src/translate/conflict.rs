//! Conflicts: the oldest Ingress wins, the others are told.

use std::collections::{BTreeMap, btree_map::Entry};

use k8s_openapi::{api::networking::v1 as networking, jiff::Timestamp};
use selvedge_common::{
    kube::reader::Unit,
    model::{HostMatch, PathMatch, Problem, Route},
};

use super::{Context, RouteDraft, ingress_ref, name, namespace, spec};

/// Orders Ingresses: the smallest wins. By creation, then namespace, then name; one without a time of creation
/// (from a file) comes after those that have one.
pub(super) fn age(ingress: &networking::Ingress) -> (bool, Option<Timestamp>, &str, &str) {
    let created = ingress.metadata.creation_timestamp.as_ref().map(|time| time.0);
    (created.is_none(), created, namespace(ingress), name(ingress))
}

/// Adds a route unless an earlier one has the same path; then the Ingress and field that declare it are told.
pub(super) fn add_route<'a>(
    cx: &mut Context<'_, '_>,
    drafts: &mut BTreeMap<PathMatch, RouteDraft<'a>>,
    draft: RouteDraft<'a>,
    (ingress, field, host): (&networking::Ingress, String, &HostMatch),
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
pub(super) fn default_backend<'r>(
    cx: &Context<'_, 'r>,
) -> Option<(&'r networking::Ingress, &'r networking::IngressBackend)> {
    let oldest = cx.ours(&Unit::Base).into_iter().next()?;
    Some((oldest, spec(oldest)?.default_backend.as_ref()?))
}

/// The route for requests that no rule matches. Everyone else who claims it is told.
pub(super) fn fallback(cx: &mut Context<'_, '_>) -> Option<Route> {
    let claims = cx.ours(&Unit::Base);
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
    let backend = spec(winner)?.default_backend.as_ref()?;
    let everything = PathMatch::Prefix("/".into());
    let draft =
        RouteDraft::new(winner, "default".into(), everything, ("spec.defaultBackend".into(), backend));
    Some(draft.finish(cx))
}
