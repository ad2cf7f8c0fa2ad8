//! The edge as a program: the part it plays, and how its flags become a plan.

use std::io::Write;

pub use selvedge_common::program::start_log;
use selvedge_common::{
    kube::{
        objects::{Kind, Object, ObjectKey},
        status::{self, KnownStatus, StatusInput},
        store::Objects,
        translation::StatusChange,
    },
    model::Problem,
    program::{self, Plan, Program, Role},
};

use crate::{
    args::{CheckArgs, DEFAULT_LEASE, RunArgs},
    class, translate,
};

/// The edge, bound and with its source open.
pub type Edge = Program<translate::Edge>;

impl Role for translate::Edge {
    const PROGRAM: &'static str = "selvedge-ingress";
    const CONTROLLER: &'static str = class::CONTROLLER;
    const LEASE: &'static str = DEFAULT_LEASE;
    const KINDS: &'static [Kind] = translate::KINDS;

    fn status(&self, object: &Object, change: StatusChange, entry: &str) -> Option<StatusInput> {
        let Object::Ingress(ingress) = object else {
            return status::rules::seen(object, change, entry);
        };
        let known = KnownStatus::Ingress { ours: change.ours, current: ingress.addresses.to_vec() };
        Some(StatusInput::Seen { key: change.key, known })
    }

    fn status_gone(&self, key: &ObjectKey) -> Option<StatusInput> {
        let has_status = key.kind == Kind::Ingress || key.kind.has_conditions();
        has_status.then(|| StatusInput::Gone(key.clone()))
    }

    fn reads_all_secrets(&self) -> bool {
        self.settings().adopt_ingress_nginx
    }

    fn unfitting(&self, objects: &Objects) -> Vec<String> {
        let mut unfitting = class::unknown(self.settings(), objects);
        unfitting.extend(translate::missing_config_maps(self.settings(), objects));
        unfitting
    }

    fn suspected(&self, objects: &Objects) -> Vec<Problem> {
        class::classless(self.settings(), objects)
    }
}

impl From<Box<RunArgs>> for Plan<translate::Edge> {
    fn from(args: Box<RunArgs>) -> Self {
        let settings = args.settings();
        let RunArgs { source, class, listen, publish, client, backend, drain, log, .. } = *args;
        Self {
            listeners: settings.listeners.clone(),
            role: translate::Edge::new(settings),
            admin: listen.admin,
            source,
            secrets: class.secrets(),
            published: publish.published(),
            cluster_flags: publish.given(),
            lease: publish.lease,
            serve: listen.serve,
            client,
            backend,
            drain,
            log,
        }
    }
}

/// Prints what is wrong; `false` if any of it is an error.
///
/// # Errors
/// What is to be checked cannot be read.
pub async fn check(args: &CheckArgs, output: &mut dyn Write) -> anyhow::Result<bool> {
    let edge = translate::Edge::new(args.class.settings(&args.checked.namespace));
    program::check(edge, (&args.checked, args.format), args.class.secrets(), output).await
}
