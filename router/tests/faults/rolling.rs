//! Nothing lost: requests to ten services go on while all their pods are replaced and rules change.

use std::path::Path;

use selvedge_tests::{
    client::Client,
    edge::{folder, write},
    load::Load,
    pod::{Manners, Pod},
    process::Process,
    router::service,
    waiting::until,
};
use serde_json::{Value, json};

use crate::router;

const SERVICES: usize = 10;
/// Pods of each service.
const PODS: usize = 2;
/// Clients of each service.
const CLIENTS: usize = 2;
const CHANGES: usize = 500;
/// Requests to each service for each change.
const REQUESTS_PER_CHANGE: usize = 4;
/// So many changes, then a pod is replaced, those of one service after the other: in all each pod twice and more.
const CHANGES_PER_PLACE: usize = 10;

/// A service and its pods.
struct Rolled {
    name: String,
    pods: Vec<Pod>,
}

impl Rolled {
    fn start(number: usize) -> Self {
        let pods = (0..PODS).map(|_| Self::pod(number));
        Self { name: format!("service-{number}"), pods: pods.collect() }
    }

    /// Every second service hangs up now and then without a word, as many do.
    fn pod(number: usize) -> Pod {
        Pod::start("pod", if number.is_multiple_of(2) { Manners::Good } else { Manners::Rude })
    }

    fn write(&self, folder: &Path) {
        let addresses: Vec<_> = self.pods.iter().map(|pod| pod.address).collect();
        write(folder, &format!("{}.json", self.name), &service("shop", &self.name, 80, &addresses));
    }

    /// Replaces the oldest pod as a rolling restart does: the new one is announced, the old one is gone from the list
    /// and stops after that.
    fn replace_oldest(&mut self, number: usize, folder: &Path, router: &Process) {
        self.pods.push(Self::pod(number));
        let old = self.pods.remove(0);
        self.write(folder);
        let gone = old.address.to_string();
        until(|| endpoints(router, &self.name).iter().all(|address| *address != gone).then_some(()));
        old.stop();
    }
}

/// The addresses that the router has in effect for a service.
fn endpoints(router: &Process, name: &str) -> Vec<String> {
    let page: Value = serde_json::from_str(&router.admin_page("/snapshot")).unwrap();
    let list = page["endpoints"][format!("shop/{name}:80")].as_array().cloned().unwrap_or_default();
    list.iter().map(|endpoint| endpoint["address"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Changes the rule of a service, and waits until the change is answered.
fn change(folder: &Path, router: &Process, number: usize) {
    let name = format!("service-{}", number % SERVICES);
    let version = number.to_string();
    let other = format!("service-{}", (number + 1) % SERVICES);
    // Another service gets a share now and then, so that weights and backends change, too.
    let backends = json!([
        {"service": name, "port": 80, "weight": 90},
        {"service": other, "port": 80, "weight": number % 3 * 5},
    ]);
    let rule = json!({
        "apiVersion": "selvedge.dev/v1alpha1", "kind": "RouteRule",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {
            "targets": [{"service": name}],
            "rules": [{
                "backends": backends,
                "headers": {"response": {"set": {"x-version": version}}},
                "retry": {"attempts": 2, "when": ["connect-failure", "reset"]},
            }],
        },
    });
    write(folder, &format!("rule-{name}.json"), &[rule]);
    let host = format!("{name}.shop");
    until(|| {
        let answer = Client::connect(router.http()).get(&host, "/");
        (answer.field("x-version") == Some(version.as_str())).then_some(())
    });
}

#[test]
fn no_request_is_lost_while_every_pod_is_replaced_and_rules_change_five_hundred_times() {
    let folder = folder();
    let mut services: Vec<_> = (0..SERVICES).map(Rolled::start).collect();
    services.iter().for_each(|service| service.write(folder.path()));
    let router = router(folder.path(), &["--workers=2"]);
    let load = |service: &Rolled| Load::paced(router.http(), &format!("{}.shop", service.name), CLIENTS);
    let loads: Vec<_> = services.iter().map(load).collect();
    for number in 0..CHANGES {
        for load in &loads {
            load.until_requests(REQUESTS_PER_CHANGE * number);
            load.allow(REQUESTS_PER_CHANGE);
        }
        change(folder.path(), &router, number);
        if number.is_multiple_of(CHANGES_PER_PLACE) {
            let place = number / CHANGES_PER_PLACE % SERVICES;
            services[place].replace_oldest(place, folder.path(), &router);
        }
    }
    for load in loads {
        load.until_requests(REQUESTS_PER_CHANGE * CHANGES);
        let result = load.stop();
        assert_eq!((result.requests, result.failed), (REQUESTS_PER_CHANGE * CHANGES, 0), "{result:?}");
        assert_eq!(result.connections, CLIENTS, "each client keeps its one connection");
    }
    let pods = services.iter().flat_map(|service| &service.pods);
    assert!(pods.into_iter().all(|pod| pod.requests() > 0), "requests follow the endpoints");
}
