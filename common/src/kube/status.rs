//! Writes the addresses of the edge to the status of the Ingress objects that are ours.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use k8s_openapi::api::networking::v1::{Ingress, IngressLoadBalancerIngress};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

use super::{addresses, backoff::Backoff, objects::ObjectKey};

/// Name under which the API server keeps what fields are ours.
pub const FIELD_MANAGER: &str = "selvedge-ingress";
/// Writes under way at once.
const CONCURRENCY: usize = 8;

/// What is known of the status of an Ingress.
#[derive(Clone, Debug, PartialEq)]
pub enum StatusInput {
    /// It exists.
    Seen {
        /// The Ingress.
        key: ObjectKey,
        /// Whether it is ours. One that is ours no longer loses the addresses that we wrote.
        ours: bool,
        /// What its status has.
        current: Vec<IngressLoadBalancerIngress>,
    },
    /// It is gone.
    Gone(ObjectKey),
}

/// The addresses to write; `None` while they are not known, then nothing is written.
pub type Addresses = Option<Vec<IngressLoadBalancerIngress>>;

/// Writes while `leader` is true, until the sender of `inputs` is gone.
pub async fn run(
    client: Client,
    mut leader: watch::Receiver<bool>,
    mut addresses: watch::Receiver<Addresses>,
    mut inputs: mpsc::UnboundedReceiver<Vec<StatusInput>>,
) {
    let mut writer = Writer {
        client,
        entries: BTreeMap::new(),
        pending: BTreeSet::new(),
        backoff: Backoff::new(Duration::from_millis(200), Duration::from_secs(30)),
        retry_at: None,
    };
    loop {
        let retry_at = writer.retry_at;
        tokio::select! {
            batch = inputs.recv() => match batch {
                Some(batch) => writer.take(batch),
                None => return,
            },
            Ok(()) = leader.changed() => writer.look_at_all(),
            Ok(()) = addresses.changed() => writer.look_at_all(),
            () = sleep_until(retry_at.unwrap_or_else(Instant::now)), if retry_at.is_some() => writer.retry_at = None,
        }
        while let Ok(batch) = inputs.try_recv() {
            writer.take(batch);
        }
        let wanted = addresses.borrow_and_update().clone();
        if *leader.borrow_and_update()
            && writer.retry_at.is_none()
            && let Some(wanted) = wanted
        {
            writer.write(&wanted, &leader).await;
        }
    }
}

struct Writer {
    client: Client,
    entries: BTreeMap<ObjectKey, Entry>,
    /// Objects whose status may differ from what it shall be.
    pending: BTreeSet<ObjectKey>,
    backoff: Backoff,
    retry_at: Option<Instant>,
}

struct Entry {
    ours: bool,
    current: Vec<IngressLoadBalancerIngress>,
}

impl Writer {
    fn take(&mut self, batch: Vec<StatusInput>) {
        for input in batch {
            match input {
                StatusInput::Seen { key, ours, current } => {
                    self.pending.insert(key.clone());
                    self.entries.insert(key, Entry { ours, current });
                }
                StatusInput::Gone(key) => {
                    self.pending.remove(&key);
                    self.entries.remove(&key);
                }
            }
        }
    }

    fn look_at_all(&mut self) {
        self.pending.extend(self.entries.keys().cloned());
        self.retry_at = None;
    }

    async fn write(&mut self, wanted: &[IngressLoadBalancerIngress], leader: &watch::Receiver<bool>) {
        let mut wanted = wanted.to_vec();
        addresses::sort(&mut wanted);
        let mut writes = Vec::new();
        for key in std::mem::take(&mut self.pending) {
            let Some(entry) = self.entries.get(&key) else { continue };
            let shall = if entry.ours { wanted.clone() } else { Vec::new() };
            let mut current = entry.current.clone();
            addresses::sort(&mut current);
            if current != shall {
                writes.push((key, shall));
            } else if !entry.ours {
                self.entries.remove(&key);
            }
        }
        let client = &self.client;
        let results = stream::iter(writes).map(|(key, shall)| async move {
            // Leadership may be lost while a long list is being written.
            let result = if *leader.borrow() { Some(apply(client, &key, &shall).await) } else { None };
            (key, shall, result)
        });
        let mut results = std::pin::pin!(results.buffer_unordered(CONCURRENCY));
        let mut failed = false;
        while let Some((key, shall, result)) = results.next().await {
            match result {
                Some(Ok(())) => {
                    // The watch tells the same a moment later; until then this is what it has.
                    match self.entries.get_mut(&key) {
                        Some(entry) if entry.ours => entry.current = shall,
                        _ => drop(self.entries.remove(&key)),
                    }
                }
                Some(Err(kube::Error::Api(status))) if status.code == 404 => {
                    self.entries.remove(&key);
                }
                Some(Err(error)) => {
                    tracing::debug!(object = %key, %error, "status cannot be written");
                    if !failed && self.retry_at.is_none() {
                        tracing::warn!(object = %key, %error, "status cannot be written; trying again");
                    }
                    failed = true;
                    self.pending.insert(key);
                }
                None => drop(self.pending.insert(key)),
            }
        }
        match failed {
            true => self.retry_at = Some(Instant::now() + self.backoff.next()),
            false => self.backoff.reset(),
        }
    }
}

/// Writes our part of the status; without addresses it removes what we wrote and nothing of others.
async fn apply(
    client: &Client,
    key: &ObjectKey,
    addresses: &[IngressLoadBalancerIngress],
) -> Result<(), kube::Error> {
    let mut balancer = serde_json::Map::new();
    if !addresses.is_empty() {
        balancer.insert("ingress".into(), serde_json::json!(addresses));
    }
    let patch = serde_json::json!({
        "apiVersion": key.kind.api_version(),
        "kind": key.kind.name(),
        "metadata": {"name": key.name, "namespace": key.namespace},
        "status": {"loadBalancer": balancer},
    });
    let api: Api<Ingress> = Api::namespaced(client.clone(), &key.namespace);
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    api.patch_status(&key.name, &parameters, &Patch::Apply(patch)).await.map(drop)
}
