//! Compiled hosts by name, found with one probe, in shards that tables share until one of their hosts changes.

use std::{collections::HashMap, hash::BuildHasher, sync::Arc};

use foldhash::fast::RandomState;

use super::hosts::{HostName, HostTable};

/// Hosts of a shard, about: a table that changes copies one shard, and a step for each shard.
const USUAL: usize = 64;
/// Hosts of a shard on average that make more shards worth their while.
const MOST: usize = 128;

/// Compiled hosts by name. A copy shares all shards; a change copies the shard of the host alone.
#[derive(Debug)]
pub(super) struct HostMap<R> {
    /// As many as a power of two.
    shards: Box<[Arc<Shard<R>>]>,
    len: usize,
    hasher: RandomState,
}

type Shard<R> = HashMap<HostName, Arc<HostTable<R>>, RandomState>;

impl<R> HostMap<R> {
    /// A map with room for so many hosts.
    pub(super) fn with_room(hosts: usize) -> Self {
        let count = (hosts / USUAL).next_power_of_two();
        Self { shards: (0..count).map(|_| Arc::default()).collect(), len: 0, hasher: RandomState::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The host of this name.
    pub(super) fn get(&self, name: &[u8]) -> Option<&Arc<HostTable<R>>> {
        self.shards[self.shard_of(name)].get(name)
    }

    pub(super) fn insert(&mut self, name: Arc<str>, host: Arc<HostTable<R>>) {
        if self.len >= MOST * self.shards.len() {
            self.grow();
        }
        let shard = self.shard_of(name.as_bytes());
        let before = Arc::make_mut(&mut self.shards[shard]).insert(HostName(name), host);
        self.len += usize::from(before.is_none());
    }

    pub(super) fn remove(&mut self, name: &str) {
        let shard = self.shard_of(name.as_bytes());
        let gone = Arc::make_mut(&mut self.shards[shard]).remove(name.as_bytes());
        self.len -= usize::from(gone.is_some());
    }

    /// All names, in no order.
    pub(super) fn names(&self) -> impl Iterator<Item = &HostName> {
        self.shards.iter().flat_map(|shard| shard.keys())
    }

    /// How many shards it does not share with another map.
    #[cfg(test)]
    pub(super) fn own_shards(&self, other: &Self) -> usize {
        let is_shared = |shard: &&Arc<Shard<R>>| other.shards.iter().any(|known| Arc::ptr_eq(known, shard));
        self.shards.len() - self.shards.iter().filter(is_shared).count()
    }

    fn shard_of(&self, name: &[u8]) -> usize {
        match self.shards.len() {
            1 => 0,
            // The high half: maps choose by the low bits of hashes of their own.
            count => (self.hasher.hash_one(name) >> 32) as usize & (count - 1),
        }
    }

    fn grow(&mut self) {
        let mut larger = Self::with_room(2 * self.len);
        for shard in &self.shards {
            for (HostName(name), host) in shard.iter() {
                larger.insert(name.clone(), host.clone());
            }
        }
        *self = larger;
    }
}

impl<R> Clone for HostMap<R> {
    fn clone(&self) -> Self {
        Self { shards: self.shards.clone(), len: self.len, hasher: self.hasher.clone() }
    }
}
