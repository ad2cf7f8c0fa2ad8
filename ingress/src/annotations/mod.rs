//! Annotations: THE list of groups, and what happens to keys that are in none of them.

mod access;
mod affinity;
mod backend;
mod backend_tls;
mod balance;
mod basic_auth;
mod behaviours;
mod buffers;
mod canary;
mod client_certificates;
mod cors;
mod errors;
mod external_auth;
mod firewall;
pub mod form;
mod former;
mod frontend_tls;
mod given;
mod headers;
mod hosts;
mod key;
mod markdown;
mod mirror;
mod observability;
mod rate;
mod redirect;
mod redirects;
mod retries;
mod rewriting;
mod snippets;
#[cfg(test)]
mod tests;
mod timeouts;
mod way;
pub(crate) mod weight;

use selvedge_common::{kube::ingress::Ingress, model::Problem};

pub use behaviours::{BEHAVIOURS, Behaviour};
pub use canary::Canary;
pub use form::Form;
pub use former::{FORMER, Former};
use given::Given;
pub(crate) use given::field;
pub(crate) use key::declared;
pub use key::{Key, Verdict};
pub use markdown::markdown;

use crate::{
    globals::Usual,
    translate::{RouteDraft, ingress_ref},
};

/// What every annotation of ours begins with.
pub const PREFIX: &str = "selvedge.dev/";

/// What the annotations of ingress-nginx begin with.
pub const NGINX_PREFIX: &str = "nginx.ingress.kubernetes.io/";

/// The name of an annotation of ours or of ingress-nginx without its prefix.
pub(crate) fn without_prefix(whole: &str) -> Option<&str> {
    whole.strip_prefix(NGINX_PREFIX).or_else(|| whole.strip_prefix(PREFIX))
}

/// A group of annotations that belong together.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// What the group is about.
    pub doc: &'static str,
    /// Its annotations.
    pub keys: &'static [Key],
}

/// What a group does with what was read.
trait Effect {
    /// Writes what it says into a route.
    fn apply(&self, _route: &mut RouteDraft<'_>) {}

    /// Says what is wrong beyond single values, or of a value that is sound and yet not taken.
    fn judge(&self, _given: &mut Given<'_>) {}
}

/// Makes a group: a struct with one field for each annotation, filled in if the annotation is there and valid.
/// The code of the group sees nothing but this struct, so it can read only what it declares here.
macro_rules! group {
    (
        $(#[doc = $doc:literal])+
        $name:ident { $($(#[doc = $key_doc:literal])+ $field:ident: $form:ty = $key:expr;)+ }
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name { $($(#[doc = $key_doc])+ pub $field: Option<$form>,)+ }

        impl $name {
            pub(super) const GROUP: $crate::annotations::Group = $crate::annotations::Group {
                doc: concat!($($doc),+),
                keys: &[$($crate::annotations::Key {
                    form: <$form as $crate::annotations::Form>::NAME,
                    doc: concat!($($key_doc),+),
                    ..$key
                },)+],
            };

            pub(super) fn read(given: &mut $crate::annotations::given::Given<'_>) -> Self {
                Self { $($field: given.read(&$key),)+ }
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
        pub struct Annotations {
            $(
                #[doc = concat!("Group `", stringify!($field), "`.")]
                pub $field: $group,
            )*
            /// Whether a protection cannot be kept up, so that the paths must answer 503.
            pub unprotected: bool,
        }

        impl Annotations {
            fn read_groups(given: &mut Given<'_>) -> Self {
                Self { $($field: <$group>::read(given),)* unprotected: false }
            }

            fn judge_groups(&self, given: &mut Given<'_>) {
                $(self.$field.judge(given);)*
            }

            /// Writes what they say into a route.
            pub fn apply(&self, route: &mut RouteDraft<'_>) {
                $(self.$field.apply(route);)*
                route.unprotected |= self.unprotected;
            }
        }
    };
}

groups! {
    redirect: redirect::Redirect,
    rewriting: rewriting::Rewriting,
    redirects: redirects::Redirects,
    hosts: hosts::Hosts,
    timeouts: timeouts::Timeouts,
    retries: retries::Retries,
    buffers: buffers::Buffers,
    balance: balance::Balancing,
    backend: backend::Backends,
    errors: errors::Errors,
    affinity: affinity::Stickiness,
    canary: canary::Canary,
    basic_auth: basic_auth::BasicAuth,
    external_auth: external_auth::ExternalAuth,
    client_certificates: client_certificates::ClientCertificates,
    frontend_tls: frontend_tls::FrontendTls,
    backend_tls: backend_tls::BackendTlsKeys,
    cors: cors::Cors,
    access: access::Access,
    rate: rate::Rate,
    headers: headers::Headers,
    mirror: mirror::Mirroring,
    observability: observability::Observability,
    firewall: firewall::Firewall,
    snippets: snippets::Snippets,
    way: way::Way,
}

impl Annotations {
    /// Reads the annotations of an Ingress, and says what is wrong with them. Those of ingress-nginx count only where
    /// the class of the Ingress was adopted.
    pub fn read(ingress: &Ingress, adopted: bool) -> (Self, Vec<Problem>) {
        Self::read_over(ingress, adopted, &Usual::default())
    }

    /// The same, where a class says what counts for annotations that are not there.
    pub fn read_over(ingress: &Ingress, adopted: bool, usual: &Usual) -> (Self, Vec<Problem>) {
        Self::read_and(ingress, (adopted, usual), |given| given.finish(all_keys()))
    }

    /// What counts, without what is wrong: each host of the Ingress asks for it, which need not look for names that are
    /// like those that are unknown.
    pub fn counting(ingress: &Ingress, adopted: bool, usual: &Usual) -> Self {
        Self::read_and(ingress, (adopted, usual), |_| Vec::new()).0
    }

    fn read_and(
        ingress: &Ingress,
        (adopted, usual): (bool, &Usual),
        finish: impl FnOnce(Given<'_>) -> Vec<Problem>,
    ) -> (Self, Vec<Problem>) {
        let annotations = &ingress.metadata.annotations;
        let object = ingress_ref(ingress);
        if let Some(problem) = weight::problem(ingress, &object) {
            return (Self { unprotected: true, ..Self::default() }, vec![problem]);
        }
        let given = Given::new(&object, annotations, (adopted, usual));
        let Some(mut given) = given else { return Default::default() };
        let mut read = Self::read_groups(&mut given);
        read.judge_groups(&mut given);
        read.unprotected = given.is_unprotected();
        (read, finish(given))
    }

    /// Whether the paths of the hosts that the Ingress names are regular expressions.
    ///
    /// ingress-nginx: a rewrite asks for them as much as `use-regex` does.
    pub fn asks_for_regex(&self) -> bool {
        self.rewriting.use_regex == Some(true) || self.rewriting.target.is_some()
    }
}

/// Whether an annotation of this name, without prefix, does something.
pub(crate) fn is_honoured(name: &str) -> bool {
    let is_it = |key: &&Key| key.names().any(|known| known == name);
    let verdict = all_keys().find(is_it).map(|key| key.verdict);
    matches!(verdict, Some(Verdict::Honoured | Verdict::Approximated(_)))
}

fn all_keys() -> impl Iterator<Item = &'static Key> + Clone {
    GROUPS.iter().flat_map(|group| group.keys)
}
