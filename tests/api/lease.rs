//! Leader election between instances.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client, api::PostParams};
use selvedge_common::kube::lease::{self, LeaseSettings};
use tokio::{sync::watch, task::JoinHandle};

use crate::servers::on_each;
use selvedge_tests::waiting::{PATIENCE, eventually};

struct Candidate {
    leads: watch::Receiver<bool>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Candidate {
    fn new(client: &Client, namespace: &str, identity: &str) -> Self {
        let settings = LeaseSettings {
            duration: Duration::from_secs(2),
            renew_deadline: Duration::from_secs(1),
            retry: Duration::from_millis(50),
            ..LeaseSettings::new(namespace, "edge", identity)
        };
        let (leader, leads) = watch::channel(false);
        let (stop, stopped) = watch::channel(false);
        Self { leads, stop, task: tokio::spawn(lease::run(client.clone(), settings, leader, stopped)) }
    }

    async fn until(&mut self, leads: bool) {
        let waiting = self.leads.wait_for(|now| *now == leads);
        tokio::time::timeout(PATIENCE, waiting).await.expect("it comes true").expect("the candidate lives");
    }
}

async fn lease(client: &Client, namespace: &str) -> Lease {
    Api::namespaced(client.clone(), namespace).get("edge").await.unwrap()
}

#[tokio::test]
async fn a_leader_that_stops_hands_over_at_once() {
    on_each(async |client, namespace| {
        let mut first = Candidate::new(&client, &namespace, "first");
        first.until(true).await;
        let mut second = Candidate::new(&client, &namespace, "second");
        first.stop.send(true).unwrap();
        first.task.await.unwrap();
        assert!(!*first.leads.borrow());
        second.until(true).await;
        let spec = lease(&client, &namespace).await.spec.unwrap();
        assert_eq!(spec.holder_identity.as_deref(), Some("second"));
        assert_eq!(spec.lease_transitions, Some(1));
        second.stop.send(true).unwrap();
        second.task.await.unwrap();
        let spec = lease(&client, &namespace).await.spec.unwrap();
        assert_eq!(spec.holder_identity.unwrap_or_default(), "");
    })
    .await;
}

#[tokio::test]
async fn a_leader_that_vanishes_is_replaced_when_its_lease_runs_out() {
    on_each(async |client, namespace| {
        let mut first = Candidate::new(&client, &namespace, "first");
        first.until(true).await;
        first.task.abort();
        let mut second = Candidate::new(&client, &namespace, "second");
        second.until(true).await;
    })
    .await;
}

#[tokio::test]
async fn only_one_of_many_leads() {
    on_each(async |client, namespace| {
        let mut candidates: Vec<_> =
            ["a", "b", "c"].iter().map(|name| Candidate::new(&client, &namespace, name)).collect();
        for _ in 0..3 {
            let leader = eventually(async || {
                let leaders: Vec<_> =
                    (0..candidates.len()).filter(|i| *candidates[*i].leads.borrow()).collect();
                assert!(leaders.len() <= 1, "{leaders:?}");
                leaders.first().copied()
            })
            .await;
            let leader = candidates.remove(leader);
            leader.stop.send(true).unwrap();
            leader.task.await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn a_leader_that_cannot_renew_steps_down_and_comes_back() {
    let mut server = selvedge_tests::api_server::ApiServer::start().await;
    let mut candidate = Candidate::new(&server.client(), "default", "only");
    candidate.until(true).await;
    server.stop();
    candidate.until(false).await;
    server.restart().await;
    candidate.until(true).await;
}

/// A lease that somebody holds whose clock says this.
async fn held_at(client: &Client, namespace: &str, time: &str) -> Lease {
    let object = serde_json::json!({
        "metadata": {"name": "edge"},
        "spec": {
            "holderIdentity": "other", "leaseDurationSeconds": 3600, "acquireTime": time, "renewTime": time,
        },
    });
    let lease: Lease = serde_json::from_value(object).unwrap();
    Api::namespaced(client.clone(), namespace).create(&PostParams::default(), &lease).await.unwrap()
}

#[tokio::test]
async fn a_holder_whose_clock_is_ahead_is_replaced_when_it_has_vanished() {
    on_each(async |client, namespace| {
        held_at(&client, &namespace, "2199-01-01T00:00:00.000000Z").await;
        Candidate::new(&client, &namespace, "second").until(true).await;
    })
    .await;
}

#[tokio::test]
async fn a_holder_whose_clock_is_behind_stays_as_long_as_it_renews() {
    on_each(async |client, namespace| {
        let mut lease = held_at(&client, &namespace, "1999-01-01T00:00:00.000000Z").await;
        let candidate = Candidate::new(&client, &namespace, "second");
        let api: Api<Lease> = Api::namespaced(client.clone(), &namespace);
        let start = Instant::now();
        eventually(async || {
            let spec = lease.spec.as_mut().unwrap();
            // Each renewal is a change, whatever time it says.
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0) + 1);
            lease = api.replace("edge", &PostParams::default(), &lease).await.unwrap();
            assert!(!*candidate.leads.borrow(), "it is held");
            (start.elapsed() > Duration::from_secs(3)).then_some(())
        })
        .await;
    })
    .await;
}
