//! Header fields: an ordered list over one buffer, cheap to fill, to search and to copy through.

use std::fmt;

use super::{Known, KnownSet};

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

    /// What it covers of a text.
    ///
    /// # Panics
    /// When the text is shorter.
    pub fn of(self, text: &[u8]) -> &[u8] {
        &text[self.start as usize..self.end as usize]
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

/// Where the parts of a field line are in the text of a head, by their places in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldLine {
    /// Which name it is.
    pub known: Known,
    /// Its name, a token.
    pub name: Span,
    /// Its value, without white space around it.
    pub value: Span,
    /// Whether it lies there as it is written: name, colon, one space, value, CRLF.
    pub is_plain: bool,
    /// Whether the name has an underscore.
    pub has_underscore: bool,
}

#[derive(Clone, Copy)]
struct Entry {
    known: Known,
    name: Span,
    value: Span,
    /// Whether it lies in the buffer as it is written: name, colon, space, value, CRLF.
    is_line: bool,
    /// Whether no table of HPACK may hold it.
    is_never_indexed: bool,
}

/// Header or trailer fields in their order, names in the case they came in.
///
/// Names and values live in one buffer that only grows until [`Fields::clear`], so a cleared value can be
/// filled again without allocation. Most of them lie there as they are written to the wire, in lines one after the
/// other, so that many can be written at once. Neither ever holds CR, LF or NUL: whoever stores bytes from outside
/// checks them first.
#[derive(Clone, Default)]
pub struct Fields {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// The known names among them, and maybe some that were removed.
    names: KnownSet,
}

impl Fields {
    /// Removes everything and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.names = KnownSet::default();
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
        span.of(&self.bytes)
    }

    /// Appends a field that is stored already and of whose name it is known which it is.
    pub fn push_stored(&mut self, known: Known, name: Span, value: Span) {
        let is_at = |at: u32, byte| self.bytes.get(at as usize) == Some(&byte);
        let is_line = name.end + 2 == value.start
            && is_at(name.end, b':')
            && is_at(name.end + 1, b' ')
            && is_at(value.end, b'\r')
            && is_at(value.end + 1, b'\n');
        self.push_entry(Entry { known, name, value, is_line, is_never_indexed: false });
    }

    /// Appends a field of a text that the caller stores next, at the front of the buffer.
    pub(crate) fn push_read(&mut self, line: &FieldLine) {
        let FieldLine { known, name, value, is_plain, .. } = *line;
        self.names.insert(known);
        self.entries.push(Entry { known, name, value, is_line: is_plain, is_never_indexed: false });
    }

    fn push_entry(&mut self, entry: Entry) {
        debug_assert_eq!(entry.known, Known::of(self.at(entry.name)));
        self.names.insert(entry.known);
        self.entries.push(entry);
    }

    /// Appends a field.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        self.push_with(name, |bytes| bytes.extend_from_slice(value));
    }

    /// Appends a field whose value is made by a closure, which must only append to what it is given.
    pub fn push_with(&mut self, name: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(b": ");
        self.push_value(Known::of(name), Span::new(start, start + name.len()), write);
    }

    /// Appends a field of whose name it is known that it is none that is known.
    pub(crate) fn push_other(&mut self, name: &[u8], value: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(b": ");
        let name = Span::new(start, start + name.len());
        self.push_value(Known::Other, name, |bytes| bytes.extend_from_slice(value));
    }

    /// Appends a field of a known name, in lower case.
    pub fn push_known(&mut self, known: Known, value: &[u8]) {
        self.push_known_with(known, |bytes| bytes.extend_from_slice(value));
    }

    /// Appends a field of a known name, in lower case, whose value is made by a closure, which must only append.
    pub fn push_known_with(&mut self, known: Known, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(known.line_start().as_bytes());
        self.push_value(known, Span::new(start, start + known.name().len()), write);
    }

    /// Appends the value of a field whose name was just written, and the end of its line.
    fn push_value(&mut self, known: Known, name: Span, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        write(&mut self.bytes);
        let value = Span::new(start, self.bytes.len());
        self.bytes.extend_from_slice(b"\r\n");
        self.push_entry(Entry { known, name, value, is_line: true, is_never_indexed: false });
    }

    /// No table of HPACK may hold the last field (RFC 7541 §6.2.3).
    pub(crate) fn never_index_last(&mut self) {
        if let Some(last) = self.entries.last_mut() {
            last.is_never_indexed = true;
        }
    }

    /// Removes all fields of this name and appends one.
    pub fn set(&mut self, known: Known, name: &[u8], value: &[u8]) {
        self.remove(known);
        self.push(name, value);
    }

    /// The value of the first field of this name.
    pub fn get(&self, known: Known) -> Option<&[u8]> {
        self.all(known).next()
    }

    /// The value of the first field of this name, whatever its case.
    pub fn get_by_name(&self, name: &str) -> Option<&[u8]> {
        self.all_by_name(name).next()
    }

    /// The values of all fields of this name, whatever its case, in order.
    pub fn all_by_name<'f>(&'f self, name: &str) -> impl Iterator<Item = &'f [u8]> {
        self.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, v)| v)
    }

    /// The values of all fields of this name, in order.
    pub fn all(&self, known: Known) -> impl Iterator<Item = &[u8]> {
        let entries = if self.may_have(known) { &self.entries[..] } else { &[] };
        entries.iter().filter(move |e| e.known == known).map(|e| self.at(e.value))
    }

    /// Whether there is a field of this name.
    pub fn contains(&self, known: Known) -> bool {
        self.may_have(known) && self.entries.iter().any(|e| e.known == known)
    }

    fn may_have(&self, known: Known) -> bool {
        known == Known::Other || self.names.contains(known)
    }

    /// Removes all fields of this name.
    pub fn remove(&mut self, known: Known) {
        if self.may_have(known) {
            self.entries.retain(|e| e.known != known);
        }
    }

    /// Removes all fields of these names.
    pub fn remove_all(&mut self, names: KnownSet) {
        if self.names.meets(names) {
            self.entries.retain(|e| !names.contains(e.known));
            self.names = self.names.without(names);
        }
    }

    /// Keeps the fields for which the closure says so.
    pub fn retain(&mut self, mut keep: impl FnMut(Known, &[u8], &[u8]) -> bool) {
        let Self { bytes, entries, .. } = self;
        let at = |span: Span| span.of(bytes);
        entries.retain(|e| keep(e.known, at(e.name), at(e.value)));
    }

    /// Appends all fields but those of these names to a text, each as a line of HTTP/1.1 (RFC 9112 §5).
    pub fn write(&self, but: KnownSet, out: &mut Vec<u8>) {
        let mut run = Span::default();
        for entry in self.entries.iter().filter(|entry| !but.contains(entry.known)) {
            let line = Span { start: entry.name.start, end: entry.value.end + 2 };
            if !entry.is_line {
                out.extend_from_slice(self.at(run));
                run = Span::default();
                for part in [self.at(entry.name), b": ", self.at(entry.value), b"\r\n"] {
                    out.extend_from_slice(part);
                }
            } else if line.start == run.end {
                run.end = line.end;
            } else {
                out.extend_from_slice(self.at(run));
                run = line;
            }
        }
        out.extend_from_slice(self.at(run));
    }

    /// All fields in order, as name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.entries.iter().map(|e| (self.at(e.name), self.at(e.value)))
    }

    /// All fields in order, with whether no table of HPACK may hold them.
    pub(crate) fn iter_indexed(&self) -> impl Iterator<Item = (Known, &[u8], &[u8], bool)> {
        self.entries.iter().map(|e| (e.known, self.at(e.name), self.at(e.value), e.is_never_indexed))
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
        assert_eq!(fields.all_by_name("x-b").collect::<Vec<_>>(), [b"1", b"2"]);
    }

    #[test]
    fn set_replaces_all_of_a_name() {
        let mut fields = fields(&[("Via", "1"), ("a", "b"), ("via", "2")]);
        fields.set(Known::Via, b"via", b"3");
        let all: Vec<_> = fields.iter().map(|(n, v)| (n.to_vec(), v.to_vec())).collect();
        assert_eq!(all, [(b"a".to_vec(), b"b".to_vec()), (b"via".to_vec(), b"3".to_vec())]);
    }

    #[test]
    fn removed_names_are_gone_and_may_come_back() {
        let mut fields = fields(&[("te", "1"), ("via", "2"), ("b", "3"), ("TE", "4")]);
        fields.remove_all(KnownSet::HOP_BY_HOP);
        assert_eq!((fields.get(Known::Te), fields.get(Known::Via)), (None, Some(&b"2"[..])));
        fields.remove(Known::Via);
        assert!(!fields.contains(Known::Via) && fields.contains(Known::Other));
        fields.push_known(Known::Te, b"5");
        assert_eq!(fields.all(Known::Te).collect::<Vec<_>>(), [b"5"]);
        fields.retain(|known, _, _| known != Known::Te);
        assert!(!fields.contains(Known::Te) && fields.len() == 1);
    }

    #[test]
    fn fields_are_written_as_lines_wherever_they_lie() {
        let mut fields = Fields::default();
        let text = b"a: 1\r\nb:2 \r\nhost: x\r\nc: 3\r\n";
        fields.store(text);
        let span = |part: &str| {
            let start = std::str::from_utf8(text).unwrap().find(part).unwrap();
            Span::new(start, start + part.len())
        };
        for (known, name, value) in [
            (Known::Other, "a", "1"),
            (Known::Other, "b", "2"),
            (Known::Host, "host", "x"),
            (Known::Other, "c", "3"),
        ] {
            fields.push_stored(known, span(name), span(value));
        }
        let elsewhere = fields.store(b"via");
        fields.push_stored(Known::Via, elsewhere, span("x"));
        fields.push(b"d", b"");
        fields.push_known_with(Known::Te, |out| out.extend_from_slice(b"4"));
        let mut out = b"-".to_vec();
        fields.write(KnownSet::of(&[Known::Host]), &mut out);
        assert_eq!(out, b"-a: 1\r\nb: 2\r\nc: 3\r\nvia: x\r\nd: \r\nte: 4\r\n");
    }

    #[test]
    fn debug_shows_no_value() {
        let shown = format!("{:?}", fields(&[("Authorization", "s3cret")]));
        assert!(shown.contains("Authorization") && !shown.contains("s3cret"));
    }
}
