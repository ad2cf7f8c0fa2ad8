//! A follower of a reconciler: knows only what outcomes say, and must still know all that there is.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use selvedge_common::{
    id::BackendId,
    kube::{
        conditions::TargetStatus,
        objects::{Kind, ObjectEvent, ObjectKey},
        translation::{Outcome, Reconciler, Translate},
    },
    model::{Discovery, Endpoints, Problem, Snapshot},
    source::Update,
};

/// Knows only what outcomes say.
#[derive(Default)]
pub struct Follower {
    /// The last snapshot.
    pub snapshot: Arc<Snapshot>,
    /// Endpoints of each backend that has them from slices.
    pub endpoints: BTreeMap<BackendId, Endpoints>,
    problems: BTreeSet<Problem>,
    ours: BTreeMap<ObjectKey, Vec<TargetStatus>>,
}

impl Follower {
    /// Takes an outcome in, and insists that it says nothing that is known already.
    ///
    /// # Panics
    /// When it does.
    pub fn apply(&mut self, outcome: &Outcome) {
        let endpoints = match &outcome.update {
            None | Some(Update::Callers(_)) => &Vec::new(),
            Some(Update::Endpoints(endpoints)) => endpoints,
            Some(Update::Snapshot { snapshot, endpoints }) => {
                assert_ne!(self.snapshot, *snapshot, "an equal snapshot is no update");
                self.snapshot = snapshot.clone();
                endpoints
            }
        };
        let backends = &self.snapshot.backends;
        let has_endpoints = |id: &BackendId| {
            backends.get(id).is_some_and(|backend| backend.discovery == Discovery::Endpoints)
        };
        self.endpoints.retain(|id, _| has_endpoints(id));
        for (id, endpoints) in endpoints {
            assert!(has_endpoints(id), "endpoints of {id}, which needs none");
            let before = self.endpoints.insert(id.clone(), endpoints.clone());
            assert_ne!(before.as_ref(), Some(endpoints), "equal endpoints are no update");
        }
        for problem in &outcome.problems_removed {
            assert!(self.problems.remove(problem), "{problem} was not there");
        }
        for problem in &outcome.problems_added {
            assert!(self.problems.insert(problem.clone()), "{problem} was there");
        }
        for change in &outcome.statuses {
            match change.ours {
                true => drop(self.ours.insert(change.key.clone(), change.targets.clone())),
                false => drop(self.ours.remove(&change.key)),
            }
        }
    }

    /// Insists that it knows what the reconciler does.
    ///
    /// # Panics
    /// When it does not.
    pub fn check<T: Translate>(&mut self, reconciler: &Reconciler<T>) {
        let exists =
            |key: &ObjectKey| reconciler.objects().get(key.kind, &key.namespace, &key.name).is_some();
        self.ours.retain(|key, _| exists(key));
        assert_eq!(&self.snapshot, reconciler.snapshot());
        assert_eq!(&self.endpoints, reconciler.endpoints());
        assert_eq!(self.problems.iter().collect::<Vec<_>>(), reconciler.problems().collect::<Vec<_>>());
        assert!(self.ours.iter().eq(reconciler.ours()), "{:?}", reconciler.ours());
    }
}

/// A reconciler that is told at once all objects that another one has.
pub fn from_nothing<T: Translate>(translate: T, reconciler: &Reconciler<T>) -> Reconciler<T> {
    let mut fresh = Reconciler::new(translate);
    let objects = Kind::ALL.iter().flat_map(|kind| reconciler.objects().of_kind(*kind));
    fresh.apply(objects.cloned().map(ObjectEvent::Applied));
    fresh
}
