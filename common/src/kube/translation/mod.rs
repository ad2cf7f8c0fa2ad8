//! The way from objects to a snapshot: re-translates only what read what changed.

mod dependencies;
mod held;
mod units;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use dependencies::Dependencies;
use held::Problems;
use selvedge_crds::status::MOST_PROBLEMS;

use super::{
    callers::CallerTable,
    conditions::TargetStatus,
    endpoints::EndpointSource,
    objects::{Kind, Object, ObjectEvent, ObjectKey},
    reader::{Reader, Unit},
    store::{Change, Objects},
};
use crate::{
    id::{BackendId, CertificateId, ListenerName, RouteSetId},
    model::{
        Backend, Certificate, Endpoints, HostMatch, Listener, Problem, Route, SharedMap, Snapshot, Source,
        Tracing, VirtualHost,
    },
    source::Update,
};

/// How objects become hosts, routes and backends. Every function is pure and total: its result depends only on
/// its arguments and on what it reads through the reader.
pub trait Translate {
    /// The set of routes that listeners serve; the fallback is in it.
    fn route_set(&self) -> RouteSetId;

    /// Further sets of routes, which routes of the first one lead to.
    fn inner_route_sets(&self) -> Vec<RouteSetId> {
        Vec::new()
    }

    /// The units that an object has a say in, by itself alone, whether or not anyone will listen to it. An object
    /// that says what is wrong with it or has a status declares [`Unit::Object`] with its own key.
    fn declares(&self, object: &Object) -> Vec<Unit>;

    /// Whether an object is ours, and what is wrong with it as a whole.
    fn translate_object(&self, reader: &Reader<'_>, object: &Object) -> ObjectTranslation;

    /// Listeners and fallback.
    fn translate_base(&self, reader: &Reader<'_>) -> BaseTranslation;

    /// One host of a set of routes: at least one object declares it, or a route leads to it.
    fn translate_host(&self, reader: &Reader<'_>, set: &RouteSetId, host: &HostMatch) -> HostTranslation;
}

/// What is said about an object as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObjectTranslation {
    /// Whether it is ours, so that its status is ours to write.
    pub ours: bool,
    /// What its status shall say of each of its targets; empty for kinds whose status has no such thing.
    pub targets: Vec<TargetStatus>,
    /// What is wrong with it, apart from what its hosts say.
    pub problems: Vec<Problem>,
}

/// What belongs to no host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BaseTranslation {
    /// Where clients connect.
    pub listeners: BTreeMap<ListenerName, Listener>,
    /// Answers requests that no rule matches.
    pub fallback: Option<Route>,
    /// Which requests are traced.
    pub tracing: Option<Tracing>,
    /// What listeners and fallback refer to.
    pub parts: Parts,
}

/// One host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostTranslation {
    /// Its entry; `None` if none of the objects that declare it is ours or has anything valid to say.
    pub virtual_host: Option<VirtualHost>,
    /// Whether it has TLS, for those who ask [`Reader::has_tls`].
    pub has_tls: bool,
    /// What it refers to.
    pub parts: Parts,
}

/// What a translation refers to, and what is wrong.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parts {
    /// Every backend that is referred to. What is said about a backend must be the same wherever it is said.
    pub backends: BTreeMap<BackendId, BackendPart>,
    /// Every certificate that is referred to; the same holds.
    pub certificates: BTreeMap<CertificateId, Certificate>,
    /// Every host of an inner set of routes that a route leads to; they are translated as long as one does.
    pub inner_hosts: BTreeSet<(RouteSetId, HostMatch)>,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

/// A backend and where its endpoints come from.
#[derive(Clone, Debug, PartialEq)]
pub struct BackendPart {
    /// How it is spoken to.
    pub backend: Backend,
    /// Which slices its endpoints come from; `None` if they come from elsewhere.
    pub endpoints: Option<EndpointSource>,
}

/// What a batch of events changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// What the engine must be told; `None` if nothing differs.
    pub update: Option<Update>,
    /// Addresses with another source than before, sorted; to be told to the engine as
    /// [`Update::Callers`], before `update`.
    pub callers: Vec<(IpAddr, Option<Arc<Source>>)>,
    /// Problems that were not there before, sorted.
    pub problems_added: Vec<Problem>,
    /// Problems that are gone, sorted.
    pub problems_removed: Vec<Problem>,
    /// Objects whose status may have to be written, sorted by key.
    pub statuses: Vec<StatusChange>,
    /// How many hosts were translated.
    pub hosts_translated: usize,
}

/// An object whose status may have to be written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StatusChange {
    /// The object; it exists.
    pub key: ObjectKey,
    /// Whether it is ours and shall carry what we say; if not it shall lose what we said before.
    pub ours: bool,
    /// What it shall say of each of its targets.
    pub targets: Vec<TargetStatus>,
    /// What it shall say is wrong, each with its field; empty for kinds whose status has no such thing.
    pub problems: Vec<String>,
}

/// Holds all objects and what they translate to, and follows their changes.
#[derive(Debug)]
pub struct Reconciler<T> {
    translate: T,
    objects: Objects,
    dependencies: Dependencies,
    problems: Problems,
    backends: BTreeMap<BackendId, BackendUse>,
    /// The backend that was made last; those that are equal share it.
    usual: Arc<Backend>,
    certificates: BTreeMap<CertificateId, usize>,
    inner_hosts: BTreeMap<(RouteSetId, HostMatch), usize>,
    endpoints: BTreeMap<BackendId, Endpoints>,
    ours: SharedMap<ObjectKey, Vec<TargetStatus>>,
    /// What is made of pods, which nothing else reads: like endpoints they take their own short way.
    callers: CallerTable,
    snapshot: Arc<Snapshot>,
    started: bool,
}

#[derive(Debug)]
struct BackendUse {
    units: usize,
    source: Option<EndpointSource>,
}

/// What is gathered while a batch is worked on.
#[derive(Default)]
struct Batch {
    dirty: BTreeSet<Unit>,
    snapshot_changed: bool,
    endpoints: BTreeMap<BackendId, Endpoints>,
    released_inner_hosts: BTreeSet<(RouteSetId, HostMatch)>,
    released_backends: BTreeSet<BackendId>,
    released_certificates: BTreeSet<CertificateId>,
    statuses: BTreeMap<ObjectKey, bool>,
    hosts_translated: usize,
}

impl<T: Translate> Reconciler<T> {
    /// Begins without objects. The first [`apply`](Self::apply) always has an update.
    pub fn new(translate: T) -> Self {
        let mut snapshot = Snapshot::default();
        for set in translate.inner_route_sets().into_iter().chain([translate.route_set()]) {
            snapshot.route_sets.insert(set, Arc::default());
        }
        Self {
            translate,
            objects: Objects::default(),
            dependencies: Dependencies::default(),
            problems: Problems::default(),
            backends: BTreeMap::new(),
            usual: Arc::default(),
            certificates: BTreeMap::new(),
            inner_hosts: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            ours: SharedMap::new(),
            callers: CallerTable::default(),
            snapshot: Arc::new(snapshot),
            started: false,
        }
    }

    /// Applies a batch of events and re-translates only what read what changed.
    pub fn apply(&mut self, events: impl IntoIterator<Item = ObjectEvent>) -> Outcome {
        let mut batch = Batch::default();
        for event in events {
            self.take_in(event, &mut batch);
        }
        if !self.started {
            batch.dirty.insert(Unit::Base);
        }
        // From the last to the first: wildcards come before the names that ask about them, and endpoints come when
        // it is known which are needed.
        while let Some(unit) = batch.dirty.pop_last() {
            self.translate_unit(unit, &mut batch);
        }
        self.release(&mut batch);
        self.finish(batch)
    }

    /// What it translates with.
    pub fn translate(&self) -> &T {
        &self.translate
    }

    /// Every object, as it last was.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// The translation of all objects.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// The endpoints of every backend that has some from slices.
    pub fn endpoints(&self) -> &BTreeMap<BackendId, Endpoints> {
        &self.endpoints
    }

    /// All that is wrong now, sorted.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter()
    }

    /// The objects whose status is ours to write, with what it shall say of their targets.
    pub fn ours(&self) -> &SharedMap<ObjectKey, Vec<TargetStatus>> {
        &self.ours
    }

    /// All there is as one update, for a sink that knows nothing yet.
    pub fn whole(&self) -> Update {
        Update::Snapshot {
            snapshot: self.snapshot.clone(),
            endpoints: self.endpoints.iter().map(|(id, endpoints)| (id.clone(), endpoints.clone())).collect(),
        }
    }

    /// Who is behind each address, sorted, for a sink that knows nothing yet.
    pub fn callers(&self) -> Update {
        Update::Callers(self.callers.whole())
    }

    fn take_in(&mut self, event: ObjectEvent, batch: &mut Batch) {
        let event = match event {
            ObjectEvent::Applied(Object::Pod(pod)) => {
                let key = Object::Pod(pod.clone()).key();
                return self.callers.set(key, &pod);
            }
            ObjectEvent::Deleted(key) if key.kind == Kind::Pod => return self.callers.remove(&key),
            event => event,
        };
        match self.objects.apply(event) {
            Change::Nothing => {}
            Change::Status(key) => {
                if self.ours.contains_key(&key) {
                    batch.statuses.insert(key, true);
                }
            }
            Change::Object { key, before, after } => {
                let declared = |object: &Option<Object>| {
                    let mut units = object.as_ref().map(|object| self.translate.declares(object));
                    // That of the object itself shares its text with the store.
                    for unit in units.iter_mut().flatten().filter(|unit| is_of(unit, &key)) {
                        *unit = Unit::Object(key.clone());
                    }
                    units.unwrap_or_default()
                };
                let (old, new) = (declared(&before), declared(&after));
                self.dependencies.declare(&key, &old, &new);
                batch.dirty.extend(self.dependencies.dirtied(
                    &self.objects,
                    &key,
                    (before.as_ref(), after.as_ref()),
                ));
                for unit in old.into_iter().chain(new) {
                    batch.dirty.extend(self.dependencies.reading_declarers(&unit));
                    batch.dirty.insert(unit);
                }
            }
        }
    }

    fn finish(&mut self, batch: Batch) -> Outcome {
        let endpoints: Vec<_> = batch.endpoints.into_iter().collect();
        let update = match batch.snapshot_changed || !self.started {
            true => Some(Update::Snapshot { snapshot: self.snapshot.clone(), endpoints }),
            false if endpoints.is_empty() => None,
            false => Some(Update::Endpoints(endpoints)),
        };
        self.started = true;
        let (problems_added, problems_removed) = self.problems.take_changes();
        let mut statuses = batch.statuses;
        // The status says what is wrong, too, whoever has found it.
        let told = problems_added.iter().chain(&problems_removed);
        for key in told.filter_map(|problem| ObjectKey::of(&problem.object)) {
            if key.kind.has_conditions() && self.ours.contains_key(&key) {
                statuses.entry(key).or_insert(true);
            }
        }
        let statuses = statuses.into_iter().map(|(key, ours)| self.status_change(key, ours)).collect();
        Outcome {
            update,
            callers: self.callers.take_changes(),
            problems_added,
            problems_removed,
            statuses,
            hosts_translated: batch.hosts_translated,
        }
    }

    fn status_change(&self, key: ObjectKey, ours: bool) -> StatusChange {
        let targets = self.ours.get(&key).cloned().unwrap_or_default();
        let problems = match ours && key.kind.has_conditions() {
            true => self.problems.of(&key.to_ref()).map(in_status).take(MOST_PROBLEMS).collect(),
            false => Vec::new(),
        };
        StatusChange { key, ours, targets, problems }
    }
}

/// Whether a unit is just what is said about this object.
fn is_of(unit: &Unit, key: &ObjectKey) -> bool {
    matches!(unit, Unit::Object(named) if named == key)
}

/// A problem as the status of its object says it.
fn in_status(problem: &Problem) -> String {
    match problem.field.is_empty() {
        true => problem.message.clone(),
        false => format!("{}: {}", problem.field, problem.message),
    }
}
