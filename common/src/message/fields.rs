//! Header fields: an ordered list over one buffer, cheap to fill, to search and to copy through.

use std::fmt;

use super::Known;

/// A range of bytes in the buffer of a [`Fields`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// The range from `start` to `end`, which must not be smaller.
    pub fn new(start: usize, end: usize) -> Self {
        debug_assert!(start <= end);
        Self { start: start as u32, end: end as u32 }
    }

    /// The first `length` bytes, and the rest.
    pub fn split(self, length: usize) -> (Self, Self) {
        debug_assert!(length <= self.len());
        let middle = self.start + length as u32;
        (Self { start: self.start, end: middle }, Self { start: middle, end: self.end })
    }

    /// Number of bytes.
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether it holds no byte.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

#[derive(Clone, Copy)]
struct Entry {
    known: Known,
    name: Span,
    value: Span,
}

/// Header or trailer fields in their order, names in the case they came in.
///
/// Names and values live in one buffer that only grows until [`Fields::clear`], so a cleared value can be
/// filled again without allocation. Neither ever holds CR, LF or NUL: whoever stores bytes from outside
/// checks them first.
#[derive(Clone, Default)]
pub struct Fields {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

impl Fields {
    /// Removes everything and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Copies bytes into the buffer without making them a field.
    pub fn store(&mut self, bytes: &[u8]) -> Span {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        Span::new(start, self.bytes.len())
    }

    /// Stores what a closure appends to the buffer; it must only append.
    pub fn store_with<R>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> R) -> (Span, R) {
        let start = self.bytes.len();
        let result = write(&mut self.bytes);
        (Span::new(start, self.bytes.len()), result)
    }

    /// The bytes of a span that [`Fields::store`] gave since the last [`Fields::clear`].
    pub fn at(&self, span: Span) -> &[u8] {
        &self.bytes[span.start as usize..span.end as usize]
    }

    /// Appends a field whose name and value are stored already.
    pub fn push_stored(&mut self, name: Span, value: Span) {
        self.push_known(Known::of(self.at(name)), name, value);
    }

    /// Appends a field that is stored already and of whose name it is known which it is.
    pub fn push_known(&mut self, known: Known, name: Span, value: Span) {
        debug_assert_eq!(known, Known::of(self.at(name)));
        self.entries.push(Entry { known, name, value });
    }

    /// Appends a field.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        let (name, value) = (self.store(name), self.store(value));
        self.push_stored(name, value);
    }

    /// Appends a field whose value is made by a closure that writes to the buffer.
    pub fn push_with(&mut self, name: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
        let name = self.store(name);
        let (value, ()) = self.store_with(write);
        self.push_stored(name, value);
    }

    /// Removes all fields of this name and appends one.
    pub fn set(&mut self, known: Known, name: &[u8], value: &[u8]) {
        self.remove(known);
        self.push(name, value);
    }

    /// The value of the first field of this name.
    pub fn get(&self, known: Known) -> Option<&[u8]> {
        self.entries.iter().find(|e| e.known == known).map(|e| self.at(e.value))
    }

    /// The value of the first field of this name, whatever its case.
    pub fn get_by_name(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, v)| v)
    }

    /// The values of all fields of this name, in order.
    pub fn all(&self, known: Known) -> impl Iterator<Item = &[u8]> {
        self.entries.iter().filter(move |e| e.known == known).map(|e| self.at(e.value))
    }

    /// Whether there is a field of this name.
    pub fn contains(&self, known: Known) -> bool {
        self.entries.iter().any(|e| e.known == known)
    }

    /// Removes all fields of this name.
    pub fn remove(&mut self, known: Known) {
        self.entries.retain(|e| e.known != known);
    }

    /// Keeps the fields for which the closure says so.
    pub fn retain(&mut self, mut keep: impl FnMut(Known, &[u8], &[u8]) -> bool) {
        let Self { bytes, entries } = self;
        let at = |span: Span| &bytes[span.start as usize..span.end as usize];
        entries.retain(|e| keep(e.known, at(e.name), at(e.value)));
    }

    /// All fields in order, as name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.entries.iter().map(|e| (self.at(e.name), self.at(e.value)))
    }

    /// All fields in order, with what is known of their names.
    pub fn iter_known(&self) -> impl Iterator<Item = (Known, &[u8], &[u8])> {
        self.entries.iter().map(|e| (e.known, self.at(e.name), self.at(e.value)))
    }
}

impl fmt::Debug for Fields {
    /// Shows names only: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| String::from_utf8_lossy(name))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in pairs {
            fields.push(name.as_bytes(), value.as_bytes());
        }
        fields
    }

    #[test]
    fn order_and_case_are_kept() {
        let fields = fields(&[("HoSt", "a"), ("x-B", "1"), ("X-b", "2")]);
        let names: Vec<_> = fields.iter().map(|(n, _)| n.to_vec()).collect();
        assert_eq!(names, [b"HoSt".to_vec(), b"x-B".to_vec(), b"X-b".to_vec()]);
        assert_eq!(fields.get(Known::Host), Some(&b"a"[..]));
        assert_eq!(fields.get_by_name("X-B"), Some(&b"1"[..]));
    }

    #[test]
    fn set_replaces_all_of_a_name() {
        let mut fields = fields(&[("Via", "1"), ("a", "b"), ("via", "2")]);
        fields.set(Known::Via, b"via", b"3");
        let all: Vec<_> = fields.iter().map(|(n, v)| (n.to_vec(), v.to_vec())).collect();
        assert_eq!(all, [(b"a".to_vec(), b"b".to_vec()), (b"via".to_vec(), b"3".to_vec())]);
    }

    #[test]
    fn debug_shows_no_value() {
        let shown = format!("{:?}", fields(&[("Authorization", "s3cret")]));
        assert!(shown.contains("Authorization") && !shown.contains("s3cret"));
    }
}
