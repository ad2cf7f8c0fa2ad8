//! Compiled hosts by name, found with one probe, in shards that tables share until one of their hosts changes.

use std::{collections::HashMap, hash::BuildHasher, sync::Arc};

use foldhash::fast::RandomState;

use super::hosts::{HostName, HostTable};

/// Hosts of a shard, about: a table that changes copies one shard, and a step for each group and each shard of one.
const USUAL: usize = 16;
/// Hosts of a shard on average that make more shards worth their while.
const MOST: usize = 32;

/// Compiled hosts by name. A copy shares all groups; a change copies the list of one group and the shard of the host.
#[derive(Debug)]
pub(super) struct HostMap<R> {
    /// As many as a power of two, and each has as many shards as a power of two, about as many as there are groups.
    groups: Box<[Group<R>]>,
    len: usize,
    hasher: RandomState,
}

type Group<R> = Arc<[Arc<Shard<R>>]>;

type Shard<R> = HashMap<HostName, Arc<HostTable<R>>, RandomState>;

impl<R> HostMap<R> {
    /// A map with room for so many hosts.
    pub(super) fn with_room(hosts: usize) -> Self {
        let shards = (hosts / USUAL).next_power_of_two();
        let groups = 1 << (shards.ilog2() / 2);
        let group = || (0..shards / groups).map(|_| Arc::default()).collect();
        Self { groups: (0..groups).map(|_| group()).collect(), len: 0, hasher: RandomState::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The host of this name.
    pub(super) fn get(&self, name: &[u8]) -> Option<&Arc<HostTable<R>>> {
        let (group, shard) = self.place_of(name);
        self.groups[group][shard].get(name)
    }

    pub(super) fn insert(&mut self, name: Arc<str>, host: Arc<HostTable<R>>) {
        if self.len >= MOST * self.shard_count() {
            self.grow();
        }
        let before = self.shard_mut(name.as_bytes()).insert(HostName(name), host);
        self.len += usize::from(before.is_none());
    }

    pub(super) fn remove(&mut self, name: &str) {
        let gone = self.shard_mut(name.as_bytes()).remove(name.as_bytes());
        self.len -= usize::from(gone.is_some());
    }

    /// All names, in no order.
    pub(super) fn names(&self) -> impl Iterator<Item = &HostName> {
        self.shards().flat_map(|shard| shard.keys())
    }

    /// How many shards it does not share with another map.
    #[cfg(test)]
    pub(super) fn own_shards(&self, other: &Self) -> usize {
        let is_own = |shard: &&Arc<Shard<R>>| !other.shards().any(|known| Arc::ptr_eq(known, shard));
        self.shards().filter(is_own).count()
    }

    fn shards(&self) -> impl Iterator<Item = &Arc<Shard<R>>> {
        self.groups.iter().flat_map(|group| group.iter())
    }

    fn shard_count(&self) -> usize {
        self.groups.len() * self.groups[0].len()
    }

    fn shard_mut(&mut self, name: &[u8]) -> &mut Shard<R> {
        let (group, shard) = self.place_of(name);
        Arc::make_mut(&mut Arc::make_mut(&mut self.groups[group])[shard])
    }

    /// Which group a name belongs to, and which shard of it.
    fn place_of(&self, name: &[u8]) -> (usize, usize) {
        if self.shard_count() == 1 {
            return (0, 0);
        }
        let (groups, shards) = (self.groups.len(), self.groups[0].len());
        // The high half: maps choose by the low bits of hashes of their own.
        let hash = (self.hasher.hash_one(name) >> 32) as usize;
        (hash & (groups - 1), (hash >> 16) & (shards - 1))
    }

    fn grow(&mut self) {
        let mut larger = Self::with_room(2 * self.len);
        for shard in self.shards() {
            for (HostName(name), host) in shard.iter() {
                larger.insert(name.clone(), host.clone());
            }
        }
        *self = larger;
    }
}

impl<R> Clone for HostMap<R> {
    fn clone(&self) -> Self {
        Self { groups: self.groups.clone(), len: self.len, hasher: self.hasher.clone() }
    }
}
