//! Where objects come from, files or an API server, as one stream of events.

use std::{net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use http::Uri;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use tokio::{
    net::lookup_host,
    sync::mpsc::{self, Receiver, Sender},
    time::timeout,
};

use super::args::SourceArgs;
use crate::{
    kube::{
        manifests::{Manifests, Said},
        objects::Kind,
        watch::{self, Scope, WatchEvent},
    },
    model::Severity,
    runtime::{metrics::Metrics, spawn::spawn},
    source::file::{self, FileChange, Follower},
};

/// Batches that may wait; more gather where they come from.
const WAITING_BATCHES: usize = 16;
/// Tells a pod the address of the API server.
const SERVICE_HOST: &str = "KUBERNETES_SERVICE_HOST";
/// Longest wait for the addresses of an API server that is given by name.
const PATIENCE: Duration = Duration::from_secs(5);
const NO_CLIENT: &str = "cannot make a client of the API server";

/// An open source.
pub struct Source(Inner);

enum Inner {
    Files(Files),
    Cluster { client: Client, server: Uri, scope: Scope },
}

/// Folders and files that are followed.
struct Files {
    batches: Receiver<Vec<FileChange<Said>>>,
    paths: Vec<PathBuf>,
    /// What is in them.
    manifests: Manifests,
    /// Follows them until it is dropped.
    _follower: Follower,
}

impl Source {
    /// Opens what the flags name: files, or an API server. Of either only the kinds of the scope are read; its
    /// namespaces are those of an API server.
    ///
    /// # Errors
    /// A path or kubeconfig that cannot be read.
    pub async fn open(args: &SourceArgs, scope: Scope) -> anyhow::Result<Self> {
        if args.manifests.is_empty() {
            let config = config(args.kubeconfig.as_ref()).await?;
            let server = config.cluster_url.clone();
            let client = Client::try_from(config).context(NO_CLIENT)?;
            return Ok(Self(Inner::Cluster { client, server, scope }));
        }
        let (sender, batches) = mpsc::channel(1);
        let paths = args.manifests.clone();
        let follower = file::follow(&paths, Said::reader(scope.kinds), sender);
        let follower = follower.context("cannot read --manifests")?;
        let manifests = Manifests::default();
        Ok(Self(Inner::Files(Files { batches, paths, manifests, _follower: follower })))
    }

    /// A client of the API server, if it is one.
    pub fn client(&self) -> Option<Client> {
        match &self.0 {
            Inner::Files(_) => None,
            Inner::Cluster { client, .. } => Some(client.clone()),
        }
    }

    /// The addresses of the API server: as a pod is told of it, and as it is reached from here, if it is.
    pub async fn api_server(&self) -> Vec<IpAddr> {
        let told = std::env::var(SERVICE_HOST).ok();
        let reached = match &self.0 {
            Inner::Files(_) => None,
            Inner::Cluster { server, .. } => server.host().map(str::to_owned),
        };
        let mut addresses = Vec::new();
        for host in told.into_iter().chain(reached) {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            match host.parse::<IpAddr>() {
                Ok(address) => addresses.push(address),
                Err(_) => match timeout(PATIENCE, lookup_host((host, 443))).await {
                    Ok(Ok(found)) => addresses.extend(found.map(|address| address.ip())),
                    Ok(Err(_)) | Err(_) => tracing::warn!(host, "the API server's name cannot be resolved"),
                },
            }
        }
        addresses.iter_mut().for_each(|address| *address = address.to_canonical());
        addresses
    }

    /// Follows it for as long as the receiver lives.
    pub fn follow(self, metrics: &Arc<Metrics>) -> Receiver<WatchEvent> {
        let (sender, events) = mpsc::channel(WAITING_BATCHES);
        match self.0 {
            Inner::Cluster { client, scope, .. } => {
                drop(spawn("watch", metrics, watch::run(client, scope, sender)))
            }
            Inner::Files(files) => drop(spawn("files", metrics, follow_files(files, sender))),
        }
        events
    }
}

async fn follow_files(files: Files, events: Sender<WatchEvent>) {
    let Files { mut batches, paths, mut manifests, _follower } = files;
    let mut synced = false;
    let mut wrong = (0, 0);
    while let Some(batch) = batches.recv().await {
        if !synced && batch.is_empty() {
            tracing::warn!(?paths, "there are no manifests (*.yaml, *.yml, *.json) yet; waiting for them");
        }
        let change = manifests.apply(batch);
        for problem in change.problems {
            tracing::warn!("{problem}");
        }
        if !change.passed_over.is_empty() {
            tracing::info!("{}", passed_over(&change.passed_over));
        }
        let all = manifests.problems().count();
        let errors = manifests.problems().filter(|problem| problem.severity == Severity::Error).count();
        let now = (errors, all - errors);
        if std::mem::replace(&mut wrong, now) != now {
            let event = WatchEvent::Invalid { errors: now.0, warnings: now.1 };
            if events.send(event).await.is_err() {
                return;
            }
        }
        let event = match std::mem::replace(&mut synced, true) {
            false => WatchEvent::Synced(change.events),
            true if change.events.is_empty() => continue,
            true => WatchEvent::Changed(change.events),
        };
        if events.send(event).await.is_err() {
            return;
        }
    }
}

/// What to say of kinds in manifests that are not read.
pub(super) fn passed_over(kinds: &[Kind]) -> String {
    let kinds: Vec<_> = kinds.iter().map(|kind| kind.name()).collect();
    format!("objects of kind {} in the manifests are not for this program", kinds.join(", "))
}

/// A client of the API server that the kubeconfig names, or as a pod, or as kubectl would.
pub(super) async fn client(kubeconfig: Option<&PathBuf>) -> anyhow::Result<Client> {
    Client::try_from(config(kubeconfig).await?).context(NO_CLIENT)
}

async fn config(kubeconfig: Option<&PathBuf>) -> anyhow::Result<Config> {
    match kubeconfig {
        Some(path) => {
            let wrong = || format!("cannot use kubeconfig {}", path.display());
            let kubeconfig = Kubeconfig::read_from(path).with_context(wrong)?;
            Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
                .await
                .with_context(wrong)
        }
        None => Config::infer().await.context(
            "no API server: not in a pod and no kubeconfig; give --kubeconfig FILE, or manifests: --manifests DIR to \
             run, a path to everything else",
        ),
    }
}
