//! Where objects come from, files or an API server, as one stream of events.

use std::{path::PathBuf, sync::Arc};

use anyhow::Context as _;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use selvedge_common::{
    kube::{
        manifests::Manifests,
        watch::{self, Scope, WatchEvent},
    },
    model::Severity,
    runtime::{metrics::Metrics, spawn::spawn},
    source::file::{self, FileChange, Follower},
};
use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::args::{ClassArgs, SourceArgs};

/// Batches that may wait; more gather where they come from.
const WAITING_BATCHES: usize = 16;

/// An open source.
pub(super) enum Source {
    Files { batches: Receiver<Vec<FileChange>>, follower: Follower, paths: Vec<PathBuf> },
    Cluster { client: Client, scope: Scope },
}

impl Source {
    /// Opens what the flags name: files, or an API server.
    pub(super) async fn open(args: &SourceArgs, class: &ClassArgs) -> anyhow::Result<Self> {
        if args.manifests.is_empty() {
            let client = client(args.kubeconfig.as_ref()).await?;
            let scope = scope(&args.namespace, class);
            return Ok(Self::Cluster { client, scope });
        }
        let (sender, batches) = mpsc::channel(1);
        let paths = args.manifests.clone();
        let follower = file::follow(&paths, sender).context("cannot read --manifests")?;
        Ok(Self::Files { batches, follower, paths })
    }

    /// A client of the API server, if it is one.
    pub(super) fn client(&self) -> Option<Client> {
        match self {
            Self::Files { .. } => None,
            Self::Cluster { client, .. } => Some(client.clone()),
        }
    }

    /// Follows it for as long as the receiver lives.
    pub(super) fn follow(self, metrics: &Arc<Metrics>) -> Receiver<WatchEvent> {
        let (sender, events) = mpsc::channel(WAITING_BATCHES);
        match self {
            Self::Cluster { client, scope } => {
                drop(spawn("watch", metrics, watch::run(client, scope, sender)))
            }
            Self::Files { batches, follower, paths } => {
                let following = follow_files(batches, follower, paths, sender);
                drop(spawn("files", metrics, following));
            }
        }
        events
    }
}

async fn follow_files(
    mut batches: Receiver<Vec<FileChange>>,
    _follower: Follower,
    paths: Vec<PathBuf>,
    events: Sender<WatchEvent>,
) {
    let mut manifests = Manifests::default();
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

/// What is watched: the namespaces, and the Secret of the default certificate wherever it is.
pub(super) fn scope(namespaces: &[String], class: &ClassArgs) -> Scope {
    let secrets = class.default_certificate.iter().map(|secret| secret.namespace.clone());
    Scope { namespaces: namespaces.to_vec(), secrets: secrets.collect() }
}

/// A client of the API server that the kubeconfig names, or as a pod, or as kubectl would.
pub(super) async fn client(kubeconfig: Option<&PathBuf>) -> anyhow::Result<Client> {
    let config = match kubeconfig {
        Some(path) => {
            let wrong = || format!("cannot use kubeconfig {}", path.display());
            let kubeconfig = Kubeconfig::read_from(path).with_context(wrong)?;
            Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
                .await
                .with_context(wrong)?
        }
        None => Config::infer().await.context(
            "no API server: not in a pod and no kubeconfig; give --manifests DIR or --kubeconfig FILE",
        )?,
    };
    Client::try_from(config).context("cannot make a client of the API server")
}
