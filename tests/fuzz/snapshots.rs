//! Snapshots as text: whatever is read is written and read again as the same, and tables are made of it.

use selvedge_common::{
    kube::{
        objects::{Kind, Object, ObjectEvent},
        translation::Reconciler,
    },
    message::{Method, RequestHead},
    model::{HostMatch, Snapshot},
    routing::{Asked, Table},
};
use serde_json::Value;

use crate::objects;

/// Snapshots of some documents at a time.
pub fn corpus(documents: &[Value]) -> Vec<Vec<u8>> {
    let object = |document: &Value| {
        let kind = Kind::find(document["apiVersion"].as_str()?, document["kind"].as_str()?)?;
        Object::from_json(kind, document.clone()).ok().map(ObjectEvent::Applied)
    };
    let mut corpus = Vec::new();
    for piece in documents.chunks(12) {
        let mut edge = Reconciler::new(objects::edge());
        edge.apply(piece.iter().filter_map(object));
        corpus.push(serde_json::to_vec(edge.snapshot()).unwrap());
        let mut tier = Reconciler::new(objects::tier());
        tier.apply(piece.iter().filter_map(object));
        corpus.push(serde_json::to_vec(tier.snapshot()).unwrap());
    }
    corpus
}

/// Reads a snapshot; what is none is an error.
pub fn check(input: &[u8]) {
    let Ok(snapshot) = serde_json::from_slice::<Snapshot>(input) else { return };
    let text = serde_json::to_vec(&snapshot).unwrap();
    let again: Snapshot = serde_json::from_slice(&text).unwrap();
    assert_eq!(serde_json::to_vec(&again).unwrap(), text);
    serve(&snapshot);
}

/// Makes the tables of a snapshot and looks something up in them.
pub fn serve(snapshot: &Snapshot) {
    let mut head = RequestHead::default();
    head.set_method(b"GET");
    head.method = Method::Get;
    head.set_origin(b"/a/b?c=d", false).unwrap();
    for set in snapshot.route_sets.values() {
        let table = Table::build(set, None, |route| route.id.clone());
        let asked = Asked { head: &head, caller: None };
        for host in set.hosts.keys().take(20).map(HostMatch::to_string).chain(["a.example".into()]) {
            table.find(host.trim_start_matches("*.").as_bytes(), b"/a/b", &asked);
            table.find_certificate(host.as_bytes());
            table.find_passthrough(host.as_bytes());
        }
    }
}
