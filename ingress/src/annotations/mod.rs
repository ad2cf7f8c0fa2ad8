//! Annotations: THE list of groups, and what happens to keys that are in none of them.

mod balance;
mod form;
mod given;
mod redirect;
mod timeouts;

use std::fmt::Write;

use k8s_openapi::api::networking::v1 as networking;
use selvedge_common::model::Problem;

pub use form::Form;
use given::Given;

use crate::translate::{RouteDraft, ingress_ref};

/// What every annotation of ours begins with.
pub const PREFIX: &str = "selvedge.dev/";

/// What the annotations of ingress-nginx begin with.
pub const NGINX_PREFIX: &str = "nginx.ingress.kubernetes.io/";

/// A group of annotations that belong together.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// What the group is about.
    pub doc: &'static str,
    /// Its annotations.
    pub keys: &'static [Key],
}

/// One annotation.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name without the prefix.
    pub name: &'static str,
    /// What its value looks like.
    pub form: &'static str,
    /// What it does.
    pub doc: &'static str,
}

/// Makes a group: a struct with one field for each annotation, filled in if the annotation is there and valid.
/// The code of the group sees nothing but this struct, so it can read only what it declares here.
macro_rules! group {
    (
        $(#[doc = $doc:literal])+
        $name:ident { $($(#[doc = $key_doc:literal])+ $field:ident: $form:ty = $key:literal,)+ }
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name { $($(#[doc = $key_doc])+ pub $field: Option<$form>,)+ }

        impl $name {
            pub(super) const GROUP: $crate::annotations::Group = $crate::annotations::Group {
                doc: concat!($($doc),+),
                keys: &[$($crate::annotations::Key {
                    name: $key,
                    form: <$form as $crate::annotations::Form>::NAME,
                    doc: concat!($($key_doc),+),
                },)+],
            };

            pub(super) fn read(given: &mut $crate::annotations::given::Given<'_>) -> Self {
                Self { $($field: given.read($key),)+ }
            }
        }
    };
}
use group;

macro_rules! groups {
    ($($field:ident: $group:ty,)*) => {
        /// Every group.
        pub const GROUPS: &[Group] = &[$(<$group>::GROUP,)*];

        /// What the annotations of an Ingress say.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct Annotations { $($field: $group,)* }

        impl Annotations {
            fn read_groups(given: &mut Given<'_>) -> Self {
                Self { $($field: <$group>::read(given),)* }
            }

            /// Writes what they say into a route.
            pub fn apply(&self, route: &mut RouteDraft<'_>) {
                $(self.$field.apply(route);)*
            }
        }
    };
}

groups! {
    redirect: redirect::Redirect,
    timeouts: timeouts::Timeouts,
    balance: balance::Balancing,
}

impl Annotations {
    /// Reads the annotations of an Ingress, and says what is wrong with them.
    pub fn read(ingress: &networking::Ingress) -> (Self, Vec<Problem>) {
        let Some(annotations) = &ingress.metadata.annotations else { return Default::default() };
        let mut given = Given::new(ingress_ref(ingress), annotations);
        let read = Self::read_groups(&mut given);
        (read, given.finish(all_keys()))
    }
}

/// The table of all annotations, for `ANNOTATIONS.md`.
pub fn markdown() -> String {
    let mut text = String::from(
        "# Annotations of an Ingress\n\n\
         Generated from `src/annotations`; `UPDATE_GOLDEN=1 cargo test -p selvedge-ingress annotations` writes it anew.\n",
    );
    for group in GROUPS {
        let doc = group.doc.trim();
        write!(text, "\n## {doc}\n\n| annotation | value | meaning |\n|---|---|---|\n")
            .expect("a String takes all");
        for key in group.keys {
            let doc = key.doc.trim().replace('|', "\\|");
            let form = key.form.replace('|', "\\|");
            writeln!(text, "| `{PREFIX}{}` | {form} | {doc} |", key.name).expect("a String takes all");
        }
    }
    text
}

fn all_keys() -> impl Iterator<Item = &'static str> + Clone {
    GROUPS.iter().flat_map(|group| group.keys).map(|key| key.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_written_table_is_the_one_in_the_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/ANNOTATIONS.md");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, markdown()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), markdown());
    }

    #[test]
    fn no_annotation_is_declared_twice() {
        let mut keys: Vec<_> = all_keys().collect();
        keys.sort();
        let count = keys.len();
        keys.dedup();
        assert_eq!(keys.len(), count);
    }
}
