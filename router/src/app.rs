//! The router as a program: the part it plays, and how its flags become a plan.

use std::io::Write;

pub use selvedge_common::program::start_log;
use selvedge_common::{
    kube::{objects::Kind, store::ServiceName},
    program::{self, Plan, Program, Published, Role},
};

use crate::{
    args::{CheckArgs, DEFAULT_LEASE, RunArgs},
    translate::Tier,
};

/// The router, bound and with its source open.
pub type Router = Program<Tier>;

impl Role for Tier {
    const PROGRAM: &'static str = "selvedge-router";
    const CONTROLLER: &'static str = "selvedge.dev/router";
    const LEASE: &'static str = DEFAULT_LEASE;
    const KINDS: &'static [Kind] = crate::translate::KINDS;

    fn switches_to(&self) -> Option<ServiceName> {
        self.settings().switches_to.clone()
    }
}

impl From<Box<RunArgs>> for Plan<Tier> {
    fn from(args: Box<RunArgs>) -> Self {
        let settings = args.settings();
        let RunArgs { source, listen, lease, switch, client, backend, drain, log, .. } = *args;
        Self {
            listeners: settings.listeners.clone(),
            role: Tier::new(settings),
            admin: listen.admin,
            source,
            secrets: Vec::new(),
            published: Published::default(),
            cluster_flags: lease.given(DEFAULT_LEASE).into_iter().chain(switch.given()).collect(),
            lease,
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
    let role = Tier::new(args.settings());
    program::check(role, (&args.checked, args.format), Vec::new(), output).await
}
