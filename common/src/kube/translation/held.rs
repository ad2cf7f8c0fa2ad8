//! What units refer to, counted, so that the last one to let go removes it.

use std::{collections::BTreeMap, sync::Arc};

use super::{BackendPart, BackendUse, Batch, Parts, Reconciler, Translate};
use crate::{
    id::{BackendId, CertificateId, ObjectRef, RouteSetId},
    kube::reader::Unit,
    model::{Certificate, HostMatch, Problem},
};

/// What one unit refers to: mostly nothing but a backend.
#[derive(Debug, Default)]
pub(super) struct Held {
    backends: Box<[BackendId]>,
    more: Option<Box<HeldBeside>>,
}

/// What one unit refers to beside backends.
#[derive(Debug, Default, PartialEq)]
struct HeldBeside {
    certificates: Box<[CertificateId]>,
    inner_hosts: Box<[(RouteSetId, HostMatch)]>,
    problems: Box<[Problem]>,
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.backends.is_empty() && self.more.is_none()
    }

    fn split(self) -> (Box<[BackendId]>, HeldBeside) {
        (self.backends, self.more.map(|more| *more).unwrap_or_default())
    }
}

/// All problems, each as often as units say it, and how it was before the batch.
#[derive(Debug, Default)]
pub(super) struct Problems {
    current: BTreeMap<Problem, usize>,
    before: BTreeMap<Problem, bool>,
}

impl Problems {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.current.keys()
    }

    /// Those of an object, sorted.
    pub(super) fn of<'p>(&'p self, object: &'p ObjectRef) -> impl Iterator<Item = &'p Problem> {
        // The smallest that an object can have.
        let first = Problem::error(object, "", "", String::new());
        let problems = self.current.range(first..).map(|(problem, _)| problem);
        problems.take_while(move |problem| problem.object == *object)
    }

    /// Those that came and those that went since the last call.
    pub(super) fn take_changes(&mut self) -> (Vec<Problem>, Vec<Problem>) {
        let (mut added, mut removed) = (Vec::new(), Vec::new());
        for (problem, was) in std::mem::take(&mut self.before) {
            match (was, self.current.contains_key(&problem)) {
                (false, true) => added.push(problem),
                (true, false) => removed.push(problem),
                _ => {}
            }
        }
        (added, removed)
    }

    fn add(&mut self, problem: &Problem) {
        let count = self.current.entry(problem.clone()).or_default();
        self.before.entry(problem.clone()).or_insert(*count > 0);
        *count += 1;
    }

    fn remove(&mut self, problem: &Problem) {
        self.before.entry(problem.clone()).or_insert(true);
        if let Some(count) = self.current.get_mut(problem) {
            *count -= 1;
            if *count == 0 {
                self.current.remove(problem);
            }
        }
    }
}

impl<T: Translate> Reconciler<T> {
    /// Replaces what a unit refers to.
    pub(super) fn hold(&mut self, unit: Unit, parts: Parts, batch: &mut Batch) {
        let Parts { backends, certificates, inner_hosts, mut problems } = parts;
        problems.sort();
        problems.dedup();
        let backends = backends.into_iter().map(|(id, part)| self.use_backend(id, part, batch));
        let backends = backends.collect();
        let certificates = certificates.into_iter().map(|(id, certificate)| {
            self.use_certificate(&id, certificate, batch);
            id
        });
        let certificates = certificates.collect();
        let inner_hosts = inner_hosts.into_iter().inspect(|inner| self.lead_to(inner, batch)).collect();
        let more = HeldBeside { certificates, inner_hosts, problems: problems.into() };
        let (before, before_beside) = self.dependencies.take_held(&unit).split();
        if before_beside.problems != more.problems {
            more.problems.iter().for_each(|problem| self.problems.add(problem));
            before_beside.problems.iter().for_each(|problem| self.problems.remove(problem));
        }
        self.let_go(before, before_beside, batch);
        let more = (more != HeldBeside::default()).then(|| Box::new(more));
        self.dependencies.hold(&unit, Held { backends, more });
    }

    /// Removes what no unit refers to any more.
    pub(super) fn release(&mut self, batch: &mut Batch) {
        // They lead no further, so this frees nothing but backends.
        for (set, host) in std::mem::take(&mut batch.released_inner_hosts) {
            if !self.inner_hosts.contains_key(&(set.clone(), host.clone())) {
                self.translate_unit(Unit::Host(set, host), batch);
            }
        }
        for id in std::mem::take(&mut batch.released_backends) {
            if self.backends.get(&id).is_some_and(|used| used.units == 0) {
                self.backends.remove(&id);
                self.endpoints.remove(&id);
                batch.endpoints.remove(&id);
                self.change(batch).backends.remove(&id);
                self.translate_unit(Unit::Endpoints(id), batch);
            }
        }
        for id in std::mem::take(&mut batch.released_certificates) {
            if self.certificates.get(&id).is_some_and(|units| *units == 0) {
                self.certificates.remove(&id);
                self.change(batch).certificates.remove(&id);
            }
        }
    }

    /// Counts a unit that refers to a backend; returns the id as it is kept here.
    fn use_backend(&mut self, id: BackendId, part: BackendPart, batch: &mut Batch) -> BackendId {
        let id = self.kept_id(&id).unwrap_or(id);
        if self.snapshot.backends.get(&id).is_none_or(|current| **current != part.backend) {
            // Most backends are spoken to in the same way.
            if *self.usual != part.backend {
                self.usual = Arc::new(part.backend);
            }
            let backend = self.usual.clone();
            self.change(batch).backends.insert(id.clone(), backend);
        }
        let new = !self.backends.contains_key(&id);
        let used = self.backends.entry(id.clone()).or_insert(BackendUse { units: 0, source: None });
        used.units += 1;
        if new || used.source != part.endpoints {
            used.source = part.endpoints;
            batch.dirty.insert(Unit::Endpoints(id.clone()));
        }
        id
    }

    /// The id of a backend as it is kept here, so that all who name it share its text.
    pub(super) fn kept_id(&self, id: &BackendId) -> Option<BackendId> {
        self.backends.get_key_value(id).map(|(kept, _)| kept.clone())
    }

    fn use_certificate(&mut self, id: &CertificateId, certificate: Certificate, batch: &mut Batch) {
        if self.snapshot.certificates.get(id).is_none_or(|current| **current != certificate) {
            self.change(batch).certificates.insert(id.clone(), Arc::new(certificate));
        }
        *self.certificates.entry(id.clone()).or_default() += 1;
    }

    fn lead_to(&mut self, inner: &(RouteSetId, HostMatch), batch: &mut Batch) {
        let units = self.inner_hosts.entry(inner.clone()).or_default();
        *units += 1;
        if *units == 1 {
            batch.dirty.insert(Unit::Host(inner.0.clone(), inner.1.clone()));
        }
    }

    fn let_go(&mut self, backends: Box<[BackendId]>, beside: HeldBeside, batch: &mut Batch) {
        for id in backends {
            if let Some(used) = self.backends.get_mut(&id) {
                used.units -= 1;
                batch.released_backends.insert(id);
            }
        }
        for inner in beside.inner_hosts {
            let units = self.inner_hosts.get_mut(&inner);
            if units.is_some_and(|units| {
                *units -= 1;
                *units == 0
            }) {
                self.inner_hosts.remove(&inner);
                // Only in the end: another unit of the batch may lead there.
                batch.released_inner_hosts.insert(inner);
            }
        }
        for id in beside.certificates {
            if let Some(units) = self.certificates.get_mut(&id) {
                *units -= 1;
                batch.released_certificates.insert(id);
            }
        }
    }
}
