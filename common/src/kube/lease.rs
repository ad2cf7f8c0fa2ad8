//! Who of several instances may write: leader election on a `coordination.k8s.io/v1` Lease.

use std::time::Duration;

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

/// The lease and how it is held.
#[derive(Clone, Debug)]
pub struct LeaseSettings {
    /// Namespace of the lease.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Name of this instance; no other may have it.
    pub identity: String,
    /// How long others wait for a holder that has gone silent.
    pub duration: Duration,
    /// A holder that could not renew for so long steps down; shorter than `duration`.
    pub renew_deadline: Duration,
    /// How often it is renewed or tried for.
    pub retry: Duration,
}

impl LeaseSettings {
    /// The usual times: 15 s, 10 s and 2 s.
    pub fn new(namespace: &str, name: &str, identity: &str) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
            identity: identity.into(),
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// Takes part in the election until `shutdown` is true or its sender is gone, then gives the lease back.
///
/// `leader` is true while this instance holds the lease.
pub async fn run(
    client: Client,
    settings: LeaseSettings,
    leader: watch::Sender<bool>,
    mut shutdown: watch::Receiver<bool>,
) {
    let api = Api::namespaced(client, &settings.namespace);
    let mut candidate = Candidate { api, settings, leader, seen: None, renewed: None, failing: false };
    tokio::select! {
        () = candidate.campaign() => {}
        _ = shutdown.wait_for(|stop| *stop) => {}
    }
    candidate.release().await;
}

struct Candidate {
    api: Api<Lease>,
    settings: LeaseSettings,
    leader: watch::Sender<bool>,
    /// Version of the lease that was last seen, and when it was first seen. Times in the lease are of other
    /// clocks, so only that it changes counts.
    seen: Option<(String, Instant)>,
    /// When this instance last took or renewed the lease.
    renewed: Option<Instant>,
    failing: bool,
}

impl Candidate {
    async fn campaign(&mut self) {
        loop {
            let started = Instant::now();
            // A try that hangs must not outlast the lease.
            let time = left(&self.settings, self.renewed.map(|renewed| renewed.elapsed()));
            let tried = timeout(time.min(self.settings.renew_deadline / 2), self.try_once()).await;
            let tried = tried.map_err(|_| "no answer".to_owned());
            match tried.and_then(|tried| tried.map_err(|error| error.to_string())) {
                Ok(true) => {
                    self.renewed = Some(started);
                    self.failing = false;
                }
                Ok(false) => {
                    self.renewed = None;
                    self.failing = false;
                }
                Err(error) if self.failing => tracing::debug!(%error, "lease cannot be taken or renewed"),
                Err(error) => {
                    self.failing = true;
                    tracing::warn!(%error, "lease cannot be taken or renewed");
                }
            }
            if self.renewed.is_some_and(|renewed| renewed.elapsed() >= self.settings.renew_deadline) {
                self.renewed = None;
            }
            self.tell(self.renewed.is_some());
            let pause = left(&self.settings, self.renewed.map(|renewed| renewed.elapsed()));
            sleep(pause.min(self.settings.retry)).await;
        }
    }

    fn tell(&self, leads: bool) {
        let changed = self.leader.send_if_modified(|leader| std::mem::replace(leader, leads) != leads);
        if changed {
            let identity = &self.settings.identity;
            tracing::info!(identity, "{}", if leads { "leads" } else { "leads no longer" });
        }
    }

    /// Takes or renews the lease; `false` if another holds it.
    async fn try_once(&mut self) -> Result<bool, kube::Error> {
        let Some(mut lease) = self.api.get_opt(&self.settings.name).await? else {
            let metadata = ObjectMeta { name: Some(self.settings.name.clone()), ..ObjectMeta::default() };
            let lease = Lease { metadata, spec: Some(self.held(None)) };
            return won(self.api.create(&PostParams::default(), &lease).await);
        };
        let version = lease.metadata.resource_version.clone().unwrap_or_default();
        if self.seen.as_ref().is_none_or(|(seen, _)| *seen != version) {
            self.seen = Some((version, Instant::now()));
        }
        let spec = lease.spec.take().unwrap_or_default();
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        let silent = self.seen.as_ref().is_some_and(|(_, since)| since.elapsed() >= self.settings.duration);
        if !holder.is_empty() && holder != self.settings.identity && !silent {
            return Ok(false);
        }
        lease.spec = Some(self.held(Some(&spec)));
        won(self.api.replace(&self.settings.name, &PostParams::default(), &lease).await)
    }

    fn held(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let mine = before.is_some_and(|b| b.holder_identity.as_deref() == Some(&*self.settings.identity));
        let transitions = before.and_then(|before| before.lease_transitions).unwrap_or(0);
        LeaseSpec {
            holder_identity: Some(self.settings.identity.clone()),
            lease_duration_seconds: Some(self.settings.duration.as_secs().max(1) as i32),
            acquire_time: match before {
                Some(before) if mine => before.acquire_time.clone(),
                _ => Some(now.clone()),
            },
            renew_time: Some(now),
            lease_transitions: Some(transitions + i32::from(before.is_some() && !mine)),
            ..LeaseSpec::default()
        }
    }

    /// Gives the lease back, so that another need not wait until it runs out.
    async fn release(&mut self) {
        let held = self.renewed.take().is_some();
        self.tell(false);
        if !held {
            return;
        }
        let released = timeout(self.settings.retry, async {
            let mut lease = self.api.get(&self.settings.name).await?;
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() == Some(&*self.settings.identity) {
                spec.holder_identity = Some(String::new());
                spec.lease_duration_seconds = Some(1);
                self.api.replace(&self.settings.name, &PostParams::default(), &lease).await?;
            }
            Ok::<_, kube::Error>(())
        });
        if !matches!(released.await, Ok(Ok(()))) {
            tracing::debug!("lease could not be given back; it runs out by itself");
        }
    }
}

/// How long a try or a pause may be so that a holder steps down in time, if it has been so long since it renewed.
fn left(settings: &LeaseSettings, since_renewal: Option<Duration>) -> Duration {
    since_renewal.map_or(settings.renew_deadline, |since| settings.renew_deadline.saturating_sub(since))
}

/// Whether a write won; losing against another writer is no error.
fn won(written: Result<Lease, kube::Error>) -> Result<bool, kube::Error> {
    match written {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_a_try_nor_a_pause_carries_a_holder_past_its_deadline() {
        let settings = LeaseSettings::new("default", "edge", "one");
        let seconds = Duration::from_secs;
        let table = [(None, 10), (Some(0), 10), (Some(7), 3), (Some(10), 0), (Some(12), 0)];
        for (since, wanted) in table {
            assert_eq!(left(&settings, since.map(seconds)), seconds(wanted), "{since:?}");
        }
    }
}
