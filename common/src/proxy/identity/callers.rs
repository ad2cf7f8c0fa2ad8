//! Callers: who is behind an address, read without a lock.

use std::{
    collections::{BTreeMap, HashMap},
    hash::BuildHasher,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;

use crate::model::Source;

/// Parts that the addresses are spread over; a change copies one part of them.
const SHARDS: usize = 64;

type Shard = HashMap<IpAddr, Arc<Source>, RandomState>;

/// Who is behind each address. Sources that are equal are the same `Arc`, so that those who keep something for a
/// source know it by its pointer.
pub struct Callers {
    shards: Vec<ArcSwap<Shard>>,
    hasher: RandomState,
    /// Grows with each change.
    generation: AtomicU64,
    /// Sources in use. Locked for changes only.
    sources: Mutex<BTreeMap<Source, Weak<Source>>>,
}

impl Default for Callers {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| ArcSwap::default()).collect(),
            hasher: RandomState::default(),
            // A connection that has looked nothing up yet is at 0.
            generation: AtomicU64::new(1),
            sources: Mutex::default(),
        }
    }
}

impl Callers {
    /// Grows with each change: what was found at the same generation is still right.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Who is behind an address.
    pub fn find(&self, address: IpAddr) -> Option<Arc<Source>> {
        let address = address.to_canonical();
        self.shards[self.shard(address)].load().get(&address).cloned()
    }

    /// Takes changes in; says whether anything differs.
    pub fn apply(&self, changes: Vec<(IpAddr, Option<Arc<Source>>)>) -> bool {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let mut shards: BTreeMap<usize, Shard> = BTreeMap::new();
        let mut changed = false;
        for (address, source) in changes {
            let address = address.to_canonical();
            let index = self.shard(address);
            let shard = shards.entry(index).or_insert_with(|| Shard::clone(&self.shards[index].load()));
            if shard.get(&address) == source.as_ref() {
                continue;
            }
            changed = true;
            match source {
                Some(source) => drop(shard.insert(address, intern(&mut sources, source))),
                None => drop(shard.remove(&address)),
            }
        }
        if !changed {
            return false;
        }
        for (index, shard) in shards {
            self.shards[index].store(Arc::new(shard));
        }
        sources.retain(|_, source| source.strong_count() > 0);
        self.generation.fetch_add(1, Ordering::Release);
        true
    }

    /// The one `Arc` of this source, for one that was found in another way than by its address.
    pub fn intern(&self, source: Source) -> Arc<Source> {
        intern(&mut self.sources.lock().unwrap_or_else(PoisonError::into_inner), Arc::new(source))
    }

    fn shard(&self, address: IpAddr) -> usize {
        self.hasher.hash_one(address) as usize % SHARDS
    }
}

/// The one `Arc` of all sources that are equal to this one.
fn intern(sources: &mut BTreeMap<Source, Weak<Source>>, source: Arc<Source>) -> Arc<Source> {
    if let Some(known) = sources.get(&*source).and_then(Weak::upgrade) {
        return known;
    }
    sources.insert(Source::clone(&source), Arc::downgrade(&source));
    source
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Caller;

    fn source(name: &str) -> Option<Arc<Source>> {
        Some(Arc::new(Source::of_caller(Arc::new(Caller::new("shop", name)))))
    }

    fn address(last: u32) -> IpAddr {
        IpAddr::from((0x0a00_0000 + last).to_be_bytes())
    }

    #[test]
    fn every_address_is_found_until_it_is_gone() {
        let callers = Callers::default();
        assert!(callers.apply((0..1000).map(|n| (address(n), source("web"))).collect()));
        assert!((0..1000).all(|n| callers.find(address(n)) == source("web")));
        let before = callers.generation();
        assert!(callers.apply(vec![(address(5), None), (address(6), source("api"))]));
        assert!(callers.generation() > before);
        assert_eq!((callers.find(address(5)), callers.find(address(6))), (None, source("api")));
        assert_eq!(callers.find(address(7)), source("web"));
    }

    #[test]
    fn what_changes_nothing_leaves_the_generation() {
        let callers = Callers::default();
        callers.apply(vec![(address(1), source("web"))]);
        let before = callers.generation();
        assert!(!callers.apply(vec![(address(1), source("web")), (address(2), None)]));
        assert!(!callers.apply(Vec::new()));
        assert_eq!(callers.generation(), before);
    }

    #[test]
    fn equal_sources_are_one_and_are_forgotten_when_unused() {
        let callers = Callers::default();
        callers.apply(vec![(address(1), source("web")), (address(2), source("web"))]);
        callers.apply(vec![(address(3), source("web"))]);
        let found: Vec<_> = (1..4).filter_map(|n| callers.find(address(n))).collect();
        assert!(found.iter().all(|source| Arc::ptr_eq(source, &found[0])) && found.len() == 3);
        drop(found);
        callers.apply((1..4).map(|n| (address(n), None)).collect());
        assert!(callers.sources.lock().unwrap().is_empty());
    }

    #[test]
    fn a_mapped_address_is_the_address_it_maps() {
        let callers = Callers::default();
        callers.apply(vec![("10.0.0.9".parse().unwrap(), source("web"))]);
        assert_eq!(callers.find("::ffff:10.0.0.9".parse().unwrap()), source("web"));
    }
}
