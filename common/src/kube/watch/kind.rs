//! One kind of object, in one namespace or everywhere: listed, watched, and listed anew as a difference.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::StreamExt;
use kube::{
    Api, Client,
    runtime::watcher::{self, Event, watcher},
};
use tokio::{
    sync::mpsc::{Sender, error::SendError},
    time::{Instant, sleep},
};

use super::{
    Part, PartEvent, WatchEvent,
    versions::{Version, Versions},
};
use crate::kube::{
    backoff::Backoff,
    objects::{Kind, Object, ObjectEvent, ObjectKey},
    raw::Raw,
};

/// An API server that has just started may deny for a moment what it allows.
const DENIED_AFTER: Duration = Duration::from_secs(5);
/// How often a kind is asked for that is denied or missing.
const DENIED_RETRY: Duration = Duration::from_secs(5);
/// Longest wait before the API server is asked again.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Objects in one answer of a list. All of an answer are held as JSON at once, which takes ten times as much room as what
/// is kept of them.
const PAGE_SIZE: u32 = 500;

/// Secrets with certificates.
const CERTIFICATES: &str = "type=kubernetes.io/tls";
/// All Secrets but those that hold none of what objects refer to, of which there are many.
const ALL_SECRETS: &str = "type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token,\
    type!=kubernetes.io/dockerconfigjson,type!=bootstrap.kubernetes.io/token";

type Out = Sender<PartEvent>;
type Closed = SendError<PartEvent>;

/// Watches until the receiver is gone.
pub(super) async fn watch(client: Client, (part, all_secrets): (Part, bool), out: Out) {
    let resource = part.kind.resource();
    let api: Api<Raw> = match &part.namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, &resource),
        None => Api::all_with(client, &resource),
    };
    let mut watching = Watching::new(part, out);
    // Ends with an error only when nobody listens any more.
    let _ = watching.run(api, if all_secrets { ALL_SECRETS } else { CERTIFICATES }).await;
}

/// What is known of one kind.
struct Watching {
    part: Part,
    out: Out,
    /// The namespace of the object that came last: most objects have that of the one before, whose text they share.
    namespace: Arc<str>,
    /// Every object with its version, so that a list anew is a difference.
    known: Versions,
    /// The list that is coming in.
    listing: Versions,
    listed: Vec<ObjectEvent>,
    health: Health,
    backoff: Backoff,
    since: Instant,
    settled: bool,
}

/// Whether the kind can be read, as far as it has been said.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Health {
    Good,
    Failing,
    Refused,
}

/// What an error asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remedy {
    /// The watcher goes on by itself.
    Continue,
    /// Something was missed; only a list anew tells what.
    Relist,
    Denied,
    Missing,
}

impl Watching {
    fn new(part: Part, out: Out) -> Self {
        Self {
            part,
            out,
            namespace: Arc::default(),
            known: Versions::default(),
            listing: Versions::default(),
            listed: Vec::new(),
            health: Health::Good,
            backoff: Backoff::new(Duration::from_millis(50), LONGEST_WAIT),
            since: Instant::now(),
            settled: false,
        }
    }

    async fn run(&mut self, api: Api<Raw>, secrets: &str) -> Result<(), Closed> {
        let mut config = watcher::Config::default().page_size(PAGE_SIZE);
        if self.part.kind == Kind::Secret {
            config = config.fields(secrets);
        }
        loop {
            let mut events = pin!(watcher(api.clone(), config.clone()));
            while let Some(event) = events.next().await {
                let remedy = match event {
                    Ok(event) => {
                        self.take(event).await?;
                        continue;
                    }
                    Err(error) => self.fail(&error).await?,
                };
                if remedy == Remedy::Relist {
                    break;
                }
            }
        }
    }

    async fn take(&mut self, event: Event<Raw>) -> Result<(), Closed> {
        match event {
            Event::Init => {
                self.listing.clear();
                self.listed.clear();
                return Ok(());
            }
            Event::InitApply(raw) => {
                let key = self.key(&raw);
                let version = Version::from(raw.version());
                if !self.known.has(&key.namespace, &key.name, &version)
                    && let Some(event) = self.decode(&key, raw).await?
                {
                    self.listed.push(event);
                }
                self.listing.set(&key.namespace, &key.name, version);
            }
            Event::InitDone => self.finish_list().await?,
            Event::Apply(raw) => {
                let key = self.key(&raw);
                self.known.set(&key.namespace, &key.name, raw.version().into());
                if let Some(event) = self.decode(&key, raw).await? {
                    self.out.send(PartEvent::Objects(vec![event])).await?;
                }
            }
            Event::Delete(raw) => {
                let key = self.key(&raw);
                self.known.remove(&key.namespace, &key.name);
                self.out.send(PartEvent::Objects(vec![ObjectEvent::Deleted(key)])).await?;
            }
        }
        self.recover().await
    }

    /// Says what the list differs in, all at once.
    async fn finish_list(&mut self) -> Result<(), Closed> {
        let before = std::mem::replace(&mut self.known, std::mem::take(&mut self.listing));
        let mut events = std::mem::take(&mut self.listed);
        let gone = before.without(&self.known).map(|(namespace, name)| ObjectKey {
            kind: self.part.kind,
            namespace: namespace.clone(),
            name: name.into(),
        });
        events.extend(gone.map(ObjectEvent::Deleted));
        if !events.is_empty() {
            self.out.send(PartEvent::Objects(events)).await?;
        }
        self.settle().await
    }

    async fn settle(&mut self) -> Result<(), Closed> {
        if !std::mem::replace(&mut self.settled, true) {
            self.out.send(PartEvent::Settled(self.part.clone())).await?;
        }
        Ok(())
    }

    async fn decode(&self, key: &ObjectKey, raw: Raw) -> Result<Option<ObjectEvent>, Closed> {
        match Object::from_json(key.kind, raw.value) {
            Ok(object) => Ok(Some(ObjectEvent::Applied(object))),
            Err(error) => {
                let message = error.to_string();
                tracing::warn!(object = %key, %message, "object cannot be read; what was known of it stays");
                self.say(WatchEvent::Undecodable { key: key.clone(), message }).await?;
                Ok(None)
            }
        }
    }

    fn key(&mut self, raw: &Raw) -> ObjectKey {
        if *self.namespace != *raw.namespace() {
            self.namespace = raw.namespace().into();
        }
        ObjectKey { kind: self.part.kind, namespace: self.namespace.clone(), name: raw.name().into() }
    }

    async fn say(&self, event: WatchEvent) -> Result<(), Closed> {
        self.out.send(PartEvent::Said(event)).await
    }

    async fn recover(&mut self) -> Result<(), Closed> {
        self.backoff.reset();
        let part = self.part.clone();
        match std::mem::replace(&mut self.health, Health::Good) {
            Health::Good => {}
            Health::Failing => tracing::info!(%part, "the API server answers again"),
            Health::Refused => {
                tracing::info!(%part, "can be read now");
                self.say(WatchEvent::Readable { part }).await?;
            }
        }
        Ok(())
    }

    /// Says what is wrong, once, and waits before the next try.
    async fn fail(&mut self, error: &watcher::Error) -> Result<Remedy, Closed> {
        let remedy = remedy(error);
        let refused = match remedy {
            Remedy::Denied => self.since.elapsed() >= DENIED_AFTER || self.settled,
            Remedy::Missing => true,
            _ => false,
        };
        let part = self.part.clone();
        if refused && self.health != Health::Refused {
            self.health = Health::Refused;
            let message = error.to_string();
            match remedy {
                Remedy::Missing => {
                    tracing::warn!(%part, "the API server does not know this kind; going on without it");
                    self.say(WatchEvent::Missing { part }).await?;
                }
                _ => {
                    tracing::warn!(%part, %message, "may not be read; going on with what is known of it");
                    self.say(WatchEvent::Denied { part, message }).await?;
                }
            }
            self.settle().await?;
        } else if !refused && self.health == Health::Good && !is_routine(error) {
            self.health = Health::Failing;
            tracing::warn!(%part, %error, "cannot be watched; what is known of it stays");
        } else {
            tracing::debug!(%part, %error, "watch failed");
        }
        let wait = self.backoff.next();
        sleep(if refused { DENIED_RETRY.max(wait) } else { wait }).await;
        Ok(remedy)
    }
}

/// Too old a version and a connection that ends are part of the protocol.
fn is_routine(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::WatchError(status) => status.code == 410,
        watcher::Error::WatchFailed(kube::Error::ReadEvents(_)) => true,
        _ => status_code(error) == Some(410),
    }
}

fn status_code(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::WatchError(status) => Some(status.code),
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status)) => Some(status.code),
        _ => None,
    }
}

fn remedy(error: &watcher::Error) -> Remedy {
    match (status_code(error), error) {
        (Some(401 | 403), _) => Remedy::Denied,
        (Some(404), _) => Remedy::Missing,
        (Some(410), _) | (_, watcher::Error::WatchError(_)) => Remedy::Relist,
        // A line that is no event may have been one.
        (_, watcher::Error::WatchFailed(kube::Error::SerdeError(_))) => Remedy::Relist,
        _ => Remedy::Continue,
    }
}
