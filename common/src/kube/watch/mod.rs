//! Every kind of object of an API server, listed and watched, as one stream of events.

mod kind;
mod versions;

use std::{collections::BTreeMap, fmt};

use kube::Client;
use tokio::{
    sync::mpsc::{self, Sender},
    task::JoinSet,
};

use super::objects::{Kind, ObjectEvent, ObjectKey};

/// Which objects are watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Kinds; a program watches those that its translation reads.
    pub kinds: &'static [Kind],
    /// Namespaces; empty is all of them. Kinds without namespaces are watched in any case.
    pub namespaces: Vec<String>,
    /// Namespaces whose Secrets are watched, too.
    pub secrets: Vec<String>,
    /// Whether Secrets of all types are watched that may hold passwords or authorities, and not those with certificates
    /// alone.
    pub all_secrets: bool,
}

impl Default for Scope {
    fn default() -> Self {
        Self { kinds: Kind::ALL, namespaces: Vec::new(), secrets: Vec::new(), all_secrets: false }
    }
}

/// What an API server says.
#[derive(Clone, Debug, PartialEq)]
pub enum WatchEvent {
    /// The first full list of every kind; comes exactly once and before any change.
    Synced(Vec<ObjectEvent>),
    /// What changed after that. After a list anew only what differs.
    Changed(Vec<ObjectEvent>),
    /// A kind may not be read. What was known of it stays; it is asked for again from time to time.
    Denied {
        /// The kind and where.
        part: Part,
        /// What the API server says.
        message: String,
    },
    /// A kind does not exist there. It is asked for again from time to time.
    Missing {
        /// The kind and where.
        part: Part,
    },
    /// A kind that was denied or missing can be read.
    Readable {
        /// The kind and where.
        part: Part,
    },
    /// An object does not have the form of its kind. What was known of it stays.
    Undecodable {
        /// The object.
        key: ObjectKey,
        /// Which field, and why.
        message: String,
    },
    /// How much is wrong in manifest files, beside what is wrong with their objects. An API server never says it.
    Invalid {
        /// What has no effect.
        errors: usize,
        /// What may be meant otherwise.
        warnings: usize,
    },
}

/// One list and watch: a kind, in one namespace or everywhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// The kind.
    pub kind: Kind,
    /// The namespace; `None` is the whole Kubernetes cluster.
    pub namespace: Option<String>,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} in namespace {namespace}", self.kind.name()),
            None => write!(f, "{} in all namespaces", self.kind.name()),
        }
    }
}

/// What the task of one part says.
enum PartEvent {
    /// Its list is complete, or it cannot be had for now; only the first one counts.
    Settled(Part),
    Objects(Vec<ObjectEvent>),
    Said(WatchEvent),
}

/// Watches until the receiver is gone.
pub async fn run(client: Client, scope: Scope, out: Sender<WatchEvent>) {
    let (events, mut inbox) = mpsc::channel(64);
    let mut tasks = JoinSet::new();
    let mut unsettled = BTreeMap::new();
    for part in parts(&scope) {
        unsettled.insert(part.clone(), ());
        tasks.spawn(kind::watch(client.clone(), (part, scope.all_secrets), events.clone()));
    }
    drop(events);
    let mut gathered = Vec::new();
    let mut synced = false;
    let mut received = Vec::new();
    while inbox.recv_many(&mut received, 64).await > 0 {
        for event in received.drain(..) {
            match event {
                PartEvent::Settled(part) => drop(unsettled.remove(&part)),
                PartEvent::Objects(events) => gathered.extend(events),
                PartEvent::Said(said) => {
                    if out.send(said).await.is_err() {
                        return;
                    }
                }
            }
        }
        let event = match (synced, unsettled.is_empty()) {
            (true, _) if gathered.is_empty() => continue,
            (true, _) => WatchEvent::Changed(std::mem::take(&mut gathered)),
            (false, true) => WatchEvent::Synced(std::mem::take(&mut gathered)),
            (false, false) => continue,
        };
        synced = true;
        if out.send(event).await.is_err() {
            return;
        }
    }
}

fn parts(scope: &Scope) -> Vec<Part> {
    let mut parts = Vec::new();
    for &kind in scope.kinds {
        if scope.namespaces.is_empty() || !kind.is_namespaced() {
            parts.push(Part { kind, namespace: None });
        } else {
            let part = |namespace: &String| Part { kind, namespace: Some(namespace.clone()) };
            parts.extend(scope.namespaces.iter().map(part));
            let more = if kind == Kind::Secret { &scope.secrets[..] } else { &[] };
            parts.extend(more.iter().map(part));
        }
    }
    parts.sort();
    parts.dedup();
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_watched_in_more_namespaces_than_the_rest() {
        let scope = Scope { namespaces: vec!["a".into()], secrets: vec!["x".into()], ..Scope::default() };
        let told: Vec<_> = parts(&scope).iter().map(ToString::to_string).collect();
        let in_x: Vec<_> = told.iter().filter(|part| part.ends_with("namespace x")).collect();
        assert_eq!(in_x, ["Secret in namespace x"]);
        let everywhere = Scope { secrets: vec!["x".into()], ..Scope::default() };
        assert_eq!(parts(&everywhere), parts(&Scope::default()));
    }

    #[test]
    fn kinds_without_namespaces_are_watched_once() {
        let scope = Scope { namespaces: vec!["a".into(), "b".into(), "a".into()], ..Scope::default() };
        let told: Vec<_> = parts(&scope).iter().map(ToString::to_string).collect();
        assert_eq!(
            told[..3],
            ["Ingress in namespace a", "Ingress in namespace b", "IngressClass in all namespaces"]
        );
        let namespaced = Kind::ALL.iter().filter(|kind| kind.is_namespaced()).count();
        assert_eq!(told.len(), 2 * namespaced + (Kind::ALL.len() - namespaced));
        assert_eq!(parts(&Scope::default()).len(), Kind::ALL.len());
    }

    #[test]
    fn only_the_kinds_of_the_scope_are_watched() {
        let scope = Scope { kinds: &[Kind::Service], ..Scope::default() };
        let told: Vec<_> = parts(&scope).iter().map(ToString::to_string).collect();
        assert_eq!(told, ["Service in all namespaces"]);
    }
}
