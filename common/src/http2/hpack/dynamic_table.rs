//! The table that grows with what is sent (RFC 7541 §2.3.2 and §4), without memory of its own for each entry.

use std::collections::VecDeque;

/// What an entry counts beside its bytes (RFC 7541 §4.1).
const ENTRY_BYTES: usize = 32;

/// The newest fields, as many as have room. The tag is what the owner knows of an entry.
pub(super) struct DynamicTable<T> {
    /// The newest one in front.
    entries: VecDeque<Slot<T>>,
    /// Names and values, the newest ones at the end. What lies in front of the oldest entry is of no use any more.
    bytes: Vec<u8>,
    size: usize,
    limit: usize,
}

struct Slot<T> {
    /// Where the name begins; the value follows it.
    start: u32,
    name_length: u32,
    value_length: u32,
    tag: T,
}

/// An entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry<'a, T> {
    pub(super) tag: T,
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
}

/// Number of bytes that an entry counts.
pub(super) fn entry_size(name_length: usize, value_length: usize) -> usize {
    name_length + value_length + ENTRY_BYTES
}

impl<T: Copy> DynamicTable<T> {
    /// An empty table, for which nothing is allocated yet.
    pub(super) fn new(limit: usize) -> Self {
        Self { entries: VecDeque::new(), bytes: Vec::new(), size: 0, limit }
    }

    /// The most that all entries may count.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Sets another limit, and removes what is over it.
    pub(super) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
        self.evict();
    }

    /// An entry by how many came after it.
    #[inline]
    pub(super) fn get(&self, age: usize) -> Option<Entry<'_, T>> {
        let Slot { start, name_length, value_length, tag } = self.entries.get(age)?;
        let both = self.bytes.get(*start as usize..)?.get(..(name_length + value_length) as usize)?;
        let (name, value) = both.split_at_checked(*name_length as usize)?;
        Some(Entry { tag: *tag, name, value })
    }

    /// Adds an entry, for which the oldest ones make room. One that is too large for the table empties it
    /// (RFC 7541 §4.4).
    pub(super) fn insert(&mut self, tag: T, name: &[u8], value: &[u8]) {
        if self.make_room(name.len(), value.len()) {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(name);
            self.push(start, tag, name.len(), value);
        }
    }

    /// As [`DynamicTable::insert`], with the name of an entry, which may be among those that make room.
    pub(super) fn insert_named_as(&mut self, age: usize, tag: T, value: &[u8]) {
        let Some(length) = self.entries.get(age).map(|entry| entry.name_length as usize) else { return };
        if self.make_room(length, value.len()) {
            let (start, from) = (self.bytes.len(), self.entries[age].start as usize);
            self.bytes.extend_from_within(from..from + length);
            self.push(start, tag, length, value);
        }
    }

    /// Appends an entry whose name is at the end of the bytes.
    fn push(&mut self, start: usize, tag: T, name_length: usize, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        let (name_length, value_length) = (name_length as u32, value.len() as u32);
        self.entries.push_front(Slot { start: start as u32, name_length, value_length, tag });
        self.size += entry_size(name_length as usize, value_length as usize);
        self.evict();
    }

    /// Sees to it that the bytes of another entry can be appended; `false` if it is too large for the table, which is
    /// then empty. No entry is removed otherwise, so that the name of one can be copied.
    fn make_room(&mut self, name_length: usize, value_length: usize) -> bool {
        if entry_size(name_length, value_length) > self.limit {
            self.entries.clear();
            self.bytes.clear();
            self.size = 0;
            return false;
        }
        let unused = self.entries.back().map_or(self.bytes.len(), |oldest| oldest.start as usize);
        let is_full = self.bytes.len() + name_length + value_length > self.bytes.capacity();
        // Only if at least half is of no use: whatever is moved makes room for as much.
        if is_full && unused >= self.bytes.len() - unused {
            self.bytes.drain(..unused);
            self.entries.iter_mut().for_each(|entry| entry.start -= unused as u32);
        }
        true
    }

    fn evict(&mut self) {
        while self.size > self.limit
            && let Some(oldest) = self.entries.pop_back()
        {
            self.size -= entry_size(oldest.name_length as usize, oldest.value_length as usize);
        }
    }

    /// Number of entries, what they count, and what is allocated for their bytes and for themselves.
    #[cfg(test)]
    pub(super) fn figures(&self) -> [usize; 4] {
        [self.entries.len(), self.size, self.bytes.capacity(), self.entries.capacity()]
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::Numbers, *};

    type Model = Vec<(usize, Vec<u8>, Vec<u8>)>;

    fn shown(table: &DynamicTable<usize>) -> Model {
        let entries = (0..).map_while(|age| table.get(age));
        entries.map(|entry| (entry.tag, entry.name.to_vec(), entry.value.to_vec())).collect()
    }

    fn add(model: &mut Model, limit: usize, entry: (usize, Vec<u8>, Vec<u8>)) {
        model.insert(0, entry);
        let size =
            |model: &Model| model.iter().map(|(_, name, value)| name.len() + value.len() + 32).sum::<usize>();
        while size(model) > limit {
            model.pop();
        }
    }

    #[test]
    fn entries_are_those_of_a_model_through_changing_limits() {
        let (mut numbers, mut table, mut model, mut limit) =
            (Numbers(5), DynamicTable::new(300), Model::new(), 300);
        for round in 0..20_000 {
            let most = [3, 40, 400][numbers.below(3)];
            let value = vec![round as u8; numbers.below(most)];
            match numbers.below(20) {
                0 => {
                    limit = [0, 31, 64, 300, 1000][numbers.below(5)];
                    table.set_limit(limit);
                    model.truncate(table.figures()[0]);
                    assert!(table.figures()[1] <= limit);
                }
                1..10 if !model.is_empty() => {
                    let age = numbers.below(model.len());
                    table.insert_named_as(age, round, &value);
                    let name = model[age].1.clone();
                    add(&mut model, limit, (round, name, value));
                }
                _ => {
                    let name = vec![b'a' + (round % 26) as u8; numbers.below(30)];
                    table.insert(round, &name, &value);
                    add(&mut model, limit, (round, name, value));
                }
            }
            assert_eq!(shown(&table), model, "{round}");
        }
    }

    #[test]
    fn an_entry_that_is_too_large_empties_the_table() {
        let mut table = DynamicTable::new(100);
        table.insert(0, b"name", &[b'v'; 64]);
        assert_eq!(table.figures()[..2], [1, 100]);
        table.insert(0, b"name", &[b'v'; 65]);
        assert_eq!(table.figures()[..2], [0, 0]);
    }

    #[test]
    fn a_name_outlives_the_entry_that_it_is_taken_from() {
        let mut table = DynamicTable::new(80);
        table.insert(1, b"name", b"first");
        table.insert_named_as(0, 2, &[b'v'; 30]);
        assert_eq!(shown(&table), [(2, b"name".to_vec(), vec![b'v'; 30])]);
    }

    #[test]
    fn nothing_is_allocated_before_the_first_entry_nor_once_the_table_has_been_full() {
        let mut table = DynamicTable::new(4096);
        assert_eq!(table.figures(), [0; 4]);
        let mut numbers = Numbers(9);
        let mut fill = |table: &mut DynamicTable<()>| {
            for _ in 0..5000 {
                table.insert((), b"name", &[b'v'; 200][..numbers.below(200)]);
            }
            [table.figures()[2], table.figures()[3]]
        };
        let allocated = fill(&mut table);
        assert_eq!(fill(&mut table), allocated);
        assert!(allocated[0] <= 8192 && allocated[1] <= 128, "{allocated:?}");
    }
}
