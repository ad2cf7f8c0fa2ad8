//! Tells the owners of objects what is wrong with them, as Kubernetes Events.

use std::{
    collections::{BTreeMap, VecDeque},
    hash::BuildHasher,
    time::Duration,
};

use foldhash::quality::FixedState;
use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use kube::{Api, Client, api::PostParams};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

use super::{backoff::Backoff, objects::Kind};
use crate::model::Problem;

/// A problem is not told again within this time, however often it comes and goes.
const REPEAT: Duration = Duration::from_secs(600);
/// Time between two Events once a burst is used up.
const INTERVAL: Duration = Duration::from_millis(100);
/// Events that may be written at once.
const BURST: u32 = 50;
/// Problems beyond this are only logged and counted.
const MAX_PROBLEMS: usize = 10_000;
/// Largest note that the API server takes.
const MAX_NOTE_BYTES: usize = 1_024;
/// Longest name of an object.
const MAX_NAME_BYTES: usize = 253;

/// A change of what is wrong.
#[derive(Clone, Debug, PartialEq)]
pub enum ProblemInput {
    /// A problem is there.
    Added {
        /// The problem.
        problem: Problem,
        /// `metadata.uid` of its object, by which `kubectl describe` finds Events.
        uid: Option<String>,
    },
    /// A problem is there no more.
    Removed(Problem),
}

/// Who tells of problems.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reporter {
    /// Name of the controller, for example `selvedge.dev/ingress` (`reportingController` of an Event).
    pub controller: &'static str,
    /// Which of its instances, usually the name of a pod (`reportingInstance`).
    pub instance: String,
}

/// Writes Events while `leader` is true, until the sender of `inputs` is gone.
///
/// The name of an Event follows from the problem, so that another leader, or this one after a restart, does not
/// tell it twice.
pub async fn run(
    client: Client,
    reporter: Reporter,
    mut leader: watch::Receiver<bool>,
    mut inputs: mpsc::UnboundedReceiver<Vec<ProblemInput>>,
) {
    let mut teller = Teller {
        client,
        reporter,
        problems: BTreeMap::new(),
        told: BTreeMap::new(),
        queue: VecDeque::new(),
        next: Instant::now(),
        burst: BURST,
        backoff: Backoff::new(Duration::from_millis(500), Duration::from_secs(30)),
    };
    loop {
        // What has been mended meanwhile is not told.
        while let Ok(batch) = inputs.try_recv() {
            teller.take(batch);
        }
        let due = *leader.borrow_and_update() && !teller.queue.is_empty();
        let next = teller.next;
        tokio::select! {
            batch = inputs.recv() => match batch {
                Some(batch) => teller.take(batch),
                None => return,
            },
            Ok(()) = leader.changed() => {}
            () = sleep_until(next), if due => teller.tell_one().await,
        }
    }
}

/// Entries of the queue, beyond twice the problems there are, at which those that are gone are cleared out.
const QUEUE_SLACK: usize = 1000;

struct Teller {
    client: Client,
    reporter: Reporter,
    /// Problems that are there, with the uid of their object.
    problems: BTreeMap<Problem, Option<String>>,
    told: BTreeMap<u64, Instant>,
    queue: VecDeque<Problem>,
    next: Instant,
    burst: u32,
    backoff: Backoff,
}

impl Teller {
    fn take(&mut self, batch: Vec<ProblemInput>) {
        for input in batch {
            match input {
                ProblemInput::Added { problem, uid } => {
                    let full = self.problems.len() >= MAX_PROBLEMS;
                    if !full && self.problems.insert(problem.clone(), uid).is_none() {
                        self.queue.push_back(problem);
                    }
                }
                // It stays in the queue, and is skipped when its turn comes.
                ProblemInput::Removed(problem) => drop(self.problems.remove(&problem)),
            }
        }
        // Who is not the leader takes nothing out of the queue, however often problems come and go.
        if self.queue.len() > 2 * self.problems.len() + QUEUE_SLACK {
            self.queue = self.problems.keys().cloned().collect();
        }
    }

    async fn tell_one(&mut self) {
        let Some(problem) = self.queue.pop_front() else { return };
        let Some(uid) = self.problems.get(&problem).cloned() else { return };
        let hash = hash(&problem);
        self.told.retain(|_, since| since.elapsed() < REPEAT);
        if self.told.contains_key(&hash) {
            return;
        }
        let namespace =
            if problem.object.namespace.is_empty() { "default" } else { &problem.object.namespace };
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let event = self.event(&problem, uid, namespace);
        match api.create(&PostParams::default(), &event).await {
            Ok(_) => self.pace(),
            Err(kube::Error::Api(status)) if status.code == 409 => self.pace(),
            // Too many requests, or the API server has trouble of its own.
            Err(kube::Error::Api(status)) if status.code != 429 && status.code < 500 => {
                tracing::debug!(%problem, message = %status.message, "Event is not taken");
                self.pace();
            }
            Err(error) => {
                tracing::debug!(%problem, %error, "Event cannot be written; trying again");
                self.queue.push_front(problem);
                self.next = Instant::now() + self.backoff.next();
                return;
            }
        }
        self.backoff.reset();
        self.told.insert(hash, Instant::now());
    }

    /// One more Event was written.
    fn pace(&mut self) {
        let now = Instant::now();
        let rested = now.duration_since(self.next).as_millis() / INTERVAL.as_millis();
        self.burst = self.burst.saturating_add(u32::try_from(rested).unwrap_or(BURST)).min(BURST);
        if self.burst > 0 {
            self.burst -= 1;
            self.next = now;
        } else {
            self.next = now + INTERVAL;
        }
    }

    fn event(&self, problem: &Problem, uid: Option<String>, namespace: &str) -> Event {
        let object = &problem.object;
        let kind = Kind::ALL.iter().find(|kind| kind.name() == &*object.kind);
        Event {
            metadata: ObjectMeta {
                name: Some(name(problem)),
                namespace: Some(namespace.into()),
                ..ObjectMeta::default()
            },
            regarding: Some(ObjectReference {
                api_version: kind.map(|kind| kind.api_version()),
                kind: Some(object.kind.to_string()),
                name: Some(object.name.to_string()),
                namespace: Some(object.namespace.to_string()).filter(|namespace| !namespace.is_empty()),
                uid,
                ..ObjectReference::default()
            }),
            event_time: Some(MicroTime(Timestamp::now())),
            type_: Some("Warning".into()),
            reason: Some(cut(&problem.reason, 128)),
            note: Some(cut(&format!("{}: {}", problem.field, problem.message), MAX_NOTE_BYTES)),
            action: Some("Translate".into()),
            reporting_controller: Some(self.reporter.controller.into()),
            reporting_instance: Some(cut(&self.reporter.instance, 128)),
            ..Event::default()
        }
    }
}

/// Follows from the problem; begins with the name of the object, as much of it as there is room for.
fn name(problem: &Problem) -> String {
    let suffix = format!(".{:016x}", hash(problem));
    let object = cut(&problem.object.name, MAX_NAME_BYTES - suffix.len());
    // No label of a name may end so.
    format!("{}{suffix}", object.trim_end_matches(['.', '-']))
}

fn hash(problem: &Problem) -> u64 {
    FixedState::with_seed(0).hash_one(problem)
}

/// At most so many bytes of a text, whole characters.
fn cut(text: &str, bytes: usize) -> String {
    text[..text.floor_char_boundary(bytes)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ObjectRef;

    #[test]
    fn names_of_events_are_never_too_long() {
        for (object, wanted) in
            [("shop".to_owned(), "shop."), ("a".repeat(253), "aaaa"), ("a.".repeat(126), "a.a.")]
        {
            let object = ObjectRef::new("Ingress", "default", &object);
            let name = name(&Problem::error(&object, "spec", "Odd", String::new()));
            assert!(name.len() <= MAX_NAME_BYTES && name.starts_with(wanted), "{name}");
            assert!(!name.contains("..") && !name.contains("-."), "{name}");
        }
    }
}
