//! The running program: source to translation to engine, and what is told to the cluster.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use super::{
    Role,
    admin::Admin,
    args::{BackendArgs, ClientArgs, DrainArgs, LeaseArgs, LogArgs, ServeArgs, SourceArgs},
    cluster::{self, Published},
    driver::Driver,
    identity::identify,
    source::Source,
    starting::{connections, open_access_log},
};
use crate::{
    id::ListenerName,
    kube::{tokens::AUDIENCE, watch::Scope},
    model::Listener,
    proxy::ProxySettings,
    runtime::{
        access_log::AccessLog,
        admin as admin_address,
        drain::Phase,
        engine::{Engine, EngineSettings},
        metrics::Metrics,
        spawn::spawn,
    },
};

/// Longest time for the last lines of the access log.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Everything that a program needs to start, as its flags say.
pub struct Plan<T> {
    /// The part that it plays.
    pub role: T,
    /// Where clients connect.
    pub listeners: BTreeMap<ListenerName, Listener>,
    /// Where health, metrics and the snapshot are shown.
    pub admin: SocketAddr,
    /// Where objects come from.
    pub source: SourceArgs,
    /// Namespaces whose Secrets are read beside those of the source.
    pub secrets: Vec<String>,
    /// Whether and under which name it writes to the cluster.
    pub lease: LeaseArgs,
    /// Addresses that it writes there.
    pub published: Published,
    /// Flags that were given and have no effect without a cluster.
    pub cluster_flags: Vec<&'static str>,
    /// How listeners are served.
    pub serve: ServeArgs,
    /// Limits that clients are held to.
    pub client: ClientArgs,
    /// How backends are treated.
    pub backend: BackendArgs,
    /// Stopping.
    pub drain: DrainArgs,
    /// What is logged.
    pub log: LogArgs,
}

/// A program, bound and with its source open; [`Program::run`] serves.
pub struct Program<T> {
    plan: Plan<T>,
    engine: Arc<Engine>,
    access_log: AccessLog,
    admin: TcpListener,
    source: Source,
}

impl<T: Role> Program<T> {
    /// Binds every address and opens the source. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// An address in use, a path or kubeconfig that cannot be read: what, and what to do.
    pub async fn start(plan: impl Into<Plan<T>>) -> anyhow::Result<Self> {
        let plan = plan.into();
        let metrics = Metrics::new();
        let access_log = open_access_log(&plan.log, &metrics)?;
        let settings = plan.engine_settings(metrics, access_log.clone());
        let listeners = plan.listeners.iter();
        let listeners: BTreeMap<_, _> =
            listeners.map(|(name, listener)| (name.clone(), Arc::new(listener.clone()))).collect();
        // Sources first: what is wrong with them needs no address.
        if !plan.source.manifests.is_empty() && !plan.cluster_flags.is_empty() {
            let flags = plan.cluster_flags.join(", ");
            tracing::warn!(flags, "these flags have no effect with --manifests: there is no cluster to tell");
        }
        let namespaces = plan.source.namespace.clone();
        let all_secrets = plan.role.reads_all_secrets();
        let scope = Scope { kinds: T::KINDS, namespaces, secrets: plan.secrets.clone(), all_secrets };
        let source = Source::open(&plan.source, scope).await?;
        let engine = Arc::new(Engine::start(settings, &listeners)?);
        engine.set_zone(plan.backend.zone());
        engine.forbid_destinations(source.api_server().await);
        let admin = TcpListener::bind(plan.admin).await;
        let admin = admin
            .with_context(|| format!("cannot listen on {} (admin); choose another address", plan.admin))?;
        for (name, address) in engine.addresses() {
            tracing::info!(listener = %name, %address, "listening");
        }
        tracing::info!(listener = "admin", address = %admin.local_addr()?, "listening");
        if listeners.values().any(|listener| listener.identify) {
            identify(&engine, source.client(), AUDIENCE);
        }
        Ok(Self { plan, engine, access_log, admin, source })
    }

    /// The address that each listener is bound to.
    pub fn addresses(&self) -> BTreeMap<ListenerName, SocketAddr> {
        self.engine.addresses()
    }

    /// The admin address.
    ///
    /// # Errors
    /// When the system does not know it.
    pub fn admin_address(&self) -> std::io::Result<SocketAddr> {
        self.admin.local_addr()
    }

    /// The engine.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Serves until `shutdown` is done, then drains.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self { plan, engine, access_log, admin, source } = self;
        let Plan { role, lease, published, drain, .. } = plan;
        let (stop, stopping) = watch::channel(false);
        let (synced, is_synced) = watch::channel(false);
        let metrics = engine.metrics();
        let resolving = spawn("resolve", metrics, engine.resolve());
        let checking = spawn("health checks", metrics, engine.check_health());
        let exporting = spawn("spans", metrics, engine.export_spans());
        let recording = spawn("graph", metrics, engine.record_graph());
        let state = Arc::new(Admin::new(engine.clone(), is_synced));
        let mut until = stopping.clone();
        let ended = async move { drop(until.wait_for(|stop| *stop).await) };
        let serving_admin = spawn("admin", metrics, admin_address::serve(admin, state, ended));
        let told = source.client().filter(|_| !lease.read_only);
        let told = told.map(|client| cluster::tell::<T>(client, (&lease, &published), metrics, stopping));
        let (teller, telling) = told.unzip();
        let driver = Driver::new(role, engine.clone(), teller);
        let changes = source.follow(metrics);
        let driving = driver.run(changes, synced);
        let draining = async {
            tracing::info!(lameduck = ?drain.lameduck, deadline = ?drain.drain_deadline, "stopping");
            engine.drain(drain.lameduck, drain.drain_deadline).await;
        };
        drive(driving, shutdown, draining).await;
        // Nobody need be left to hear it.
        let _ = stop.send(true);
        finish(serving_admin, telling).await;
        // The last spans have a few seconds.
        let _ = exporting.await;
        resolving.abort();
        checking.abort();
        recording.abort();
        access_log.finish(LAST_LINES);
        debug_assert_eq!(engine.phase(), Phase::Stopped);
        tracing::info!("stopped");
    }
}

impl<T> Plan<T> {
    fn engine_settings(&self, metrics: Arc<Metrics>, access_log: AccessLog) -> EngineSettings {
        EngineSettings {
            workers: self.serve.workers,
            proxy: ProxySettings {
                upstream_idle: self.backend.upstream_idle_timeout,
                connections: connections(self.client.max_connections_total),
                requests: self.client.max_requests,
                spread_every: self.serve.spread_interval,
                reason_field: !self.serve.hide_reason,
            },
            metrics,
            access_log,
            share_ports: self.serve.share_ports,
        }
    }
}

/// Drives until `shutdown` is done and then until the connections are drained: changes still count while connections
/// are accepted, so that no request goes to an endpoint that is gone.
async fn drive(
    driving: impl Future<Output = ()>,
    shutdown: impl Future<Output = ()>,
    draining: impl Future<Output = ()>,
) {
    tokio::pin!(driving, shutdown, draining);
    tokio::select! {
        () = &mut driving => {
            tracing::error!("the source of objects has ended; serving what is known");
            shutdown.await;
            // It is done and must not be asked again.
            draining.await;
            return;
        }
        () = &mut shutdown => {}
    }
    tokio::select! {
        () = &mut draining => {}
        () = driving => draining.await,
    }
}

/// Waits for what ends by itself.
async fn finish(admin: JoinHandle<()>, telling: Option<JoinHandle<()>>) {
    let _ = admin.await;
    if let Some(telling) = telling {
        let _ = telling.await;
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, future::ready};

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_source_that_ends_first_stops_nothing_and_is_not_asked_again() {
        let (stop, stopping) = oneshot::channel::<()>();
        let drained = Cell::new(false);
        let driven = drive(async {}, async { drop(stopping.await) }, async { drained.set(true) });
        tokio::pin!(driven);
        tokio::select! {
            biased;
            () = &mut driven => panic!("it serves until it is told to stop"),
            () = ready(()) => {}
        }
        assert!(!drained.get());
        stop.send(()).unwrap();
        driven.await;
        assert!(drained.get());
    }
}
