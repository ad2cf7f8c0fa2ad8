//! The annotations that an object has, read by groups; what nobody reads is told.

use selvedge_common::{id::ObjectRef, kube::ingress::Texts, model::Problem, quote::quote};

use super::{Form, Key, NGINX_PREFIX, PREFIX, Verdict, former};
use crate::{globals::Usual, translate::near};

/// Most entries of a list that are told of by themselves.
const MOST_TOLD: usize = 8;

/// The annotations of one object while groups read them.
pub(super) struct Given<'a> {
    object: &'a ObjectRef,
    /// Of ours and, in a class that was adopted, of ingress-nginx: the whole key, its name and its value, ours first.
    given: Vec<(&'a str, &'a str, &'a str)>,
    /// Of ingress-nginx, in a class of ours.
    foreign: Vec<&'a str>,
    /// What counts where nothing is given.
    usual: &'a Usual,
    problems: Vec<Problem>,
    unprotected: bool,
}

impl<'a> Given<'a> {
    /// `None` if there is nothing to read.
    pub(super) fn new(
        object: &'a ObjectRef,
        annotations: &'a Texts,
        (adopted, usual): (bool, &'a Usual),
    ) -> Option<Self> {
        let with = |prefix: &'static str| {
            annotations.iter().filter_map(move |(key, value)| Some((key, key.strip_prefix(prefix)?, value)))
        };
        let mut given: Vec<_> = with(PREFIX).collect();
        let mut foreign = Vec::new();
        match adopted {
            true => given.extend(with(NGINX_PREFIX)),
            false => foreign.extend(with(NGINX_PREFIX).map(|(key, ..)| key)),
        }
        let any = !given.is_empty() || !foreign.is_empty() || !usual.is_empty();
        any.then(|| Self { object, given, foreign, usual, problems: Vec::new(), unprotected: false })
    }

    /// The value of an annotation, else what the class says. What becomes of one that is there is told.
    pub(super) fn read<T: Form>(&mut self, key: &Key) -> Option<T> {
        self.own(key).or_else(|| self.usual(key))
    }

    /// What the class says; what is wrong with it is told there.
    fn usual<T: Form>(&mut self, key: &Key) -> Option<T> {
        // Who names a service himself, or wants none, is not asked by that of the class.
        let asks_itself = self.given.iter().any(|(_, name, value)| match *name {
            "auth-url" => true,
            "enable-global-auth" => bool::parse(value) == Some(false),
            _ => false,
        });
        let text = if asks_itself { self.usual.get_unasked(key.name) } else { self.usual.get(key.name) };
        let value = T::parse(text?);
        self.unprotected |= key.protects && value.is_none();
        value
    }

    /// The value of an annotation; one that is invalid or empty counts as absent. What becomes of it is told.
    fn own<T: Form>(&mut self, key: &Key) -> Option<T> {
        let (whole, text) = self.find(key)?;
        if text.trim().is_empty() && !key.own {
            self.warning(whole, "EmptyAnnotation", "it is empty, which is as if it were not there".into());
            return None;
        }
        let Some(value) = T::parse(text) else {
            let follows = match (key.protects, key.fallback) {
                (true, _) => "it protects its paths, so they answer 503".to_owned(),
                (false, "") => "it has no effect".to_owned(),
                (false, fallback) => format!("it counts as `{fallback}`, which is safe"),
            };
            self.unprotected |= key.protects;
            let why = T::why_not(text).map(|why| format!(" ({why})")).unwrap_or_default();
            let message = format!("{} is not {}{why}; {follows}", quote(text), T::NAME);
            self.error(whole, "InvalidAnnotation", message);
            return T::parse(key.fallback).filter(|_| !key.fallback.is_empty());
        };
        if !is_default(key, text) {
            self.judge(whole, key);
        }
        Some(value)
    }

    /// Says of an annotation that is there and sound what becomes of it.
    fn judge(&mut self, whole: &str, key: &Key) {
        let Some(reason) = key.reason() else { return };
        let (verdict, detail) = key.verdict.text();
        match key.verdict {
            Verdict::Refused(_) => {
                self.unprotected |= key.protects;
                let closed = if key.protects { "; it protects its paths, so they answer 503" } else { "" };
                self.error(whole, &reason, format!("{verdict}: {detail}{closed}"));
            }
            _ => self.warning(whole, &reason, format!("{verdict}: {detail}")),
        }
    }

    /// The annotation by all of its names. Ours comes first, then the one that was named first.
    fn find(&mut self, key: &Key) -> Option<(&'a str, &'a str)> {
        let is_it = |name: &str| key.names().any(|known| known == name);
        let of_ours = |whole: &str| whole.starts_with(PREFIX);
        let found: Vec<_> = self.given.iter().filter(|(_, name, _)| is_it(name)).copied().collect();
        let found: Vec<_> = found.into_iter().filter(|(whole, ..)| !key.own || of_ours(whole)).collect();
        let place = |name: &str| key.names().position(|known| known == name);
        let first = found.iter().min_by_key(|(whole, name, _)| (!of_ours(whole), place(name))).copied()?;
        for (whole, ..) in found.iter().filter(|other| other.0 != first.0) {
            let message = format!("{} says it too and comes first; it has no effect", first.0);
            self.warning(whole, "DuplicateAnnotation", message);
        }
        Some((first.0, first.2))
    }

    /// The names without prefix of everything that is there.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.given.iter().map(|(_, name, _)| *name)
    }

    /// Whether a key is there, be its value of its form or not.
    pub(super) fn has(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    /// The value of a key that is there, be it of its form or not.
    pub(super) fn value(&self, key: &str) -> Option<&'a str> {
        let found = self.given.iter().find(|(_, name, text)| *name == key && !text.trim().is_empty());
        found.map(|(.., text)| *text)
    }

    /// Whether a key is there as an annotation of ingress-nginx.
    pub(super) fn is_of_nginx(&self, key: &str) -> bool {
        self.whole(key).is_some_and(|whole| whole.starts_with(NGINX_PREFIX))
    }

    /// Says something of a key that is there: part of it has no effect.
    pub(super) fn tell(&mut self, key: &str, reason: &str, message: String) {
        if let Some(whole) = self.whole(key) {
            self.error(whole, reason, message);
        }
    }

    /// Says something of entries of a list: of the first ones by themselves, of the others how many they are. A list may
    /// have thousands, and whoever reads what is told, or has to write it down, is not served by all of them.
    pub(super) fn tell_each<'t>(
        &mut self,
        key: &str,
        reason: &str,
        mut entries: impl Iterator<Item = &'t str>,
        message: impl Fn(&str) -> String,
    ) {
        for entry in entries.by_ref().take(MOST_TOLD) {
            self.tell(key, reason, message(entry));
        }
        let more = entries.count();
        if more > 0 {
            self.tell(key, reason, format!("{more} more entries are wrong, too"));
        }
    }

    /// Says something of a key that is there: it has effect, though maybe not as expected.
    pub(super) fn warn(&mut self, key: &str, reason: &str, message: String) {
        if let Some(whole) = self.whole(key) {
            self.warning(whole, reason, message);
        }
    }

    /// A protection cannot be kept up, so the paths of the object answer 503.
    pub(super) fn close(&mut self) {
        self.unprotected = true;
    }

    /// Whether paths must answer 503.
    pub(super) fn is_unprotected(&self) -> bool {
        self.unprotected
    }

    fn whole(&self, key: &str) -> Option<&'a str> {
        self.given.iter().find(|(_, name, _)| *name == key).map(|(whole, ..)| *whole)
    }

    fn error(&mut self, whole: &str, reason: &str, message: String) {
        self.problems.push(Problem::error(self.object, field(whole), reason, message));
    }

    fn warning(&mut self, whole: &str, reason: &str, message: String) {
        self.problems.push(Problem::warning(self.object, field(whole), reason, message));
    }

    /// Everything that is wrong, keys that are not among the known ones included. To look for a name that is like an
    /// unknown one takes long, so the first ones alone have that.
    pub(super) fn finish(mut self, known: impl Iterator<Item = &'static Key> + Clone) -> Vec<Problem> {
        let mut suggested = 0;
        for (whole, name, _) in std::mem::take(&mut self.given) {
            let ours = whole.starts_with(PREFIX);
            let found = known.clone().find(|key| key.names().any(|known| known == name));
            let message = match (found, former::find(name)) {
                (Some(key), _) if key.own && !ours => {
                    format!("ingress-nginx has no such annotation; use {PREFIX}{name}")
                }
                (Some(_), _) => continue,
                (None, Some(former)) => former.message(),
                (None, None) => {
                    suggested += 1;
                    let names = known.clone().flat_map(Key::names).filter(|_| suggested <= MOST_TOLD);
                    let suggestion = near::suggest(name, names);
                    format!("there is no such annotation{suggestion}; it has no effect")
                }
            };
            self.error(whole, "UnknownAnnotation", message);
        }
        for whole in std::mem::take(&mut self.foreign) {
            let name = whole.strip_prefix(NGINX_PREFIX).unwrap_or(whole);
            let message = format!(
                "annotations of ingress-nginx count in its own classes, where --adopt-ingress-nginx takes them over; here \
                 it has no effect, use {PREFIX}{name}"
            );
            self.warning(whole, "AnnotationNotSupported", message);
        }
        self.problems
    }
}

/// Whether a value says just what counts without the annotation.
fn is_default(key: &Key, text: &str) -> bool {
    let (default, text) = (key.default.trim_matches('`'), text.trim());
    let same_truth = || Some(bool::parse(default)? == bool::parse(text)?);
    !default.is_empty() && (default == text || same_truth() == Some(true))
}

/// The field of an object that an annotation is.
pub(crate) fn field(whole: &str) -> String {
    format!("metadata.annotations[{whole}]")
}
