//! The annotations that an object has, read by groups; what nobody reads is told.

use std::collections::BTreeMap;

use selvedge_common::{id::ObjectRef, model::Problem};

use super::{Form, NGINX_PREFIX, PREFIX};
use crate::translate::near;

/// The annotations of one object while groups read them.
pub(super) struct Given<'a> {
    object: ObjectRef,
    annotations: &'a BTreeMap<String, String>,
    problems: Vec<Problem>,
}

impl<'a> Given<'a> {
    pub(super) fn new(object: ObjectRef, annotations: &'a BTreeMap<String, String>) -> Self {
        Self { object, annotations, problems: Vec::new() }
    }

    /// The value of an annotation, named without prefix; an invalid one counts as absent and is told.
    pub(super) fn read<T: Form>(&mut self, key: &str) -> Option<T> {
        let key = format!("{PREFIX}{key}");
        let text = self.annotations.get(&key)?;
        let value = T::parse(text);
        if value.is_none() {
            let message = format!("{text:?} is not {}; it has no effect", T::NAME);
            self.problems.push(Problem::error(&self.object, field(&key), "InvalidAnnotation", message));
        }
        value
    }

    /// Everything that is wrong, keys that are not among the known ones included.
    pub(super) fn finish(mut self, known: impl Iterator<Item = &'static str> + Clone) -> Vec<Problem> {
        for key in self.annotations.keys() {
            if let Some(name) = key.strip_prefix(PREFIX)
                && !known.clone().any(|known| known == name)
            {
                let suggestion = near::suggest(name, known.clone());
                let message = format!("there is no such annotation{suggestion}; it has no effect");
                self.problems.push(Problem::error(&self.object, field(key), "UnknownAnnotation", message));
            }
            if key.starts_with(NGINX_PREFIX) {
                let message =
                    "annotations of ingress-nginx are not honoured yet; it has no effect".to_owned();
                self.problems.push(Problem::warning(
                    &self.object,
                    field(key),
                    "AnnotationNotSupported",
                    message,
                ));
            }
        }
        self.problems
    }
}

fn field(key: &str) -> String {
    format!("metadata.annotations[{key}]")
}
