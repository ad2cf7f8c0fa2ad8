//! Who declares and who reads what, so that a change reaches exactly those that it concerns.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use foldhash::quality::RandomState;

use super::held::Held;
use crate::{
    kube::{
        few::Few,
        known::{self, Known, Number},
        objects::{Object, ObjectKey},
        reader::{Read, Unit},
        store::{Objects, service_of},
    },
    model::HostMatch,
};

/// Declarations and recorded reads, in both directions, and what units hold.
#[derive(Debug, Default)]
pub(super) struct Dependencies {
    known: Known,
    /// By the number of the unit.
    notes: Vec<Note>,
    /// Which units have read what few read.
    readers: HashMap<Arc<Read>, Few<Number>, RandomState>,
    /// Which units have read what many read, by all of it that they have read.
    groups: HashMap<Arc<Group>, Few<Number>, RandomState>,
    /// In which of these groups such a thing is.
    groups_of: HashMap<Read, Few<Arc<Group>>, RandomState>,
}

/// Things that many units read. Most units read the same ones, and so note one group of them together.
type Group = BTreeSet<Read>;

/// What is noted of a unit.
#[derive(Debug, Default)]
struct Note {
    /// What it has read that few others do, sorted.
    own: Box<[Arc<Read>]>,
    /// What it has read that many do.
    group: Option<Arc<Group>>,
    held: Held,
}

impl Note {
    fn is_empty(&self) -> bool {
        self.own.is_empty() && self.group.is_none() && self.held.is_empty()
    }
}

impl Dependencies {
    pub(super) fn known(&self) -> &Known {
        &self.known
    }

    pub(super) fn is_declared(&self, unit: &Unit) -> bool {
        self.known.units.find(unit).is_some_and(|number| self.known.units.is_declared(number))
    }

    /// An object now declares other units than before.
    pub(super) fn declare(&mut self, key: &ObjectKey, before: &[Unit], after: &[Unit]) {
        // Numbers first: the unit of the object itself is mostly one of them, and the others refer to it.
        let numbers: Vec<_> = after.iter().map(|unit| self.known.units.number(unit)).collect();
        for number in numbers {
            self.known.units.declare(number, key);
        }
        for unit in before.iter().filter(|unit| !after.contains(unit)) {
            if let Some(number) = self.known.units.find(unit) {
                self.known.units.withdraw(number, key);
                self.tidy(number);
            }
        }
    }

    /// Replaces what a unit read when it was last translated. Who declares the unit itself is not kept: a change of those
    /// concerns it in any case.
    pub(super) fn record(&mut self, unit: &Unit, reads: BTreeSet<Read>) {
        let number = self.known.units.number(unit);
        let reads = reads.into_iter().filter(|read| !is_declaring(read, unit));
        let (many, few): (Group, BTreeSet<Read>) = reads.partition(is_common);
        self.record_group(number, many);
        self.record_own(number, few);
        self.tidy(number);
    }

    /// The units that read an object which has changed, or the lists that it is in. `objects` has the change.
    pub(super) fn dirtied(
        &self,
        objects: &Objects,
        key: &ObjectKey,
        (before, after): (Option<&Object>, Option<&Object>),
    ) -> Vec<Unit> {
        let mut reads = vec![Read::Object(key.clone()), Read::All(key.kind, key.namespace.clone())];
        if before.is_some() != after.is_some() {
            reads.push(Read::Names(key.kind, key.namespace.clone()));
            let others = usize::from(after.is_some());
            if objects.of_kind(key.kind).take(others + 1).count() == others {
                reads.push(Read::Any(key.kind));
            }
        }
        reads.extend(before.and_then(service_of).map(Read::Slices));
        reads.extend(after.and_then(service_of).map(Read::Slices));
        reads.iter().flat_map(|read| self.reading(read)).cloned().collect()
    }

    /// The units that looked at who declares a unit.
    pub(super) fn reading_declarers(&self, unit: &Unit) -> Vec<Unit> {
        self.reading(&Read::Declaring(unit.clone())).cloned().collect()
    }

    /// Says whether a host has TLS; returns the units that did not know.
    pub(super) fn set_tls(&mut self, host: &HostMatch, has: bool) -> Vec<Unit> {
        let changed = match has {
            true => self.known.with_tls.insert(host.clone()),
            false => self.known.with_tls.remove(host),
        };
        match changed {
            true => self.reading(&Read::HasTls(host.clone())).cloned().collect(),
            false => Vec::new(),
        }
    }

    /// Takes what a unit holds; [`hold`](Self::hold) follows.
    pub(super) fn take_held(&mut self, unit: &Unit) -> Held {
        let number = self.known.units.find(unit);
        number.map(|number| std::mem::take(&mut self.note(number).held)).unwrap_or_default()
    }

    /// Notes what a unit holds.
    pub(super) fn hold(&mut self, unit: &Unit, held: Held) {
        let number = match held.is_empty() {
            true => self.known.units.find(unit),
            false => Some(self.known.units.number(unit)),
        };
        if let Some(number) = number {
            self.note(number).held = held;
            self.tidy(number);
        }
    }

    fn record_own(&mut self, number: Number, reads: BTreeSet<Read>) {
        let before = std::mem::take(&mut self.note(number).own);
        let mut after = Vec::with_capacity(reads.len());
        for read in reads {
            let known = self.readers.get_key_value(&read).map(|(read, _)| read.clone());
            let is_old = before.binary_search_by(|old| (**old).cmp(&read)).is_ok();
            let read = known.unwrap_or_else(|| Arc::new(read));
            if !is_old {
                self.readers.entry(read.clone()).or_default().insert(number);
            }
            after.push(read);
        }
        for read in before.iter().filter(|read| after.binary_search(read).is_err()) {
            if let Some(units) = self.readers.get_mut(read) {
                units.remove(&number);
                if units.is_empty() {
                    self.readers.remove(read);
                }
            }
        }
        self.note(number).own = after.into();
    }

    fn record_group(&mut self, number: Number, reads: Group) {
        let before = self.note(number).group.take();
        if before.as_ref().is_some_and(|before| **before == reads) {
            self.note(number).group = before;
            return;
        }
        if !reads.is_empty() {
            let known = self.groups.get_key_value(&reads).map(|(group, _)| group.clone());
            let group = known.unwrap_or_else(|| self.make_group(reads));
            self.groups.entry(group.clone()).or_default().insert(number);
            self.note(number).group = Some(group);
        }
        if let Some(before) = before
            && let Some(units) = self.groups.get_mut(&before)
        {
            units.remove(&number);
            if units.is_empty() {
                self.remove_group(&before);
            }
        }
    }

    fn make_group(&mut self, reads: Group) -> Arc<Group> {
        let group = Arc::new(reads);
        for read in &*group {
            self.groups_of.entry(read.clone()).or_default().insert(group.clone());
        }
        group
    }

    fn remove_group(&mut self, group: &Arc<Group>) {
        self.groups.remove(group);
        for read in &**group {
            if let Some(groups) = self.groups_of.get_mut(read) {
                groups.remove(group);
                if groups.is_empty() {
                    self.groups_of.remove(read);
                }
            }
        }
    }

    fn note(&mut self, number: Number) -> &mut Note {
        while self.notes.len() <= number.index() {
            known::push(&mut self.notes, Note::default());
        }
        &mut self.notes[number.index()]
    }

    /// Forgets a unit of which nothing is known.
    fn tidy(&mut self, number: Number) {
        if self.note(number).is_empty() && !self.known.units.is_declared(number) {
            self.known.units.forget(number);
        }
    }

    fn reading(&self, read: &Read) -> impl Iterator<Item = &Unit> {
        let few = self.readers.get(read);
        let groups = self.groups_of.get(read).into_iter().flat_map(Few::iter);
        let many = groups.filter_map(|group| self.groups.get(group));
        few.into_iter().chain(many).flat_map(Few::iter).map(|number| self.known.units.unit(*number))
    }
}

/// Whether what was read is who declares this unit.
fn is_declaring(read: &Read, unit: &Unit) -> bool {
    matches!(read, Read::Declaring(declared) if declared == unit)
}

/// Whether it is a matter of the whole Kubernetes cluster, which nearly all units read if one does.
fn is_common(read: &Read) -> bool {
    match read {
        Read::Any(_) => true,
        Read::Object(ObjectKey { namespace, .. }) | Read::All(_, namespace) | Read::Names(_, namespace) => {
            namespace.is_empty()
        }
        Read::Slices(_) | Read::Declaring(_) | Read::HasTls(_) => false,
    }
}
