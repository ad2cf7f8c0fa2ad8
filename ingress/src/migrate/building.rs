//! Building: from what was gathered to the report.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1 as core;
use selvedge_common::{
    id::ObjectRef,
    kube::{
        ingress,
        objects::{Kind, Object},
    },
    model::Problem,
    program::gathering::{Gathered, Unread},
};

use super::{
    paths::Paths,
    report::{Behaviour, Finding, Ingress, Move, Notice, Report, Settings, Summary, counted},
    settings, shown, subjects, verdicts,
};
use crate::{
    annotations::{self, Annotations, BEHAVIOURS},
    class,
    translate::{Edge, ingress_ref},
};

/// Problems that say nothing where files hold no object of the kind at all.
const OF_KIND: [(Kind, &[&str]); 2] =
    [(Kind::Service, &["ServiceNotFound", "PortNotFound"]), (Kind::Secret, &["SecretNotFound"])];

/// The report over what was gathered, without a comparison.
pub(super) fn build(gathered: &Gathered<Edge>) -> Report {
    let mut notices: Vec<_> = gathered.unread.iter().map(notice).collect();
    let problems = sayable(gathered, &mut notices);
    notices.extend(without_class(&problems));
    let adopted = adopted(gathered);
    if adopted.is_empty() {
        let message = "there is no Ingress of a class of ingress-nginx; --ingress-class names classes whose \
                       IngressClass is not in the files"
            .to_owned();
        notices.push(Notice { severity: "warning", message });
    }
    let ingresses = reports(gathered, &adopted, &problems);
    let mut report = Report {
        flags: flags(gathered.reconciler.translate().settings()),
        subjects: subjects::gather(&ingresses),
        ingresses,
        settings: nginx_settings(gathered, &problems),
        notices,
        others: others(gathered, &problems),
        behaviours: behaviours(),
        ..Report::default()
    };
    report.summary = summary(gathered, &adopted, &report);
    report.summary.result = report.summary.result(report.is_unread());
    report
}

/// The Ingresses that are ingress-nginx's, in order.
pub(super) fn adopted(gathered: &Gathered<Edge>) -> Vec<&ingress::Ingress> {
    let (objects, settings) = (gathered.reconciler.objects(), gathered.reconciler.translate().settings());
    let ours = gathered.reconciler.ours();
    let ingresses = objects.of_kind(Kind::Ingress).filter_map(|object| match object {
        Object::Ingress(ingress) if ours.contains_key(&object.key()) => Some(&**ingress),
        _ => None,
    });
    ingresses.filter(|ingress| class::is_adopted(settings, objects, ingress)).collect()
}

/// The problems without those that only say that files hold no objects of some kind.
fn sayable(gathered: &Gathered<Edge>, notices: &mut Vec<Notice>) -> Vec<Problem> {
    let mut problems = gathered.problems.clone();
    if gathered.places.is_empty() {
        return problems;
    }
    for (kind, reasons) in OF_KIND {
        let silent = !gathered.reconciler.objects().has_any(kind);
        let before = problems.len();
        problems.retain(|problem| !silent || !reasons.contains(&problem.reason.as_str()));
        if problems.len() < before {
            let name = kind.name();
            let message =
                format!("the files hold no {name}, so whether those that are named exist is not known");
            notices.push(Notice { severity: "notice", message });
        }
    }
    problems
}

/// Ingresses that may be ingress-nginx's and do not say so.
fn without_class(problems: &[Problem]) -> impl Iterator<Item = Notice> {
    let kinds = [
        ("NoIngressClass", "without a class, not looked at; ingress-nginx may serve them"),
        ("IngressClassNotFound", "of a class that is not there; --ingress-class NAME looks at it in files"),
    ];
    kinds.into_iter().filter_map(|(reason, what)| {
        let count = problems.iter().filter(|problem| problem.reason == reason).count();
        let message = format!("{} {what}", counted(count, "Ingress", "Ingresses"));
        (count > 0).then_some(Notice { severity: "warning", message })
    })
}

fn notice(unread: &Unread) -> Notice {
    Notice { severity: unread.word(), message: shown::message(&unread.to_string()) }
}

fn reports(gathered: &Gathered<Edge>, ingresses: &[&ingress::Ingress], problems: &[Problem]) -> Vec<Ingress> {
    let asks = |ingress: &ingress::Ingress| {
        let (said, _) = Annotations::read(ingress, true);
        said.asks_for_regex() && !said.canary.is_one()
    };
    let mut of_objects: BTreeMap<&ObjectRef, Vec<&Problem>> = BTreeMap::new();
    problems.iter().for_each(|problem| of_objects.entry(&problem.object).or_default().push(problem));
    let own = |ingress: &ingress::Ingress| {
        of_objects.get(&ingress_ref(ingress)).map(Vec::as_slice).unwrap_or_default()
    };
    let with_own: Vec<_> = ingresses.iter().map(|one| (*one, asks(one), own(one))).collect();
    let knows_services = gathered.reconciler.objects().has_any(Kind::Service);
    let paths = Paths::new((gathered.reconciler.snapshot(), knows_services), &with_own);
    let report = |(ingress, _, own): &(&ingress::Ingress, bool, &[&Problem])| {
        let place = gathered.places.get(&ingress_ref(ingress));
        let place = place.map(|(file, line)| shown::plain(&format!("{}:{line}", file.display())));
        Ingress { place, ..one(ingress, own, &paths) }
    };
    with_own.iter().map(report).collect()
}

/// One Ingress; `problems` are its own.
fn one(ingress: &ingress::Ingress, problems: &[&Problem], paths: &Paths<'_>) -> Ingress {
    let object = ingress_ref(ingress);
    let annotations = verdicts::annotations(ingress, problems);
    let paths = paths.of(ingress, problems);
    let mut findings: Vec<_> = problems.iter().map(|problem| verdicts::finding(problem)).collect();
    findings.retain(|finding| {
        let is_annotation = annotations.iter().any(|one| annotations::field(&one.key) == finding.field);
        let is_path = paths.iter().any(|path| path.answers.ends_with(&finding.message));
        !is_annotation && !is_path
    });
    Ingress {
        namespace: shown::plain(&object.namespace),
        name: shown::plain(&object.name),
        class: shown::plain(class::named(ingress).unwrap_or_default()),
        place: None,
        moves: problems.iter().map(|problem| verdicts::moves(problem)).max().unwrap_or_default(),
        paths,
        findings,
        annotations,
    }
}

/// What is wrong with objects that are no Ingresses, but for settings.
fn others(gathered: &Gathered<Edge>, problems: &[Problem]) -> Vec<Finding> {
    let objects = gathered.reconciler.objects();
    let settings = settings_ref(gathered);
    let is_other = |problem: &&Problem| {
        let object = &problem.object;
        let is_there = objects.get(Kind::Ingress, &object.namespace, &object.name).is_some();
        !(&*object.kind == Kind::Ingress.name() && is_there) && settings.as_ref() != Some(object)
    };
    problems.iter().filter(is_other).map(verdicts::finding).collect()
}

/// The ConfigMap of settings.
fn settings_ref(gathered: &Gathered<Edge>) -> Option<ObjectRef> {
    let name = gathered.reconciler.translate().settings().nginx_configmap.as_ref()?;
    Some(ObjectRef::new(Kind::ConfigMap.name(), &name.namespace, &name.name))
}

fn nginx_settings(gathered: &Gathered<Edge>, problems: &[Problem]) -> Option<Settings> {
    let object = settings_ref(gathered)?;
    let own: Vec<_> = problems.iter().filter(|problem| problem.object == object).collect();
    let map = config_map(gathered, &object.namespace, &object.name)?;
    Some(settings::read(map, &own))
}

fn config_map<'a>(gathered: &'a Gathered<Edge>, namespace: &str, name: &str) -> Option<&'a core::ConfigMap> {
    match gathered.reconciler.objects().get(Kind::ConfigMap, namespace, name) {
        Some(Object::ConfigMap(map)) => Some(&**map),
        _ => None,
    }
}

/// The flags of `run` that these settings are.
fn flags(settings: &crate::settings::Settings) -> Vec<String> {
    let maps = [
        ("--nginx-configmap", &settings.nginx_configmap),
        ("--tcp-services-configmap", &settings.tcp_services),
        ("--udp-services-configmap", &settings.udp_services),
    ];
    let maps = maps.into_iter().filter_map(|(flag, map)| Some(format!("{flag}={}", map.as_ref()?)));
    let classes = settings.class_names.iter().map(|class| format!("--ingress-class={class}"));
    let secret = settings.default_certificate.iter();
    let secret = secret.map(|secret| format!("--default-certificate={}/{}", secret.namespace, secret.name));
    let flags = std::iter::once("--adopt-ingress-nginx".to_owned()).chain(classes).chain(maps).chain(secret);
    flags.map(|flag| shown::plain(&flag)).collect()
}

fn behaviours() -> Vec<Behaviour> {
    let different = BEHAVIOURS.iter().filter(|behaviour| !behaviour.here.is_empty());
    different.map(|behaviour| Behaviour { there: behaviour.there, here: behaviour.here }).collect()
}

fn summary(gathered: &Gathered<Edge>, adopted: &[&ingress::Ingress], report: &Report) -> Summary {
    let count = |moves| report.ingresses.iter().filter(|ingress| ingress.moves == moves).count();
    let all = gathered.reconciler.objects().of_kind(Kind::Ingress).count();
    let ours = gathered.reconciler.ours().keys().filter(|key| key.kind == Kind::Ingress).count();
    let rules = adopted.iter().flat_map(|ingress| &ingress.spec).flat_map(|spec| &spec.rules);
    let hosts: BTreeSet<_> = rules.map(|rule| rule.host.as_deref().unwrap_or_default()).collect();
    let is_change = |moves: &Move| *moves == Move::ChangeBefore;
    let settings = report.settings.iter().flat_map(|settings| &settings.entries).map(|entry| entry.moves);
    let tcp = gathered.reconciler.translate().settings().tcp_services.as_ref();
    let tcp = tcp.and_then(|name| config_map(gathered, &name.namespace, &name.name)?.data.as_ref());
    Summary {
        result: String::new(),
        ingresses: adopted.len(),
        hosts: hosts.into_iter().filter(|host| !host.is_empty()).count(),
        unchanged: count(Move::Unchanged),
        small_differences: count(Move::SmallDifferences),
        change_before: count(Move::ChangeBefore),
        settings_change_before: settings.filter(is_change).count(),
        others_change_before: report.others.iter().map(|finding| finding.moves).filter(is_change).count(),
        tcp_ports: tcp.map_or(0, std::collections::BTreeMap::len),
        already_ours: ours.saturating_sub(adopted.len()),
        left_out: all.saturating_sub(ours),
    }
}
