//! Objects through translation: it never panics, says what is wrong in words, and does not depend on any order.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use clap::Parser;
use selvedge_common::{
    id::ListenerName,
    kube::{
        manifests::{Manifests, Said},
        objects::{Kind, Object, ObjectEvent},
        translation::{Reconciler, Translate},
    },
    model::ListenerProtocol,
    source::file,
};
use selvedge_ingress::{settings::Settings, translate::Edge};
use selvedge_router::{
    args::{Arguments, Command},
    translate::Tier,
};
use selvedge_tests::proxy::listener;
use serde_json::Value;

use crate::snapshots;

/// All documents of these manifests.
pub fn documents(corpus: &[Vec<u8>]) -> Vec<Value> {
    let texts = corpus.iter().map(|text| std::str::from_utf8(text).unwrap());
    let documents = texts.flat_map(|text| serde_saphyr::from_multiple::<Value>(text).unwrap());
    documents.filter(|document| !document.is_null()).collect()
}

/// The edge with usual settings.
pub fn edge() -> Edge {
    let listeners = [("http", ListenerProtocol::Http), ("https", ListenerProtocol::Https)];
    Edge::new(Settings {
        listeners: listeners.map(|(name, protocol)| (ListenerName::new(name), listener(protocol))).into(),
        ..Settings::default()
    })
}

/// The router with usual settings.
pub fn tier() -> Tier {
    let words = ["selvedge-router", "run"];
    match Arguments::try_parse_from(words).unwrap().command {
        Command::Run(args) => Tier::new(args.settings()),
        Command::Check(_) | Command::Graph(_) => unreachable!("the command is run"),
    }
}

/// Reads a file of these bytes, as the programs do, and translates what is in it.
pub fn check_file(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    let read = || file::read(&[PathBuf::from(path)], Said::reader(Kind::ALL)).unwrap();
    let mut manifests = Manifests::default();
    let change = manifests.apply(read());
    assert!(change.problems.iter().all(|problem| !problem.message.is_empty()), "{}", bytes.escape_ascii());
    assert_eq!(manifests.apply(read()).events, [], "the same file changes nothing");
    check_events(&change.events);
}

/// Translates objects of these documents, as far as they are some.
pub fn check_documents(documents: &[Value]) {
    let mut events = BTreeMap::new();
    for document in documents {
        let text = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
        let Some(kind) = Kind::find(&text("apiVersion"), &text("kind")) else { continue };
        match Object::from_json(kind, document.clone()) {
            // The last one of a name counts, as with an API server.
            Ok(object) => drop(events.insert(object.key(), ObjectEvent::Applied(object))),
            Err(error) => assert!(!error.to_string().is_empty(), "{document}"),
        }
    }
    check_events(&events.into_values().collect::<Vec<_>>());
}

fn check_events(events: &[ObjectEvent]) {
    check_with(edge, events);
    check_with(tier, events);
}

fn check_with<T: Translate>(translation: impl Fn() -> T, events: &[ObjectEvent]) {
    let mut at_once = Reconciler::new(translation());
    at_once.apply(events.iter().cloned());
    let mut one_by_one = Reconciler::new(translation());
    one_by_one.apply([]);
    for event in events.iter().rev() {
        one_by_one.apply([event.clone()]);
    }
    assert_eq!(at_once.snapshot(), one_by_one.snapshot(), "{events:?}");
    let problems = |of: &Reconciler<T>| of.problems().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(problems(&at_once), problems(&one_by_one), "{events:?}");
    for problem in at_once.problems() {
        let is_told =
            !problem.field.is_empty() && !problem.message.is_empty() && !problem.object.kind.is_empty();
        assert!(is_told, "{problem:?}");
    }
    snapshots::serve(at_once.snapshot());
    let gone = events.iter().filter_map(|event| match event {
        ObjectEvent::Applied(object) => Some(ObjectEvent::Deleted(object.key())),
        _ => None,
    });
    at_once.apply(gone.collect::<Vec<_>>());
    assert_eq!(problems(&at_once), Vec::<String>::new(), "nothing is wrong with what is gone");
}
