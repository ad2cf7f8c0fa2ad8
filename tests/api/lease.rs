//! Leader election between instances.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};
use selvedge_common::kube::lease::{self, LeaseSettings};
use tokio::{sync::watch, task::JoinHandle};

use crate::servers::on_each;
use selvedge_tests::waiting::PATIENCE;

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
            let leader = selvedge_tests::waiting::eventually(async || {
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
