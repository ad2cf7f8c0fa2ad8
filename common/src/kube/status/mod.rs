//! Writes the status of objects that are ours: as leader only, only what differs, only what is our own.

mod ingress;
pub mod rules;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use k8s_openapi::{api::networking::v1::IngressLoadBalancerIngress, jiff::Timestamp};
use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams},
};
use selvedge_crds::ControllerStatus;
use serde_json::Value;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

use super::{addresses, backoff::Backoff, objects::ObjectKey};
use rules::Verdict;

/// Longest name under which the API server keeps fields.
const LONGEST_MANAGER: usize = 128;

/// Longest name of an entry.
const LONGEST_CONTROLLER: usize = 253;

/// Writes under way at once.
const CONCURRENCY: usize = 8;

/// What is known of the status of an object.
#[derive(Clone, Debug, PartialEq)]
pub enum StatusInput {
    /// The object exists.
    Seen {
        /// Which one.
        key: ObjectKey,
        /// What its status has and shall have.
        known: KnownStatus,
    },
    /// It is gone.
    Gone(ObjectKey),
}

/// What a status has and shall have.
#[derive(Clone, Debug, PartialEq)]
pub enum KnownStatus {
    /// That of an Ingress, which gets the addresses.
    Ingress {
        /// Whether it is ours. One that is ours no longer loses the addresses that we wrote.
        ours: bool,
        /// What it has.
        current: Vec<IngressLoadBalancerIngress>,
    },
    /// That of a kind of ours, which gets an entry of ours among those of other controllers.
    Rule {
        /// What we say of it. One that is ours no longer (`None`) loses our entry.
        wanted: Option<Verdict>,
        /// Our entry, if it has one.
        current: Option<ControllerStatus>,
    },
}

/// The addresses to write; `None` while they are not known, then no Ingress is written.
pub type Addresses = Option<Vec<IngressLoadBalancerIngress>>;

/// Who writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// Name under which the API server keeps what fields are ours, for example `selvedge-ingress`.
    pub manager: Cow<'static, str>,
    /// Name of our entry in the status of kinds of ours, for example `selvedge.dev/ingress`.
    pub controller: Cow<'static, str>,
}

impl Author {
    /// The writer of a program of this name that takes part in a lease. Those who have another lease than the usual one,
    /// as edges of different classes do, have entries of their own, so that none takes away what another one wrote.
    pub fn of(program: &'static str, controller: &'static str, (lease, usual): (&str, &str)) -> Self {
        let named = |name: &'static str, longest: usize| match lease == usual {
            true => name.into(),
            false => format!("{name}/{lease}").chars().take(longest).collect::<String>().into(),
        };
        Self { manager: named(program, LONGEST_MANAGER), controller: named(controller, LONGEST_CONTROLLER) }
    }
}

/// Writes while `leader` is true, until the sender of `inputs` is gone.
pub async fn run(
    client: Client,
    author: Author,
    mut leader: watch::Receiver<bool>,
    mut addresses: watch::Receiver<Addresses>,
    mut inputs: mpsc::UnboundedReceiver<Vec<StatusInput>>,
) {
    let mut writer = Writer {
        client,
        author,
        entries: BTreeMap::new(),
        pending: BTreeSet::new(),
        failed: BTreeSet::new(),
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
            () = sleep_until(retry_at.unwrap_or_else(Instant::now)), if retry_at.is_some() => writer.retry(),
        }
        while let Ok(batch) = inputs.try_recv() {
            writer.take(batch);
        }
        let mut addresses = addresses.borrow_and_update().clone();
        if let Some(addresses) = &mut addresses {
            addresses::sort(addresses);
        }
        if *leader.borrow_and_update() {
            writer.write(addresses.as_deref(), &leader).await;
        }
    }
}

struct Writer {
    client: Client,
    author: Author,
    entries: BTreeMap<ObjectKey, KnownStatus>,
    /// Objects whose status may differ from what it shall be.
    pending: BTreeSet<ObjectKey>,
    /// Those whose write has failed. They wait for another try, and nobody waits for them: one kind may be refused
    /// while another is taken.
    failed: BTreeSet<ObjectKey>,
    backoff: Backoff,
    retry_at: Option<Instant>,
}

/// What is to be done about a status.
enum Due {
    /// It is as it shall be, or what it shall be is not known.
    Nothing,
    /// It is not ours and has nothing of ours.
    Forget,
    /// It differs.
    Write(Box<Write>),
}

/// A write of a status.
struct Write {
    /// All that is ours in the status; `None` if nothing is.
    status: Option<Value>,
    /// What is known once it is written, until the watch tells the same; `None` if nothing is ours then.
    then: Option<KnownStatus>,
}

impl KnownStatus {
    fn due(&self, controller: &str, addresses: Option<&[IngressLoadBalancerIngress]>) -> Due {
        match self {
            Self::Ingress { ours, current } => ingress::due(*ours, current, addresses),
            Self::Rule { wanted, current } => {
                // The API server keeps seconds.
                let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
                rules::due(wanted.as_ref(), current.as_ref(), (controller, now))
            }
        }
    }
}

impl Writer {
    fn take(&mut self, batch: Vec<StatusInput>) {
        for input in batch {
            match input {
                StatusInput::Seen { key, known } => {
                    self.failed.remove(&key);
                    self.pending.insert(key.clone());
                    self.entries.insert(key, known);
                }
                StatusInput::Gone(key) => {
                    self.failed.remove(&key);
                    self.pending.remove(&key);
                    self.entries.remove(&key);
                }
            }
        }
    }

    fn look_at_all(&mut self) {
        self.pending.extend(self.entries.keys().cloned());
        self.failed.clear();
        self.retry_at = None;
    }

    fn retry(&mut self) {
        self.pending.append(&mut self.failed);
        self.retry_at = None;
    }

    async fn write(
        &mut self,
        addresses: Option<&[IngressLoadBalancerIngress]>,
        leader: &watch::Receiver<bool>,
    ) {
        let mut writes = Vec::new();
        for key in std::mem::take(&mut self.pending) {
            let Some(known) = self.entries.get(&key) else { continue };
            match known.due(&self.author.controller, addresses) {
                Due::Nothing => {}
                Due::Forget => drop(self.entries.remove(&key)),
                Due::Write(write) => writes.push((key, *write)),
            }
        }
        let (client, manager) = (&self.client, &*self.author.manager);
        let results = stream::iter(writes).map(|(key, Write { status, then })| async move {
            // Leadership may be lost while a long list is being written.
            let result =
                if *leader.borrow() { Some(apply(client, manager, &key, status).await) } else { None };
            (key, then, result)
        });
        let mut results = std::pin::pin!(results.buffer_unordered(CONCURRENCY));
        while let Some((key, then, result)) = results.next().await {
            match result {
                Some(Ok(())) => match then {
                    Some(known) => drop(self.entries.insert(key, known)),
                    None => drop(self.entries.remove(&key)),
                },
                Some(Err(kube::Error::Api(status))) if status.code == 404 => {
                    self.entries.remove(&key);
                }
                Some(Err(error)) => {
                    tracing::debug!(object = %key, %error, "status cannot be written");
                    if self.failed.is_empty() {
                        tracing::warn!(object = %key, %error, "status cannot be written; trying again");
                    }
                    self.failed.insert(key);
                }
                None => drop(self.pending.insert(key)),
            }
        }
        match self.failed.is_empty() {
            true => self.backoff.reset(),
            false if self.retry_at.is_none() => self.retry_at = Some(Instant::now() + self.backoff.next()),
            false => {}
        }
    }
}

/// Writes our part of a status; what we wrote before and leave out now is removed, and nothing of others.
async fn apply(
    client: &Client,
    manager: &str,
    key: &ObjectKey,
    status: Option<Value>,
) -> Result<(), kube::Error> {
    let mut patch = serde_json::json!({
        "apiVersion": key.kind.api_version(),
        "kind": key.kind.name(),
        "metadata": {"name": key.name},
    });
    // An empty status would become `null` on the way, which the API server then refuses.
    if let Some(status) = status {
        patch["status"] = status;
    }
    let resource = key.kind.resource();
    let api: Api<DynamicObject> = match key.kind.is_namespaced() {
        true => {
            patch["metadata"]["namespace"] = serde_json::json!(key.namespace);
            Api::namespaced_with(client.clone(), &key.namespace, &resource)
        }
        false => Api::all_with(client.clone(), &resource),
    };
    let parameters = PatchParams::apply(manager).force();
    api.patch_status(&key.name, &parameters, &Patch::Apply(patch)).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_a_lease_of_its_own_has_an_entry_of_its_own() {
        let of = |lease| {
            let Author { manager, controller } =
                Author::of("selvedge-ingress", "selvedge.dev/ingress", (lease, "selvedge-ingress"));
            (manager.into_owned(), controller.into_owned())
        };
        let wanted = |manager: &str, controller: &str| (manager.to_owned(), controller.to_owned());
        assert_eq!(of("selvedge-ingress"), wanted("selvedge-ingress", "selvedge.dev/ingress"));
        assert_eq!(of("internal"), wanted("selvedge-ingress/internal", "selvedge.dev/ingress/internal"));
        let (manager, controller) = of(&"l".repeat(253));
        assert_eq!((manager.len(), controller.len()), (128, 253));
    }
}
