//! The running program: sources to translation to engine, and what is told to the cluster.

mod admin;
mod check;
mod cluster;
mod driver;
mod source;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
pub use check::check;
use selvedge_common::{
    id::ListenerName,
    proxy::ProxySettings,
    runtime::{
        access_log::{self, AccessLog},
        admin as admin_address,
        drain::Phase,
        engine::{Engine, EngineSettings},
        metrics::Metrics,
        spawn::spawn,
        telemetry::{self, LogFormat},
    },
};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use self::{admin::Admin, driver::Driver, source::Source};
use crate::args::{AccessLogFormat, Format, LogArgs, RunArgs};

/// Connections that are left to the system when its limit of open files is not known.
const CONNECTIONS_UNKNOWN: usize = 20_000;
/// Longest time for the last lines of the access log.
const LAST_LINES: Duration = Duration::from_secs(1);

/// The edge, bound and with its source followed; [`Edge::run`] serves.
pub struct Edge {
    args: Box<RunArgs>,
    engine: Arc<Engine>,
    access_log: AccessLog,
    admin: TcpListener,
    source: Source,
}

impl Edge {
    /// Binds every address and opens the source. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// An address in use, a path or kubeconfig that cannot be read: what, and what to do.
    pub async fn start(args: Box<RunArgs>) -> anyhow::Result<Self> {
        let metrics = Metrics::new();
        let access_log = open_access_log(&args.log, &metrics)?;
        let settings = EngineSettings {
            workers: args.listen.workers,
            proxy: ProxySettings {
                upstream_idle: args.backend.upstream_idle_timeout,
                connections: connections(args.client.max_connections_total),
                reason_field: !args.listen.hide_reason,
            },
            metrics,
            access_log: access_log.clone(),
            share_ports: args.listen.share_ports,
        };
        let listeners = args.settings().listeners.into_iter();
        let listeners: BTreeMap<_, _> =
            listeners.map(|(name, listener)| (name, Arc::new(listener))).collect();
        // Sources first: what is wrong with them needs no address.
        if !args.source.manifests.is_empty() && !args.publish.given().is_empty() {
            let flags = args.publish.given().join(", ");
            tracing::warn!(flags, "these flags have no effect with --manifests: there is no cluster to tell");
        }
        let source = Source::open(&args.source, &args.class).await?;
        let engine = Arc::new(Engine::start(settings, &listeners)?);
        let admin = TcpListener::bind(args.listen.admin).await;
        let admin = admin.with_context(|| {
            format!("cannot listen on {} (admin); choose another address", args.listen.admin)
        })?;
        for (name, address) in engine.addresses() {
            tracing::info!(listener = %name, %address, "listening");
        }
        tracing::info!(listener = "admin", address = %admin.local_addr()?, "listening");
        Ok(Self { args, engine, access_log, admin, source })
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
        let Self { args, engine, access_log, admin, source } = self;
        let (stop, stopping) = watch::channel(false);
        let (synced, is_synced) = watch::channel(false);
        let metrics = engine.metrics();
        let resolving = spawn("resolve", metrics, engine.resolve());
        let state = Arc::new(Admin::new(engine.clone(), is_synced));
        let mut until = stopping.clone();
        let ended = async move { drop(until.wait_for(|stop| *stop).await) };
        let serving_admin = spawn("admin", metrics, admin_address::serve(admin, state, ended));
        let told = source.client().filter(|_| !args.publish.read_only);
        let told = told.map(|client| cluster::tell(client, &args.publish, metrics, stopping));
        let (teller, telling) = told.unzip();
        let driver = Driver::new(args.settings(), engine.clone(), teller);
        let changes = source.follow(metrics);
        let driving = driver.run(changes, synced);
        let draining = async {
            tracing::info!(lameduck = ?args.drain.lameduck, deadline = ?args.drain.drain_deadline, "stopping");
            engine.drain(args.drain.lameduck, args.drain.drain_deadline).await;
        };
        drive(driving, shutdown, draining).await;
        // Nobody need be left to hear it.
        let _ = stop.send(true);
        finish(serving_admin, telling).await;
        resolving.abort();
        access_log.finish(LAST_LINES);
        debug_assert_eq!(engine.phase(), Phase::Stopped);
        tracing::info!("stopped");
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

/// Sets up the program's own log.
///
/// # Errors
/// A filter that is none.
pub fn start_log(args: &LogArgs) -> anyhow::Result<()> {
    // The client libraries say again what we say of the API server.
    let usual = || "info,kube_client=error,kube_runtime=off".to_owned();
    let filter = args.log_filter.clone().or_else(|| std::env::var("RUST_LOG").ok()).unwrap_or_else(usual);
    let format = match args.log_format {
        Format::Text => LogFormat::Text,
        Format::Json => LogFormat::Json,
    };
    Ok(telemetry::start(format, &filter)?)
}

fn open_access_log(args: &LogArgs, metrics: &Metrics) -> anyhow::Result<AccessLog> {
    let format = match args.access_log {
        AccessLogFormat::Off => return Ok(AccessLog::off()),
        AccessLogFormat::Text => access_log::AccessLogFormat::Text,
        AccessLogFormat::Json => access_log::AccessLogFormat::Json,
    };
    AccessLog::stdout(format, metrics.access_log.clone()).context("cannot open the access log")
}

/// Connections from clients on all listeners: as given, or half of the limit of open files, which is raised as far
/// as it goes.
fn connections(given: usize) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // A limit that cannot be raised stays.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let files = getrlimit(Resource::Nofile).current.and_then(|files| usize::try_from(files).ok());
    match given {
        0 => files.map_or(CONNECTIONS_UNKNOWN, |files| files / 2),
        given => given,
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
