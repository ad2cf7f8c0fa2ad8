//! What is told to the cluster: status, events and the switch of Services, by the leader.

use std::{borrow::Cow, sync::Arc};

use kube::Client;
use tokio::{
    sync::{mpsc, watch},
    task::{JoinHandle, JoinSet},
};

use super::{Role, args::LeaseArgs};
use crate::{
    kube::{
        addresses::{address, follow_service, sort},
        events::{self, ProblemInput, Reporter},
        lease::{self, LeaseSettings},
        status::{self, Author, StatusInput},
        store::ServiceName,
        switch,
    },
    runtime::{
        metrics::Metrics,
        spawn::{PanicWatch, spawn},
    },
};

/// Which addresses the status of objects gets; by default none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// A Service whose addresses are published as they change.
    pub service: Option<ServiceName>,
    /// IP addresses and host names.
    pub addresses: Vec<String>,
}

/// Where status and problems go; sending never waits.
pub struct Teller {
    /// What is known of the status of objects.
    pub statuses: mpsc::UnboundedSender<Vec<StatusInput>>,
    /// What is wrong.
    pub problems: mpsc::UnboundedSender<Vec<ProblemInput>>,
    /// Name of our entry in the status of RouteRules and TrafficPolicies.
    pub entry: Cow<'static, str>,
    /// Steps of Services that are switched.
    pub switches: mpsc::UnboundedSender<switch::Steps>,
}

/// Starts to take part in the lease and to write. The task ends after `stopping`, when the lease is given back.
pub fn tell<T: Role>(
    client: Client,
    (args, published): (&LeaseArgs, &Published),
    metrics: &Arc<Metrics>,
    stopping: watch::Receiver<bool>,
) -> (Teller, JoinHandle<()>) {
    let namespace = args.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
    let host = host_name().unwrap_or_else(|| T::PROGRAM.into());
    let identity = args.identity.clone().unwrap_or_else(|| format!("{host}_{}", std::process::id()));
    let settings = LeaseSettings::new(&namespace, &args.name, &identity);
    let (leader, leads) = watch::channel(false);
    let (statuses, status_inputs) = mpsc::unbounded_channel();
    let (problems, problem_inputs) = mpsc::unbounded_channel();
    let mut static_addresses: Vec<_> = published.addresses.iter().map(|text| address(text)).collect();
    sort(&mut static_addresses);
    let known = (!static_addresses.is_empty()).then_some(static_addresses);
    let (sender, addresses) = watch::channel(known);
    let mut writers = JoinSet::new();
    if let Some(service) = published.service.clone() {
        let client = client.clone();
        let watch = PanicWatch::new("publish-service", metrics);
        writers.spawn(async move {
            let _watch = watch;
            follow_service(client, &service.namespace, &service.name, sender).await;
        });
    }
    let author = Author::of(T::PROGRAM, T::CONTROLLER, (&args.name, T::LEASE));
    let entry = author.controller.clone();
    let status = status::run(client.clone(), author, leads.clone(), addresses, status_inputs);
    let watch = PanicWatch::new("status", metrics);
    writers.spawn(async move {
        let _watch = watch;
        status.await;
    });
    let (switches, steps) = mpsc::unbounded_channel();
    let switching = switch::run(client.clone(), T::PROGRAM, leads.clone(), (steps, problems.clone()));
    let watch = PanicWatch::new("switch", metrics);
    writers.spawn(async move {
        let _watch = watch;
        switching.await;
    });
    let reporter = Reporter { controller: T::CONTROLLER, instance: host };
    let events = events::run(client.clone(), reporter, leads, problem_inputs);
    let watch = PanicWatch::new("events", metrics);
    writers.spawn(async move {
        let _watch = watch;
        events.await;
    });
    let telling = spawn("cluster", metrics, async move {
        lease::run(client, settings, leader, stopping).await;
        // Nobody may write without the lease.
        writers.shutdown().await;
    });
    (Teller { statuses, problems, entry, switches }, telling)
}

/// In a pod its name.
fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}
