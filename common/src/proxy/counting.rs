//! Counting: how many requests of one client are being served at once, where a filter limits that.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use super::{exchange::Exchange, shared::Shared};
use crate::filter::Reply;

/// Parts of the counts, so that clients of different parts do not wait for each other.
const PARTS: usize = 16;

/// The requests that are being served, by what counts them and the client's address. Whoever has none takes no room.
#[derive(Debug, Default)]
pub struct Counts {
    /// Keys as hashes with a secret, so that nobody can make two of them meet.
    parts: [Mutex<HashMap<u64, u32, foldhash::fast::RandomState>>; PARTS],
    hasher: RandomState,
}

/// A request that is counted as long as this lives.
pub struct Counted {
    shared: Arc<Shared>,
    key: u64,
}

impl Counts {
    /// Counts a request and says by which key, if there are fewer than `most`.
    fn enter(&self, id: &str, client: IpAddr, most: u32) -> Option<u64> {
        self.enter_by(self.hasher.hash_one((id, client.to_canonical())), most)
    }

    /// The same for whoever has this text.
    fn enter_as(&self, id: &str, text: &[u8], most: u32) -> Option<u64> {
        self.enter_by(self.hasher.hash_one((id, text)), most)
    }

    fn enter_by(&self, key: u64, most: u32) -> Option<u64> {
        let mut part = self.part(key).lock().unwrap_or_else(PoisonError::into_inner);
        let count = part.get(&key).copied().unwrap_or(0);
        if count >= most {
            return None;
        }
        part.insert(key, count + 1);
        Some(key)
    }

    /// A request that was counted by this key has ended.
    fn leave(&self, key: u64) {
        let mut part = self.part(key).lock().unwrap_or_else(PoisonError::into_inner);
        match part.get_mut(&key) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(part.remove(&key)),
        }
    }

    fn part(&self, key: u64) -> &Mutex<HashMap<u64, u32, foldhash::fast::RandomState>> {
        &self.parts[key as usize % PARTS]
    }
}

/// Counts a request until it ends, by a text or by the address of its client, or says how it is refused as there are too
/// many.
pub fn enter(
    x: &mut Exchange<'_>,
    (id, text): (&str, Option<&[u8]>),
    (most, status): (u32, u16),
) -> Result<(), Reply> {
    let shared = x.worker().shared.clone();
    let key = match text {
        None => shared.counts.enter(id, x.client_ip, most),
        Some(text) => shared.counts.enter_as(id, text, most),
    };
    let key = key.ok_or_else(|| Reply::refusal(status, "too_many_requests"))?;
    x.counted.push(Counted { shared, key });
    Ok(())
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.shared.counts.leave(self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_its_own_count_for_each_limit() {
        let counts = Counts::default();
        let client = |last| IpAddr::from([192, 0, 2, last]);
        let first = counts.enter("a", client(1), 2).unwrap();
        assert!(counts.enter("a", client(1), 2).is_some());
        assert_eq!(counts.enter("a", client(1), 2), None);
        assert_eq!(counts.enter("a", "::ffff:192.0.2.1".parse().unwrap(), 2), None);
        assert!(counts.enter("a", client(2), 1).is_some() && counts.enter("b", client(1), 1).is_some());
        assert_eq!(counts.enter("c", client(1), 0), None);
        assert!(counts.enter_as("a", b"mia", 1).is_some() && counts.enter_as("a", b"ben", 1).is_some());
        assert_eq!(counts.enter_as("a", b"mia", 1), None);
        counts.leave(first);
        assert_eq!(counts.enter("a", client(1), 2), Some(first));
    }

    #[test]
    fn who_has_left_takes_no_room() {
        let counts = Counts::default();
        let keys: Vec<_> =
            (0..100).map(|last| counts.enter("a", [10, 0, 0, last].into(), 1).unwrap()).collect();
        keys.into_iter().for_each(|key| counts.leave(key));
        assert!(counts.parts.iter().all(|part| part.lock().unwrap().is_empty()));
    }
}
