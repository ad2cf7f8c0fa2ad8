//! The loop from events to the engine: what comes while one batch is applied goes into the next one.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use selvedge_common::{
    id::{CertificateId, ObjectRef},
    kube::{
        events::ProblemInput,
        objects::{Kind, Object, ObjectEvent, ObjectKey},
        status::StatusInput,
        translation::{Outcome, Reconciler, StatusChange},
        watch::WatchEvent,
    },
    model::{Problem, Severity},
    runtime::{engine::Engine, metrics::Metrics},
    source::{Rejected, Sink, Update},
};
use tokio::sync::{
    mpsc::{Receiver, error::TryRecvError},
    watch,
};

use super::cluster::Teller;
use crate::{settings::Settings, translate::Edge};

/// Follows a source and keeps the engine as it says.
pub(super) struct Driver {
    reconciler: Reconciler<Edge>,
    engine: Arc<Engine>,
    metrics: Arc<Metrics>,
    teller: Option<Teller>,
    /// What the engine could not use of the snapshot in effect.
    rejected: BTreeMap<CertificateId, Problem>,
}

/// Events that go into one application.
#[derive(Default)]
struct Gathered {
    events: Vec<ObjectEvent>,
    problems: Vec<Problem>,
    synced: bool,
}

impl Driver {
    pub(super) fn new(settings: Settings, engine: Arc<Engine>, teller: Option<Teller>) -> Self {
        let metrics = engine.metrics().clone();
        let reconciler = Reconciler::new(Edge::new(settings));
        Self { reconciler, engine, metrics, teller, rejected: BTreeMap::new() }
    }

    /// Follows the events to their end. `synced` becomes true when the first full state is in effect.
    pub(super) async fn run(mut self, mut events: Receiver<WatchEvent>, synced: watch::Sender<bool>) {
        while let Some(first) = events.recv().await {
            let mut gathered = Gathered::default();
            let mut next = Ok(first);
            while let Ok(event) = next {
                self.gather(event, &mut gathered);
                next = events.try_recv();
            }
            let is_synced = gathered.synced;
            self.apply(gathered);
            if is_synced {
                tracing::info!("ready");
                synced.send_replace(true);
            }
            if next == Err(TryRecvError::Disconnected) {
                return;
            }
            // Other tasks of this thread have their turn even when events never end.
            tokio::task::yield_now().await;
        }
    }

    fn gather(&self, event: WatchEvent, gathered: &mut Gathered) {
        let configuration = &self.metrics.configuration;
        match event {
            WatchEvent::Synced(events) => {
                gathered.synced = true;
                gathered.events.extend(events);
            }
            WatchEvent::Changed(events) => gathered.events.extend(events),
            WatchEvent::Denied { part, .. } | WatchEvent::Missing { part } => {
                configuration.set_denied(part.kind.name(), true);
            }
            WatchEvent::Readable { part } => configuration.set_denied(part.kind.name(), false),
            WatchEvent::Undecodable { key, message } => {
                gathered.problems.push(Problem {
                    object: key.to_ref(),
                    field: String::new(),
                    severity: Severity::Error,
                    reason: "Unreadable".into(),
                    message,
                });
            }
        }
    }

    /// Translates and applies one batch, and tells what came of it.
    fn apply(&mut self, gathered: Gathered) {
        let Gathered { events, problems, synced } = gathered;
        let mut inputs: Vec<_> = problems.into_iter().map(|problem| self.added(problem)).collect();
        if events.is_empty() && !synced {
            self.tell(Vec::new(), inputs);
            return;
        }
        let started = Instant::now();
        let gone = events.iter().filter_map(|event| match event {
            ObjectEvent::Deleted(key) if key.kind == Kind::Ingress => Some(StatusInput::Gone(key.clone())),
            _ => None,
        });
        let mut statuses: Vec<_> = gone.collect();
        let count = events.len();
        let Outcome { update, problems_added, problems_removed, statuses: changed, hosts_translated } =
            self.reconciler.apply(events);
        if let Some(update) = update {
            inputs.extend(self.update(update, count, hosts_translated));
        }
        let configuration = &self.metrics.configuration;
        configuration.hosts_translated.inc_by(hosts_translated as u64);
        configuration.translation.observe(started.elapsed());
        if !problems_added.is_empty() || !problems_removed.is_empty() {
            self.count_problems();
        }
        for problem in &problems_added {
            tracing::warn!("{problem}");
        }
        for problem in &problems_removed {
            tracing::debug!("mended: {problem}");
        }
        inputs.extend(problems_removed.into_iter().map(ProblemInput::Removed));
        inputs.extend(problems_added.into_iter().map(|problem| self.added(problem)));
        statuses.extend(changed.into_iter().filter_map(|change| self.status(change)));
        self.tell(statuses, inputs);
    }

    fn update(&mut self, update: Update, events: usize, hosts: usize) -> Vec<ProblemInput> {
        let is_snapshot = matches!(update, Update::Snapshot { .. });
        let applied = self.engine.apply(update);
        if applied.changed && is_snapshot {
            tracing::info!(generation = applied.generation, events, hosts, "applied");
        } else {
            tracing::debug!(generation = applied.generation, events, "endpoints applied");
        }
        if is_snapshot { self.reject(applied.rejected) } else { Vec::new() }
    }

    /// What the engine could not use, as problems of the Secrets, each told once.
    fn reject(&mut self, rejected: Vec<Rejected>) -> Vec<ProblemInput> {
        let now: BTreeMap<_, _> = rejected.into_iter().map(problem_of_certificate).collect();
        let before = std::mem::take(&mut self.rejected);
        let gone = before.iter().filter(|(id, problem)| now.get(*id) != Some(*problem));
        let mut inputs: Vec<_> = gone.map(|(_, problem)| ProblemInput::Removed(problem.clone())).collect();
        for (id, problem) in &now {
            if before.get(id) != Some(problem) {
                tracing::warn!("{problem}");
                inputs.push(self.added(problem.clone()));
            }
        }
        self.rejected = now;
        inputs
    }

    fn count_problems(&self) {
        let errors = self.reconciler.problems().filter(|problem| problem.severity == Severity::Error).count();
        let all = self.reconciler.problems().count();
        self.metrics.configuration.errors.set(errors as i64);
        self.metrics.configuration.warnings.set((all - errors) as i64);
    }

    fn added(&self, problem: Problem) -> ProblemInput {
        let ObjectRef { kind, namespace, name, .. } = &problem.object;
        let kind = Kind::ALL.iter().find(|known| known.name() == &**kind);
        let object = kind.and_then(|kind| self.reconciler.objects().get(*kind, namespace, name));
        let uid = object.and_then(|object| object.metadata().uid.clone());
        ProblemInput::Added { problem, uid }
    }

    fn status(&self, change: StatusChange) -> Option<StatusInput> {
        let StatusChange { key, ours } = change;
        let ObjectKey { kind, namespace, name } = &key;
        let Some(Object::Ingress(ingress)) = self.reconciler.objects().get(*kind, namespace, name) else {
            return None;
        };
        let balancer = ingress.status.as_ref().and_then(|status| status.load_balancer.as_ref());
        let current = balancer.and_then(|balancer| balancer.ingress.clone()).unwrap_or_default();
        Some(StatusInput::Seen { key, ours, current })
    }

    fn tell(&self, statuses: Vec<StatusInput>, problems: Vec<ProblemInput>) {
        let Some(teller) = &self.teller else { return };
        // The writers only end with the process.
        if !statuses.is_empty() {
            let _ = teller.statuses.send(statuses);
        }
        if !problems.is_empty() {
            let _ = teller.problems.send(problems);
        }
    }
}

fn problem_of_certificate(rejected: Rejected) -> (CertificateId, Problem) {
    let Rejected { certificate, message } = rejected;
    let (namespace, name) = certificate.as_str().split_once('/').unwrap_or(("", certificate.as_str()));
    let problem = Problem {
        object: ObjectRef::new("Secret", namespace, name),
        field: "data".into(),
        severity: Severity::Error,
        reason: "CertificateUnusable".into(),
        message,
    };
    (certificate, problem)
}
