//! Problems: what is wrong with an object, told to its owner.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

use crate::id::ObjectRef;

/// Something in an object that has no effect or another one than its owner may expect.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Problem {
    /// The object to change.
    pub object: ObjectRef,
    /// Path of the field in the object, for example `spec.rules[0].http.paths[1].backend.service.name`.
    pub field: String,
    /// How bad it is.
    pub severity: Severity,
    /// One word for machines and for the reason of an Event, for example `ServiceNotFound`.
    pub reason: String,
    /// What is wrong and what to do, a sentence for people.
    pub message: String,
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// Part of the object has no effect.
    Error,
    /// All of it has effect, though maybe not as expected.
    Warning,
}

impl Problem {
    /// Part of the object has no effect.
    pub fn error(object: &ObjectRef, field: impl Into<String>, reason: &str, message: String) -> Self {
        Self {
            object: object.clone(),
            field: field.into(),
            severity: Severity::Error,
            reason: reason.into(),
            message,
        }
    }

    /// The object has effect, though maybe not as expected.
    pub fn warning(object: &ObjectRef, field: impl Into<String>, reason: &str, message: String) -> Self {
        Self { severity: Severity::Warning, ..Self::error(object, field, reason, message) }
    }
}

/// One line, whatever is in it: names of fields and texts of users may hold ends of lines.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(OneLine(f), "{}: {}: {} ({})", self.object, self.field, self.message, self.reason)
    }
}

/// Writes characters that would end a line, or command a terminal, as their numbers.
struct OneLine<'f, 'a>(&'f mut fmt::Formatter<'a>);

impl fmt::Write for OneLine<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let breaks = |letter: char| letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}');
        for piece in text.split_inclusive(breaks) {
            let (plain, last) = match piece.chars().next_back().filter(|last| breaks(*last)) {
                Some(last) => (&piece[..piece.len() - last.len_utf8()], Some(last)),
                None => (piece, None),
            };
            self.0.write_str(plain)?;
            if let Some(last) = last {
                write!(self.0, "{}", last.escape_unicode())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_one_line_whatever_is_in_it() {
        let object = ObjectRef::new("ConfigMap", "shop", "headers");
        let message = "\"\u{e9}\" is\r\nnone\u{2028}\u{1b}[2J".to_owned();
        let problem = Problem::error(&object, "data[a\nb]", "InvalidHeader", message);
        let wanted = "ConfigMap shop/headers: data[a\\u{a}b]: \"\u{e9}\" is\\u{d}\\u{a}none\\u{2028}\\u{1b}[2J (InvalidHeader)";
        assert_eq!(problem.to_string(), wanted);
    }
}
