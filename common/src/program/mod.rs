//! The program around an engine, whichever part it plays: flags, sources, what is told to a cluster, start and end.

mod admin;
pub mod args;
mod check;
mod cluster;
pub mod command;
mod driver;
pub mod gathering;
mod identity;
mod running;
mod source;
mod starting;

pub use admin::Admin;
pub use check::check;
pub use cluster::{Published, Teller, tell};
pub use driver::Driver;
pub use identity::identify;
pub use running::{Plan, Program};
pub use source::Source;
pub use starting::start_log;

use crate::{
    kube::{
        objects::{Kind, Object, ObjectKey},
        status::{self, StatusInput},
        store::{Objects, ServiceName},
        translation::{StatusChange, Translate},
    },
    model::Problem,
};

/// The part that a program plays: what it must know beside how objects are translated.
pub trait Role: Translate {
    /// Name of the program, for example `selvedge-ingress`.
    const PROGRAM: &'static str;

    /// Name of the controller in Events, for example `selvedge.dev/ingress`.
    const CONTROLLER: &'static str;

    /// Name of the usual lease of its instances.
    const LEASE: &'static str;

    /// Every kind that the translation reads; objects of other kinds are not watched.
    const KINDS: &'static [Kind];

    /// What the writer of statuses must know of an object whose status may have to be written. `None` for kinds whose
    /// status is nobody's; by default these are all but RouteRules and TrafficPolicies. `entry` is the name of our entry
    /// in theirs.
    fn status(&self, object: &Object, change: StatusChange, entry: &str) -> Option<StatusInput> {
        status::rules::seen(object, change, entry)
    }

    /// The same for an object that is gone.
    fn status_gone(&self, key: &ObjectKey) -> Option<StatusInput> {
        key.kind.has_conditions().then(|| StatusInput::Gone(key.clone()))
    }

    /// The Service by which the program is reached, if Services are to be switched to it by their label.
    fn switches_to(&self) -> Option<ServiceName> {
        None
    }

    /// Whether objects refer to Secrets of other types than those with certificates.
    fn reads_all_secrets(&self) -> bool {
        false
    }

    /// What to say of flags that fit none of the objects, each a sentence that names its flag.
    fn unfitting(&self, objects: &Objects) -> Vec<String> {
        let _ = objects;
        Vec::new()
    }

    /// What may be wrong with objects that may be somebody else's; only `check` tells it.
    fn suspected(&self, objects: &Objects) -> Vec<Problem> {
        let _ = objects;
        Vec::new()
    }
}
