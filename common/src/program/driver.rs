//! The loop from events to the engine: what comes while one batch is applied goes into the next one.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use tokio::sync::{
    mpsc::{Receiver, error::TryRecvError},
    watch,
};

use super::{Role, cluster::Teller};
use crate::{
    id::ObjectRef,
    kube::{
        events::ProblemInput,
        objects::{ObjectEvent, ObjectKey},
        status::StatusInput,
        switch::{Followed, Switches, Touched},
        translation::{Outcome, Reconciler, StatusChange},
        watch::WatchEvent,
    },
    model::{Problem, Severity},
    runtime::{engine::Engine, metrics::Metrics},
    source::{Rejected, RejectedPart, Sink, Update},
};

/// Follows a source and keeps the engine as it says.
pub struct Driver<T> {
    reconciler: Reconciler<T>,
    engine: Arc<Engine>,
    metrics: Arc<Metrics>,
    teller: Option<Teller>,
    /// Services that are switched to this program, where that is wanted and there is a cluster to tell.
    switches: Option<Switches>,
    /// What the engine could not use of the snapshot in effect.
    rejected: BTreeMap<RejectedPart, Problem>,
    /// Objects that do not have the form of their kind.
    unreadable: BTreeMap<ObjectKey, Problem>,
    /// Errors and warnings in files, beside those of objects.
    invalid: (usize, usize),
}

/// Events that go into one application.
#[derive(Default)]
struct Gathered {
    events: Vec<ObjectEvent>,
    inputs: Vec<ProblemInput>,
    synced: bool,
    /// What is wrong in files has changed.
    files: bool,
}

impl<T: Role> Driver<T> {
    /// Translates as the role says. Without a teller nothing is told to a cluster.
    pub fn new(role: T, engine: Arc<Engine>, teller: Option<Teller>) -> Self {
        let metrics = engine.metrics().clone();
        let switches = teller.as_ref().and_then(|_| role.switches_to()).map(Switches::new);
        let reconciler = Reconciler::new(role);
        let (rejected, unreadable, invalid) = Default::default();
        Self { reconciler, engine, metrics, teller, switches, rejected, unreadable, invalid }
    }

    /// Follows the events to their end. `synced` becomes true when the first full state is in effect.
    pub async fn run(mut self, mut events: Receiver<WatchEvent>, synced: watch::Sender<bool>) {
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

    fn gather(&mut self, event: WatchEvent, gathered: &mut Gathered) {
        let configuration = &self.metrics.configuration;
        match event {
            WatchEvent::Synced(events) => {
                gathered.synced = true;
                self.gather_objects(events, gathered);
            }
            WatchEvent::Changed(events) => self.gather_objects(events, gathered),
            WatchEvent::Denied { part, .. } | WatchEvent::Missing { part } => {
                configuration.set_denied(part.kind.name(), true);
            }
            WatchEvent::Readable { part } => configuration.set_denied(part.kind.name(), false),
            WatchEvent::Undecodable { key, message } => {
                let problem = Problem {
                    object: key.to_ref(),
                    field: String::new(),
                    severity: Severity::Error,
                    reason: "Unreadable".into(),
                    message,
                };
                let before = self.unreadable.insert(key, problem.clone());
                if before.as_ref() != Some(&problem) {
                    gathered.inputs.extend(before.map(ProblemInput::Removed));
                    gathered.inputs.push(self.added(problem));
                }
            }
            WatchEvent::Invalid { errors, warnings } => {
                self.invalid = (errors, warnings);
                gathered.files = true;
            }
        }
    }

    /// What comes with a form that can be read, or is gone, is unreadable no more.
    fn gather_objects(&mut self, events: Vec<ObjectEvent>, gathered: &mut Gathered) {
        for event in &events {
            if self.unreadable.is_empty() {
                break;
            }
            let mended = match event {
                ObjectEvent::Applied(object) => self.unreadable.remove(&object.key()),
                ObjectEvent::Deleted(key) => self.unreadable.remove(key),
            };
            gathered.inputs.extend(mended.map(ProblemInput::Removed));
        }
        gathered.events.extend(events);
    }

    /// Translates and applies one batch, and tells what came of it.
    fn apply(&mut self, gathered: Gathered) {
        let Gathered { events, mut inputs, synced, files } = gathered;
        let mut statuses = Vec::new();
        if !events.is_empty() || synced {
            self.translate(events, &mut statuses, &mut inputs);
        }
        if synced {
            for message in self.role().unfitting(self.reconciler.objects()) {
                tracing::warn!("{message}");
            }
        }
        if files || !inputs.is_empty() {
            self.count_problems();
        }
        self.tell(statuses, inputs);
    }

    fn translate(
        &mut self,
        events: Vec<ObjectEvent>,
        statuses: &mut Vec<StatusInput>,
        inputs: &mut Vec<ProblemInput>,
    ) {
        let started = Instant::now();
        let gone = events.iter().filter_map(|event| match event {
            ObjectEvent::Deleted(key) => self.role().status_gone(key),
            ObjectEvent::Applied(_) => None,
        });
        statuses.extend(gone);
        let touched = self.switches.as_ref().map(|known| known.touched(self.reconciler.objects(), &events));
        let count = events.len();
        let Outcome {
            update,
            callers,
            problems_added,
            problems_removed,
            statuses: changed,
            hosts_translated,
        } = self.reconciler.apply(events);
        if !callers.is_empty() {
            self.engine.apply(Update::Callers(callers));
        }
        if let Some(update) = update {
            let changed = self.update(update, count, hosts_translated);
            inputs.extend(changed);
        }
        let configuration = &self.metrics.configuration;
        configuration.hosts_translated.inc_by(hosts_translated as u64);
        configuration.translation.observe(started.elapsed());
        for problem in &problems_added {
            tracing::warn!("{problem}");
        }
        for problem in &problems_removed {
            tracing::debug!("mended: {problem}");
        }
        inputs.extend(problems_removed.into_iter().map(ProblemInput::Removed));
        inputs.extend(problems_added.into_iter().map(|problem| self.added(problem)));
        statuses.extend(changed.into_iter().filter_map(|change| self.status(change)));
        if let Some(touched) = touched {
            self.switch(touched, inputs);
        }
    }

    /// Says what is to be done for the Services that are switched.
    fn switch(&mut self, touched: Touched, inputs: &mut Vec<ProblemInput>) {
        let (Some(switches), Some(teller)) = (&mut self.switches, &self.teller) else { return };
        let Followed { steps, added, removed } = switches.follow(self.reconciler.objects(), touched);
        if !steps.is_empty() {
            // The writers only end with the process.
            let _ = teller.switches.send(steps);
        }
        for problem in &added {
            tracing::warn!("{problem}");
        }
        inputs.extend(removed.into_iter().map(ProblemInput::Removed));
        inputs.extend(added.into_iter().map(|problem| self.added(problem)));
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

    /// What the engine could not use, as problems of who is to mend it, each told once.
    fn reject(&mut self, rejected: Vec<Rejected>) -> Vec<ProblemInput> {
        let now: BTreeMap<_, _> = rejected.into_iter().map(problem_of).collect();
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

    /// Counts all that is wrong, whoever found it.
    fn count_problems(&self) {
        let found = self.rejected.values().chain(self.unreadable.values());
        let found = found.chain(self.switches.iter().flat_map(Switches::problems));
        let (mut errors, mut warnings) = self.invalid;
        for problem in self.reconciler.problems().chain(found) {
            match problem.severity {
                Severity::Error => errors += 1,
                Severity::Warning => warnings += 1,
            }
        }
        let configuration = &self.metrics.configuration;
        configuration.errors.set(i64::try_from(errors).unwrap_or(i64::MAX));
        configuration.warnings.set(i64::try_from(warnings).unwrap_or(i64::MAX));
    }

    fn added(&self, problem: Problem) -> ProblemInput {
        let key = ObjectKey::of(&problem.object);
        let objects = self.reconciler.objects();
        let object = key.and_then(|key| objects.get(key.kind, &key.namespace, &key.name));
        let uid = object.and_then(|object| object.about().uid.map(str::to_owned));
        ProblemInput::Added { problem, uid }
    }

    fn status(&self, change: StatusChange) -> Option<StatusInput> {
        let ObjectKey { kind, namespace, name } = &change.key;
        let object = self.reconciler.objects().get(*kind, namespace, name)?;
        let entry = self.teller.as_ref().map_or(T::CONTROLLER, |teller| &teller.entry);
        self.role().status(object, change, entry)
    }

    fn role(&self) -> &T {
        self.reconciler.translate()
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

/// What the engine says of a certificate or a listener, as a problem of its Secret or of the program.
pub(super) fn problem_of(rejected: Rejected) -> (RejectedPart, Problem) {
    let Rejected { part, message } = rejected;
    let (object, field, reason) = match &part {
        RejectedPart::Certificate(id) => {
            let (namespace, name) = id.as_str().split_once('/').unwrap_or(("", id.as_str()));
            (ObjectRef::new("Secret", namespace, name), "data", "CertificateUnusable")
        }
        RejectedPart::Listener(name) => {
            (ObjectRef::new("Listener", "", name.as_str()), "address", "ListenerUnbound")
        }
    };
    let (field, reason) = (field.into(), reason.into());
    let problem = Problem { object, field, severity: Severity::Error, reason, message };
    (part, problem)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Service;
    use tokio::sync::mpsc;

    use super::*;
    use crate::{
        id::RouteSetId,
        kube::{
            objects::{Kind, Object},
            reader::{Reader, Unit},
            status::KnownStatus,
            store::Objects,
            translation::{BaseTranslation, HostTranslation, ObjectTranslation, Translate},
        },
        model::HostMatch,
        proxy::ProxySettings,
        runtime::{access_log::AccessLog, engine::EngineSettings},
    };

    fn seen(key: ObjectKey, ours: bool) -> StatusInput {
        StatusInput::Seen { key, known: KnownStatus::Ingress { ours, current: Vec::new() } }
    }

    /// A role that serves nothing and writes the status of Services.
    struct Idle;

    impl Translate for Idle {
        fn route_set(&self) -> RouteSetId {
            "idle".into()
        }

        fn declares(&self, object: &Object) -> Vec<Unit> {
            vec![Unit::Object(object.key())]
        }

        fn translate_object(&self, _: &Reader<'_>, _: &Object) -> ObjectTranslation {
            ObjectTranslation { ours: true, ..ObjectTranslation::default() }
        }

        fn translate_base(&self, _: &Reader<'_>) -> BaseTranslation {
            BaseTranslation::default()
        }

        fn translate_host(&self, _: &Reader<'_>, _: &RouteSetId, _: &HostMatch) -> HostTranslation {
            HostTranslation::default()
        }
    }

    impl Role for Idle {
        const PROGRAM: &'static str = "selvedge-idle";
        const CONTROLLER: &'static str = "selvedge.dev/idle";
        const LEASE: &'static str = "selvedge-idle";
        const KINDS: &'static [Kind] = &[Kind::Service];

        fn status(&self, _: &Object, change: StatusChange, _: &str) -> Option<StatusInput> {
            Some(seen(change.key, change.ours))
        }

        fn status_gone(&self, key: &ObjectKey) -> Option<StatusInput> {
            Some(StatusInput::Gone(key.clone()))
        }

        fn unfitting(&self, _: &Objects) -> Vec<String> {
            vec!["--odd fits nothing".into()]
        }
    }

    /// What a driver tells.
    struct Told {
        problems: mpsc::UnboundedReceiver<Vec<ProblemInput>>,
        statuses: mpsc::UnboundedReceiver<Vec<StatusInput>>,
    }

    fn driver() -> (Driver<Idle>, Told) {
        let proxy = ProxySettings {
            requests: 0,
            spread_every: std::time::Duration::ZERO,
            upstream_idle: std::time::Duration::from_secs(1),
            connections: 1,
            reason_field: true,
        };
        let metrics = Metrics::new();
        let settings =
            EngineSettings { workers: 1, proxy, metrics, access_log: AccessLog::off(), share_ports: false };
        let engine = Arc::new(Engine::start(settings, &BTreeMap::new()).expect("threads can be started"));
        let (statuses, told_statuses) = mpsc::unbounded_channel();
        let (problems, told_problems) = mpsc::unbounded_channel();
        let (switches, _) = mpsc::unbounded_channel();
        let driver = Driver::new(
            Idle,
            engine,
            Some(Teller { statuses, problems, entry: Idle::CONTROLLER.into(), switches }),
        );
        (driver, Told { problems: told_problems, statuses: told_statuses })
    }

    fn step(driver: &mut Driver<Idle>, event: WatchEvent) -> (i64, i64) {
        let mut gathered = Gathered::default();
        driver.gather(event, &mut gathered);
        driver.apply(gathered);
        let configuration = &driver.metrics.configuration;
        (configuration.errors.get(), configuration.warnings.get())
    }

    fn service() -> Object {
        let mut service = Service::default();
        service.metadata.name = Some("shop".into());
        service.metadata.namespace = Some("default".into());
        service.into()
    }

    #[tokio::test]
    async fn all_that_is_wrong_is_counted_until_it_is_mended() {
        let (mut driver, mut told) = driver();
        let key = service().key();
        let undecodable = WatchEvent::Undecodable { key: key.clone(), message: "spec: no".into() };
        assert_eq!(step(&mut driver, WatchEvent::Synced(Vec::new())), (0, 0));
        assert_eq!(step(&mut driver, undecodable.clone()), (1, 0));
        assert_eq!(step(&mut driver, undecodable.clone()), (1, 0));
        assert_eq!(step(&mut driver, WatchEvent::Invalid { errors: 2, warnings: 1 }), (3, 1));
        let mended = WatchEvent::Changed(vec![ObjectEvent::Applied(service())]);
        assert_eq!(step(&mut driver, mended), (2, 1));
        assert_eq!(step(&mut driver, undecodable), (3, 1));
        assert_eq!(step(&mut driver, WatchEvent::Changed(vec![ObjectEvent::Deleted(key)])), (2, 1));
        assert_eq!(step(&mut driver, WatchEvent::Invalid { errors: 0, warnings: 0 }), (0, 0));
        let mut kinds = Vec::new();
        while let Ok(inputs) = told.problems.try_recv() {
            kinds.extend(inputs.iter().map(|input| matches!(input, ProblemInput::Added { .. })));
        }
        assert_eq!(kinds, [true, false, true, false]);
    }

    #[tokio::test]
    async fn the_role_says_what_is_told_of_a_status() {
        let (mut driver, mut told) = driver();
        let key = service().key();
        step(&mut driver, WatchEvent::Synced(vec![ObjectEvent::Applied(service())]));
        step(&mut driver, WatchEvent::Changed(vec![ObjectEvent::Deleted(key.clone())]));
        assert_eq!(told.statuses.try_recv(), Ok(vec![seen(key.clone(), true)]));
        assert_eq!(told.statuses.try_recv(), Ok(vec![StatusInput::Gone(key)]));
    }
}
