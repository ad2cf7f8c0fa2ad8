//! Who declares and who reads what, so that a change reaches exactly those that it concerns.

use std::{
    cmp::Ordering,
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use foldhash::quality::RandomState;

use crate::{
    kube::{
        few::Few,
        objects::{Object, ObjectKey},
        reader::{Known, Read, Unit},
        store::{Objects, service_of},
    },
    model::HostMatch,
};

/// Declarations and recorded reads, in both directions. Each unit and each read is kept once.
#[derive(Debug, Default)]
pub(super) struct Dependencies {
    known: Known,
    /// What each unit has read, sorted.
    reads: HashMap<Arc<Unit>, Box<[Arc<Read>]>, RandomState>,
    readers: HashMap<Arc<Read>, Few<Reading>, RandomState>,
}

/// A unit that has read something, as `reads` has it. As there is just one of each there, its address tells it apart
/// from the others: some things are read by all hosts, and names take longer to compare.
#[derive(Clone, Debug)]
struct Reading(Arc<Unit>);

impl Reading {
    fn address(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }
}

impl PartialEq for Reading {
    fn eq(&self, other: &Self) -> bool {
        self.address() == other.address()
    }
}

impl Eq for Reading {}

impl Ord for Reading {
    fn cmp(&self, other: &Self) -> Ordering {
        self.address().cmp(&other.address())
    }
}

impl PartialOrd for Reading {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Dependencies {
    pub(super) fn known(&self) -> &Known {
        &self.known
    }

    pub(super) fn is_declared(&self, unit: &Unit) -> bool {
        self.known.declarations.contains_key(unit)
    }

    /// An object now declares other units than before.
    pub(super) fn declare(&mut self, key: &ObjectKey, before: &[Unit], after: &[Unit]) {
        for unit in before.iter().filter(|unit| !after.contains(unit)) {
            if let Some(keys) = self.known.declarations.get_mut(unit) {
                keys.remove(key);
                if keys.is_empty() {
                    self.known.declarations.remove(unit);
                }
            }
        }
        for unit in after {
            match self.known.declarations.get_mut(unit) {
                Some(keys) => keys.insert(key.clone()),
                None => drop(self.known.declarations.insert(self.kept(unit), Few::One(key.clone()))),
            }
        }
    }

    /// Replaces what a unit read when it was last translated. Who declares the unit itself is not kept: a change of those
    /// concerns it in any case.
    pub(super) fn record(&mut self, unit: &Unit, reads: BTreeSet<Read>) {
        let known = self.reads.remove_entry(unit);
        let (unit, before) = known.unwrap_or_else(|| (self.kept(unit), Box::default()));
        let is_old = |read: &Read| before.binary_search_by(|old| (**old).cmp(read)).is_ok();
        let mut after = Vec::with_capacity(reads.len());
        for read in reads.into_iter().filter(|read| !is_declaring(read, &unit)) {
            let known = self.readers.get_key_value(&read).map(|(read, _)| read.clone());
            let is_old = is_old(&read);
            let read = known.unwrap_or_else(|| Arc::new(read));
            if !is_old {
                self.readers.entry(read.clone()).or_default().insert(Reading(unit.clone()));
            }
            after.push(read);
        }
        for read in before.iter().filter(|read| after.binary_search(read).is_err()) {
            if let Some(units) = self.readers.get_mut(read) {
                units.remove(&Reading(unit.clone()));
                if units.is_empty() {
                    self.readers.remove(read);
                }
            }
        }
        if !after.is_empty() {
            self.reads.insert(unit, after.into());
        }
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

    /// A unit as its declarations or what it read have it, or else to be kept.
    pub(super) fn kept(&self, unit: &Unit) -> Arc<Unit> {
        let declared = self.known.declarations.get_key_value(unit).map(|(unit, _)| unit);
        let known = declared.or_else(|| self.reads.get_key_value(unit).map(|(unit, _)| unit));
        known.cloned().unwrap_or_else(|| Arc::new(unit.clone()))
    }

    fn reading(&self, read: &Read) -> impl Iterator<Item = &Unit> {
        self.readers.get(read).into_iter().flat_map(Few::iter).map(|reading| &*reading.0)
    }
}

/// Whether what was read is who declares this unit.
fn is_declaring(read: &Read, unit: &Unit) -> bool {
    matches!(read, Read::Declaring(declared) if declared == unit)
}
