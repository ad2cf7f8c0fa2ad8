//! Globals: what counts for all Ingresses of a class, THE list of ingress-nginx's settings, and how they are read.

mod compression;
mod fields;
mod form;
mod forwarding;
mod given;
mod https;
mod limits;
mod logs;
mod markdown;
mod name;
mod nginx;
mod parameters;
mod protection;
mod setting;
mod snippets;
mod source;
#[cfg(test)]
mod tests;
mod traces;
mod upstream;
mod usual;

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::{api::networking::v1 as networking, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use selvedge_common::{
    filter::{Compression, Field, FieldBlock, FieldChanges, Networks, StrictTransport, Template},
    model::Problem,
};

use crate::annotations::{Annotations, NGINX_PREFIX, form::ObjectName};
pub use forwarding::ListenerGlobals;
use given::Given;
pub use markdown::markdown;
pub use name::ConfigMapName;
pub(crate) use parameters::lay_over;
pub use setting::Setting;
pub use source::Source;
pub(crate) use source::field;
pub use traces::TraceGlobals;
pub use usual::Usual;

/// ingress-nginx: how long browsers come over HTTPS once they did.
const HSTS_SECONDS: u64 = 31_536_000;
/// ingress-nginx: paths of an Ingress that begin so are neither redirected nor protected.
const ACME: &str = "/.well-known/acme-challenge";
/// ingress-nginx: status of a redirect to HTTPS, or between a host with `www.` and the one without.
const REDIRECT_STATUS: u16 = 308;
/// ingress-nginx: status of what a limit turns away.
const LIMIT_STATUS: u16 = 503;

/// What counts for all Ingresses of a class. Where it came from cannot be told any more.
#[derive(Clone, Debug, PartialEq)]
pub struct Globals {
    /// Annotations that count where an Ingress has none of its own.
    pub usual: Usual,
    /// What browsers are told in answers over HTTPS.
    pub strict_transport: Option<StrictTransport>,
    /// Status of redirects to HTTPS, and between a host with `www.` and the one without.
    pub redirect_status: u16,
    /// Paths of Ingresses that begin so are not redirected to HTTPS.
    pub unredirected: Vec<Arc<str>>,
    /// Paths of Ingresses that begin so ask for no password and no service.
    pub unasked: Vec<Arc<str>>,
    /// Status of requests that come too fast.
    pub rate_status: u16,
    /// Status of requests of an address that has too many going on.
    pub connections_status: u16,
    /// What requests are counted by where that is not the address of the client.
    pub limit_key: Option<Template>,
    /// Addresses that nobody comes in from.
    pub blocked: Networks,
    /// Fields by whose values requests are turned away.
    pub blocked_fields: Vec<FieldBlock>,
    /// Fields of answers that the annotation `custom-headers` may set; `None` is all of them.
    pub custom_fields: Option<Vec<Arc<str>>>,
    /// Fields of answers that clients do not get.
    pub hidden_fields: Vec<Arc<str>>,
    /// ConfigMap with fields of requests.
    pub request_fields: Option<ObjectName>,
    /// ConfigMap with fields of answers.
    pub answer_fields: Option<ObjectName>,
    /// How answers are compressed.
    pub compression: Option<Arc<Compression>>,
    /// What these ConfigMaps hold: changes of requests.
    pub request_changes: FieldChanges,
    /// Fields of requests whose values have variables.
    pub request_templates: Vec<Field>,
    /// Changes of answers.
    pub answer_changes: FieldChanges,
    /// What concerns listeners, and so all classes.
    pub listener: ListenerGlobals,
    /// What concerns traces of all classes.
    pub traces: TraceGlobals,
    /// Whether a protection cannot be read, so that all paths answer 503.
    pub unprotected: bool,
}

impl Default for Globals {
    fn default() -> Self {
        Self {
            usual: Usual::default(),
            strict_transport: None,
            redirect_status: REDIRECT_STATUS,
            unredirected: vec![ACME.into()],
            unasked: vec![ACME.into()],
            rate_status: LIMIT_STATUS,
            connections_status: LIMIT_STATUS,
            limit_key: None,
            blocked: Networks::default(),
            blocked_fields: Vec::new(),
            custom_fields: None,
            hidden_fields: Vec::new(),
            request_fields: None,
            answer_fields: None,
            compression: None,
            request_changes: FieldChanges::default(),
            request_templates: Vec::new(),
            answer_changes: FieldChanges::default(),
            listener: ListenerGlobals::default(),
            traces: TraceGlobals::default(),
            unprotected: false,
        }
    }
}

impl Globals {
    /// What counts where nobody says anything, in classes of ours or of ingress-nginx.
    pub fn of_class(adopted: bool) -> Self {
        let strict =
            StrictTransport { max_age_seconds: HSTS_SECONDS, include_subdomains: true, preload: false };
        Self { strict_transport: adopted.then_some(strict), ..Self::default() }
    }

    /// Reads settings for classes of ours or of ingress-nginx, and says what is wrong with them. One bad value never takes
    /// the others away.
    pub fn read(source: Source<'_>, data: &BTreeMap<String, String>, adopted: bool) -> (Self, Vec<Problem>) {
        let mut given = Given::new(source, data);
        let mut globals = Self::of_class(adopted);
        read_groups(&mut given, &mut globals);
        given.tell_unknown(all_settings());
        judge_usual(&mut given);
        globals.unprotected |= given.unprotected;
        globals.usual = given.usual;
        (globals, given.problems)
    }

    /// Whether a path of an Ingress begins as one of these.
    pub(crate) fn begins(path: &str, with: &[Arc<str>]) -> bool {
        with.iter().any(|begin| path.starts_with(&**begin))
    }
}

/// What annotations say of values that have their form: some make no sense all the same.
fn judge_usual(given: &mut Given<'_>) {
    let annotations =
        given.usual.iter().map(|(name, value)| (format!("{NGINX_PREFIX}{name}"), value.to_owned()));
    let metadata = ObjectMeta { annotations: Some(annotations.collect()), ..ObjectMeta::default() };
    let ingress = networking::Ingress { metadata, ..networking::Ingress::default() };
    let (_, problems) = Annotations::read(&ingress.into(), true);
    for problem in problems.into_iter().filter(|problem| problem.reason == "InvalidAnnotation") {
        let is_it = |setting: &&Setting| {
            !setting.annotation.is_empty() && problem.field.ends_with(&format!("/{}]", setting.annotation))
        };
        let Some(setting) = all_settings().find(is_it) else { continue };
        if !given.is_told(setting.name) {
            given.tell(setting.name, "InvalidSetting", problem.message);
        }
    }
}

/// Settings that belong together.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// What they are about.
    pub doc: &'static str,
    /// The settings.
    pub settings: &'static [Setting],
}

/// What a group does with what was read, beyond defaults of annotations.
trait Effect {
    /// Writes what it says into the globals.
    fn apply(&self, _globals: &mut Globals, _given: &mut Given<'_>) {}
}

/// Makes a group: a struct with one field for each setting, filled in if the key is there and valid. The code of the
/// group sees nothing but this struct, so it can read only what it declares here.
macro_rules! settings {
    (
        $(#[doc = $doc:literal])+
        $name:ident { $($(#[doc = $setting_doc:literal])+ $field:ident: $form:ty = $setting:expr;)+ }
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name { $($(#[doc = $setting_doc])+ pub $field: Option<$form>,)+ }

        impl $name {
            pub(super) const GROUP: $crate::globals::Group = $crate::globals::Group {
                doc: concat!($($doc),+),
                settings: &[$($crate::globals::Setting {
                    form: <$form as $crate::annotations::Form>::NAME,
                    doc: concat!($($setting_doc),+),
                    ..$setting
                },)+],
            };

            pub(super) fn read(given: &mut $crate::globals::given::Given<'_>) -> Self {
                Self { $($field: given.read(&$setting),)+ }
            }
        }
    };
}
use settings;

macro_rules! groups {
    ($($group:ty,)*) => {
        /// Every group.
        pub const GROUPS: &[Group] = &[$(<$group>::GROUP,)*];

        fn read_groups(given: &mut Given<'_>, globals: &mut Globals) {
            $(<$group>::read(given).apply(globals, given);)*
        }
    };
}

groups! {
    forwarding::Forwarding,
    https::Https,
    https::Certificates,
    limits::Clients,
    upstream::Backends,
    upstream::Bodies,
    upstream::Redirects,
    protection::Access,
    protection::GlobalAuth,
    protection::Rates,
    protection::Trust,
    fields::Fields,
    logs::Logs,
    traces::Traces,
    traces::Jaeger,
    compression::Compression,
    nginx::Workings,
    nginx::Streams,
    snippets::Snippets,
}

fn all_settings() -> impl Iterator<Item = &'static Setting> + Clone {
    GROUPS.iter().flat_map(|group| group.settings)
}
