//! What is known beside the objects themselves: units by number, who declares each, and which hosts have TLS.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use foldhash::quality::RandomState;

use super::{few::Few, objects::ObjectKey, reader::Unit};
use crate::model::HostMatch;

/// Units with who declares them, and which hosts have TLS.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) units: Units,
    /// Hosts whose translation says that they have TLS.
    pub(super) with_tls: BTreeSet<HostMatch>,
}

/// The place of a unit among those that are known. It may become that of another one when the unit is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Number(u32);

/// Units by number: each is named once, and whatever is noted of it is noted under its number.
#[derive(Debug, Default)]
pub(super) struct Units {
    numbers: HashMap<Arc<Unit>, Number, RandomState>,
    /// At the place of a number that is free is the unit that had it last.
    entries: Vec<Entry>,
    free: Vec<Number>,
}

#[derive(Debug)]
struct Entry {
    unit: Arc<Unit>,
    /// The units of the objects that declare it: their names are there already.
    declared_by: Few<Arc<Unit>>,
}

impl Number {
    /// The same as a place in a list.
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

impl Units {
    /// The number of a unit, if it has one.
    pub(super) fn find(&self, unit: &Unit) -> Option<Number> {
        self.numbers.get(unit).copied()
    }

    /// The number of a unit, which it gets if it has none.
    pub(super) fn number(&mut self, unit: &Unit) -> Number {
        if let Some(number) = self.find(unit) {
            return number;
        }
        let unit = Arc::new(unit.clone());
        let entry = Entry { unit: unit.clone(), declared_by: Few::default() };
        let number = match self.free.pop() {
            Some(number) => {
                self.entries[number.index()] = entry;
                number
            }
            None => {
                let next = u32::try_from(self.entries.len()).expect("there are fewer than 2^32 units");
                push(&mut self.entries, entry);
                Number(next)
            }
        };
        self.numbers.insert(unit, number);
        number
    }

    /// The unit of a number.
    pub(super) fn unit(&self, number: Number) -> &Unit {
        &self.entries[number.index()].unit
    }

    /// Gives up a number of which nothing is noted any more.
    pub(super) fn forget(&mut self, number: Number) {
        self.numbers.remove(&self.entries[number.index()].unit);
        self.free.push(number);
    }

    /// Whether any object declares the unit of this number.
    pub(super) fn is_declared(&self, number: Number) -> bool {
        !self.entries[number.index()].declared_by.is_empty()
    }

    /// Every object that declares a unit, by kind, namespace and name.
    pub(super) fn declaring<'u>(&'u self, unit: &Unit) -> impl Iterator<Item = &'u ObjectKey> + use<'u> {
        let entry = self.find(unit).map(|number| &self.entries[number.index()]);
        let units = entry.into_iter().flat_map(|entry| entry.declared_by.iter());
        units.filter_map(|unit| match &**unit {
            Unit::Object(key) => Some(key),
            _ => None,
        })
    }

    /// An object now declares a unit.
    pub(super) fn declare(&mut self, number: Number, object: &ObjectKey) {
        let object = self.of_object(object);
        self.entries[number.index()].declared_by.insert(object);
    }

    /// An object declares a unit no more.
    pub(super) fn withdraw(&mut self, number: Number, object: &ObjectKey) {
        let object = self.of_object(object);
        self.entries[number.index()].declared_by.remove(&object);
    }

    /// The unit of an object, as it is kept here if it has a number.
    fn of_object(&self, key: &ObjectKey) -> Arc<Unit> {
        let unit = Unit::Object(key.clone());
        match self.find(&unit) {
            Some(number) => self.entries[number.index()].unit.clone(),
            None => Arc::new(unit),
        }
    }
}

/// Puts something at the end of a list that may become very long, and so has not twice the room that it takes.
pub(super) fn push<T>(list: &mut Vec<T>, item: T) {
    if list.len() == list.capacity() {
        list.reserve_exact(list.len() / 8 + 16);
    }
    list.push(item);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kube::objects::Kind;

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new(Kind::Ingress, "default", name)
    }

    #[test]
    fn a_unit_keeps_its_number_until_it_is_forgotten() {
        let mut units = Units::default();
        let [one, other] = [Unit::Object(key("a")), Unit::Base].map(|unit| (units.number(&unit), unit));
        assert_ne!(one.0, other.0);
        assert_eq!((units.number(&one.1), units.unit(one.0)), (one.0, &one.1));
        units.forget(one.0);
        assert_eq!((units.find(&one.1), units.find(&other.1)), (None, Some(other.0)));
        let next = Unit::Object(key("b"));
        assert_eq!(units.number(&next), one.0, "its number is free again");
        assert_eq!((units.unit(one.0), units.entries.len()), (&next, 2));
    }

    #[test]
    fn who_declares_a_unit_is_told_by_name() {
        let mut units = Units::default();
        let number = units.number(&Unit::Base);
        assert!(!units.is_declared(number));
        for name in ["c", "a", "b", "a"] {
            units.declare(number, &key(name));
        }
        units.withdraw(number, &key("b"));
        assert!(units.declaring(&Unit::Base).eq(&[key("a"), key("c")]));
        assert_eq!(units.declaring(&Unit::Object(key("a"))).count(), 0);
        ["a", "c"].iter().for_each(|name| units.withdraw(number, &key(name)));
        assert!(!units.is_declared(number));
    }
}
