//! What is said about an Ingress as a whole: whether its status is ours, and what is wrong with it.

use selvedge_common::{
    kube::{ingress::Ingress, reader::Reader, translation::ObjectTranslation},
    model::Problem,
};

use super::{host, ingress_ref, passthrough, rules, spec, tls};
use crate::{annotations::Annotations, class, settings::Settings};

/// Judges one Ingress, without what its hosts say about it.
pub(super) fn translate(settings: &Settings, reader: &Reader<'_>, ingress: &Ingress) -> ObjectTranslation {
    let selection = class::select(settings, reader, ingress);
    let mut problems: Vec<Problem> = selection.problem.into_iter().collect();
    if selection.ours {
        let (said, wrong) = Annotations::read(ingress, selection.adopted);
        problems.extend(wrong);
        problems.extend(passthrough::without_host(ingress, &said));
        problems.extend(wrong_hosts(ingress));
        problems.extend(tls::useless_entries(ingress));
        problems.extend(nothing_to_serve(ingress));
    }
    ObjectTranslation { ours: selection.ours, problems, ..ObjectTranslation::default() }
}

fn wrong_hosts(ingress: &Ingress) -> impl Iterator<Item = Problem> {
    let hosts = host::rule_hosts(ingress).chain(host::tls_hosts(ingress));
    let object = ingress_ref(ingress);
    hosts.filter_map(move |(field, host)| {
        let message = format!("{}; nothing of it has effect", host.err()?);
        Some(Problem::error(&object, field, "InvalidHost", message))
    })
}

fn nothing_to_serve(ingress: &Ingress) -> Option<Problem> {
    let default_backend = spec(ingress).and_then(|spec| spec.default_backend.as_ref());
    let empty = rules(ingress).is_empty() && default_backend.is_none();
    empty.then(|| {
        let message = "it has neither rules nor a defaultBackend, so it routes nothing".to_owned();
        Problem::warning(&ingress_ref(ingress), "spec", "NothingToServe", message)
    })
}
