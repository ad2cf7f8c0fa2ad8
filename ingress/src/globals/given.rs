//! Settings while groups read them; what nobody reads is told.

use std::collections::BTreeMap;

use selvedge_common::{kube::near, model::Problem, quote::quote};

use super::{Setting, Source, Usual};
use crate::annotations::{Form, Verdict};

/// Settings by their keys while groups read them.
pub(super) struct Given<'a> {
    source: Source<'a>,
    data: &'a BTreeMap<String, String>,
    /// What becomes the default of annotations.
    pub(super) usual: Usual,
    pub(super) problems: Vec<Problem>,
    /// Whether a protection cannot be read.
    pub(super) unprotected: bool,
}

impl<'a> Given<'a> {
    pub(super) fn new(source: Source<'a>, data: &'a BTreeMap<String, String>) -> Self {
        Self { source, data, usual: Usual::default(), problems: Vec::new(), unprotected: false }
    }

    /// The value of a key; one that is invalid or empty counts as absent. What becomes of it is told.
    pub(super) fn read<T: Form>(&mut self, setting: &Setting) -> Option<T> {
        let text = self.data.get(setting.name)?;
        if text.trim().is_empty() {
            return None;
        }
        let Some(value) = T::parse(text) else {
            self.invalid::<T>(setting, text);
            return None;
        };
        if !is_default(setting, text) && self.is_foreign() {
            self.judge(setting);
        }
        if !setting.annotation.is_empty() && !matches!(setting.verdict, Verdict::Refused(_)) {
            self.usual.insert(setting.annotation, text);
        }
        Some(value)
    }

    /// Whether a key is there, be its value of its form or not.
    pub(super) fn has(&self, name: &str) -> bool {
        self.data.get(name).is_some_and(|text| !text.trim().is_empty())
    }

    /// Whether they were written for another program.
    pub(super) fn is_foreign(&self) -> bool {
        self.source.is_foreign()
    }

    fn invalid<T: Form>(&mut self, setting: &Setting, text: &str) {
        let (form, why) = (T::NAME, T::why_not(text).map(|why| format!(" ({why})")).unwrap_or_default());
        let follows = match (setting.protects, setting.default) {
            _ if !setting.instead.is_empty() => setting.instead,
            (true, _) => "it protects paths, so all that count on it answer 503",
            (false, "") => "it has no effect",
            (false, _) => "its default counts",
        };
        // Each Ingress that has no such annotation of its own is closed by it.
        match (setting.protects, setting.annotation) {
            (true, "") => self.unprotected = true,
            (true, annotation) => self.usual.insert(annotation, text),
            (false, _) => {}
        }
        self.tell(setting.name, "InvalidSetting", format!("{} is not {form}{why}; {follows}", quote(text)));
    }

    /// Says of a key that is there and sound what becomes of it.
    fn judge(&mut self, setting: &Setting) {
        let Some(reason) = setting.reason() else { return };
        let (verdict, detail) = setting.verdict.text();
        let message = format!("{verdict}: {detail}");
        match setting.verdict {
            Verdict::Refused(_) => self.tell(setting.name, &reason, message),
            _ => self.warn(setting.name, &reason, message),
        }
    }

    /// Says something of a key: it, or part of it, has no effect.
    pub(super) fn tell(&mut self, name: &str, reason: &str, message: String) {
        self.problems.push(Problem::error(self.source.object(), self.source.field(name), reason, message));
    }

    /// Says something of a key: it has effect, though maybe not as expected.
    pub(super) fn warn(&mut self, name: &str, reason: &str, message: String) {
        self.problems.push(Problem::warning(self.source.object(), self.source.field(name), reason, message));
    }

    /// Whether something was said of a key.
    pub(super) fn is_told(&self, name: &str) -> bool {
        let field = self.source.field(name);
        self.problems.iter().any(|told| told.field == field)
    }

    /// Tells of keys that are not among the known ones.
    pub(super) fn tell_unknown(&mut self, known: impl Iterator<Item = &'static Setting> + Clone) {
        let names = known.map(|setting| setting.name);
        for name in self.data.keys().filter(|name| !names.clone().any(|known| known == name.as_str())) {
            let suggestion = near::suggest(name, names.clone());
            let message = format!("there is no such setting{suggestion}; it has no effect");
            self.tell(name, "UnknownSetting", message);
        }
    }
}

/// Whether a value says just what counts without the key.
fn is_default(setting: &Setting, text: &str) -> bool {
    let (default, text) = (setting.default.trim_matches('`'), text.trim());
    let same_truth = || Some(bool::parse(default)? == bool::parse(text)?);
    !default.is_empty() && (default == text || same_truth() == Some(true))
}
