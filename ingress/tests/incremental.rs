//! The translation that follows changes says the same as one from nothing, and does no more than it must.

mod universe;

use std::sync::Arc;

use proptest::prelude::*;
use selvedge_common::{
    kube::{
        objects::{Kind, Object, ObjectEvent, ObjectKey},
        translation::{Outcome, Reconciler, StatusChange},
    },
    model::{HostMatch, Snapshot},
    source::Update,
};
use selvedge_ingress::{settings::Settings, translate::Edge};
use selvedge_tests::follower::{Follower, from_nothing};
use serde_json::{Value, json};
use universe::{Batches, settings};

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_events_leads_to_the_translation_from_nothing(
        settings in settings(),
        batches in Batches::any(),
    ) {
        let mut reconciler = Reconciler::new(Edge::new(settings.clone()));
        let mut follower = Follower::default();
        for batch in batches.events() {
            let outcome = reconciler.apply(batch);
            follower.apply(&outcome);
            follower.check(&reconciler);
            let fresh = from_nothing(Edge::new(settings.clone()), &reconciler);
            prop_assert_eq!(fresh.snapshot(), reconciler.snapshot());
            prop_assert_eq!(fresh.endpoints(), reconciler.endpoints());
            prop_assert!(fresh.problems().eq(reconciler.problems()));
            prop_assert_eq!(fresh.ours(), reconciler.ours());
        }
    }
}

fn object(kind: Kind, value: Value) -> ObjectEvent {
    ObjectEvent::Applied(Object::from_json(kind, value).expect("the object is readable"))
}

fn class(name: &str, controller: &str) -> ObjectEvent {
    object(Kind::IngressClass, json!({"metadata": {"name": name}, "spec": {"controller": controller}}))
}

fn service(name: &str) -> ObjectEvent {
    object(
        Kind::Service,
        json!({"metadata": {"name": name, "namespace": "ns"}, "spec": {"ports": [{"port": 80}]}}),
    )
}

fn slice(service: &str, address: &str) -> ObjectEvent {
    object(
        Kind::EndpointSlice,
        json!({
            "metadata": {"name": service, "namespace": "ns", "labels": {"kubernetes.io/service-name": service}},
            "addressType": "IPv4", "ports": [{"port": 8080}], "endpoints": [{"addresses": [address]}],
        }),
    )
}

fn ingress(name: &str, path: &str, class: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "ns"},
        "spec": {"ingressClassName": class, "rules": [{"host": format!("{name}.example"), "http": {"paths": [
            {"path": path, "pathType": "Prefix", "backend": {"service": {"name": name, "port": {"number": 80}}}},
        ]}}]},
    })
}

/// A thousand Ingresses, each with its host, its Service and its slice.
fn thousand() -> Reconciler<Edge> {
    let mut reconciler = Reconciler::new(Edge::new(Settings::default()));
    let mut events = vec![class("edge", "selvedge.dev/ingress"), class("other", "example.com/other")];
    for index in 0..1000 {
        let name = format!("i{index}");
        events.push(object(Kind::Ingress, ingress(&name, "/", "edge")));
        events.push(service(&name));
        events.push(slice(&name, "192.0.2.1"));
    }
    let outcome = reconciler.apply(events);
    assert_eq!(outcome.hosts_translated, 1000);
    reconciler
}

fn host(name: &str) -> HostMatch {
    HostMatch::Exact(name.into())
}

#[test]
fn one_changed_ingress_of_a_thousand_translates_one_host_and_shares_the_rest() {
    let mut reconciler = thousand();
    let before = reconciler.snapshot().clone();
    let outcome = reconciler.apply([object(Kind::Ingress, ingress("i7", "/new", "edge"))]);
    assert_eq!(outcome.hosts_translated, 1);
    let Some(Update::Snapshot { snapshot, endpoints }) = outcome.update else { panic!("no snapshot") };
    assert_eq!(endpoints, []);
    assert_eq!(snapshot.backends.own_pieces(&before.backends), 0);
    let (before, after) = (&before.route_sets[&"edge".into()], &snapshot.route_sets[&"edge".into()]);
    let differ = |(host, entry): (&HostMatch, &Arc<_>)| !Arc::ptr_eq(&before.hosts[host], entry);
    assert_eq!(after.hosts.iter().filter(|(host, entry)| differ((host, entry))).count(), 1);
    assert_ne!(before.hosts[&host("i7.example")], after.hosts[&host("i7.example")]);
    assert_eq!(after.hosts.own_pieces(&before.hosts), 1, "what is beside it is not even copied");
}

#[test]
fn a_changed_slice_takes_the_short_way() {
    let mut reconciler = thousand();
    let outcome = reconciler.apply([slice("i7", "192.0.2.2")]);
    assert_eq!(outcome.hosts_translated, 0);
    let Some(Update::Endpoints(endpoints)) = outcome.update else { panic!("not only endpoints") };
    assert_eq!(endpoints.len(), 1);
    assert_eq!(
        (endpoints[0].0.as_str(), endpoints[0].1[0].address.to_string()),
        ("ns/i7:80", "192.0.2.2:8080".into())
    );
    assert_eq!(reconciler.apply([slice("nobody", "192.0.2.2")]).update, None);
}

#[test]
fn a_changed_service_translates_the_hosts_that_read_it() {
    let mut reconciler = thousand();
    let key = ObjectKey::new(Kind::Service, "ns", "i7");
    let outcome = reconciler.apply([ObjectEvent::Deleted(key)]);
    assert_eq!((outcome.hosts_translated, outcome.problems_added.len()), (1, 1));
    let outcome = reconciler.apply([service("i7")]);
    assert_eq!((outcome.hosts_translated, outcome.problems_removed.len()), (1, 1));
    let Some(Update::Snapshot { endpoints, .. }) = outcome.update else { panic!("no snapshot") };
    assert_eq!(endpoints.len(), 1, "a backend that is new again comes with its endpoints");
}

#[test]
fn a_written_status_and_an_equal_object_change_nothing() {
    let mut reconciler = thousand();
    assert_eq!(reconciler.apply([service("i7"), slice("i7", "192.0.2.1")]), Outcome::default());
    let mut written = ingress("i7", "/", "edge");
    written["status"] = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.80"}]}});
    let outcome = reconciler.apply([object(Kind::Ingress, written)]);
    let key = ObjectKey::new(Kind::Ingress, "ns", "i7");
    assert_eq!(
        outcome,
        Outcome {
            statuses: vec![StatusChange { key, ours: true, targets: Vec::new(), problems: Vec::new() }],
            ..Outcome::default()
        }
    );
}

#[test]
fn a_class_change_withdraws_routes_and_clears_the_status() {
    let mut reconciler = thousand();
    let key = ObjectKey::new(Kind::Ingress, "ns", "i7");
    assert!(reconciler.ours().contains_key(&key));
    let outcome = reconciler.apply([object(Kind::Ingress, ingress("i7", "/", "other"))]);
    let lost = StatusChange { key: key.clone(), ours: false, targets: Vec::new(), problems: Vec::new() };
    assert_eq!(outcome.statuses, [lost]);
    assert!(!reconciler.ours().contains_key(&key));
    let snapshot = reconciler.snapshot();
    assert!(!snapshot.route_sets[&"edge".into()].hosts.contains_key(&host("i7.example")));
    assert!(!snapshot.backends.contains_key(&"ns/i7:80".into()));
    let outcome = reconciler.apply([ObjectEvent::Deleted(key)]);
    assert_eq!(outcome.statuses, [], "what is gone has no status");
}

#[test]
fn a_class_that_appears_brings_all_its_ingresses() {
    let mut reconciler = thousand();
    let outcome = reconciler.apply([ObjectEvent::Deleted(ObjectKey::new(Kind::IngressClass, "", "edge"))]);
    assert_eq!(outcome.problems_added.len(), 1000);
    assert!(reconciler.snapshot().backends.is_empty());
    let outcome = reconciler.apply([class("edge", "selvedge.dev/ingress")]);
    assert_eq!((outcome.problems_removed.len(), outcome.statuses.len()), (1000, 1000));
    assert_eq!(reconciler.snapshot().backends.len(), 1000);
}

#[test]
fn the_first_batch_is_an_update_even_without_objects() {
    let mut reconciler = Reconciler::new(Edge::new(Settings::default()));
    assert!(matches!(reconciler.apply([]).update, Some(Update::Snapshot { .. })));
    assert_eq!(reconciler.apply([]), Outcome::default());
}

#[test]
fn a_wildcard_that_gets_tls_switches_redirects_below_it_on() {
    let mut reconciler = thousand();
    let mut redirecting = ingress("i7", "/", "edge");
    redirecting["metadata"]["annotations"] = json!({"selvedge.dev/ssl-redirect": "true"});
    reconciler.apply([object(Kind::Ingress, redirecting)]);
    let filters = |reconciler: &Reconciler<Edge>| {
        let hosts = &reconciler.snapshot().route_sets[&"edge".into()].hosts;
        hosts[&host("i7.example")].routes[0].filters.len()
    };
    assert_eq!(filters(&reconciler), 0);
    let tls = json!({
        "metadata": {"name": "tls", "namespace": "other"},
        "spec": {"ingressClassName": "edge", "tls": [{"hosts": ["*.example"]}]},
    });
    let outcome = reconciler.apply([object(Kind::Ingress, tls.clone())]);
    assert_eq!((filters(&reconciler), outcome.hosts_translated), (1, 1001));
    let mut more = tls;
    more["metadata"]["name"] = json!("more");
    assert_eq!(
        reconciler.apply([object(Kind::Ingress, more)]).hosts_translated,
        1,
        "nothing new for the others"
    );
}

#[test]
fn a_service_that_becomes_an_external_name_and_back_brings_its_endpoints_again() {
    let mut reconciler = thousand();
    let mut follower = Follower::default();
    follower.apply(&Outcome { update: Some(reconciler.whole()), ..Outcome::default() });
    let external = json!({
        "metadata": {"name": "i7", "namespace": "ns"},
        "spec": {"type": "ExternalName", "externalName": "origin.example"},
    });
    for event in [object(Kind::Service, external), service("i7")] {
        follower.apply(&reconciler.apply([event]));
        assert_eq!(&follower.endpoints, reconciler.endpoints());
    }
    assert_eq!(follower.endpoints.len(), 1000);
}

fn route_rule(name: &str, target: &Value) -> ObjectEvent {
    object(
        Kind::RouteRule,
        json!({
            "metadata": {"name": name, "namespace": "ns"},
            "spec": {"targets": [target], "rules": [{"respond": {"status": 418}}]},
        }),
    )
}

#[test]
fn a_rule_translates_what_it_is_for_and_nothing_else_but_where_it_is_the_first_or_the_last() {
    let mut reconciler = thousand();
    let before = reconciler.snapshot().clone();
    let rule = |index| route_rule(&format!("r{index}"), &json!({"service": format!("i{index}")}));
    // Nobody has asked who the others are for; those that differ are a host and the rules of its Service.
    assert_eq!(reconciler.apply([rule(7)]).hosts_translated, 1001);
    let outcome = reconciler.apply([rule(8)]);
    assert_eq!(outcome.hosts_translated, 2);
    let of = |snapshot: &Snapshot| snapshot.route_sets[&"edge".into()].clone();
    let (before, after) = (of(&before), of(reconciler.snapshot()));
    let differ = |(host, entry): &(&HostMatch, &Arc<_>)| !Arc::ptr_eq(&before.hosts[*host], entry);
    let differing: Vec<_> = after.hosts.iter().filter(differ).map(|(host, _)| host.clone()).collect();
    assert_eq!(differing, [host("i7.example"), host("i8.example")]);
    let inner = &reconciler.snapshot().route_sets[&"services".into()].hosts;
    assert_eq!(inner.keys().cloned().collect::<Vec<_>>(), [host("ns/i7:80"), host("ns/i8:80")]);
    assert_eq!(reconciler.apply([route_rule("r9", &json!({"host": "new.example"}))]).hosts_translated, 1);
    let gone = |name: &str| ObjectEvent::Deleted(ObjectKey::new(Kind::RouteRule, "ns", name));
    assert_eq!(reconciler.apply([gone("r9")]).hosts_translated, 0);
    // The rules of both Services once more, before nobody leads there.
    assert_eq!(reconciler.apply([gone("r8"), gone("r7")]).hosts_translated, 1002);
    assert_eq!(*of(reconciler.snapshot()), *before);
    assert!(reconciler.snapshot().route_sets[&"services".into()].hosts.is_empty());
}

#[test]
fn a_policy_translates_the_hosts_that_it_is_for() {
    let mut reconciler = thousand();
    let policy = |name: &str, target: Value| {
        object(
            Kind::TrafficPolicy,
            json!({
                "metadata": {"name": name, "namespace": "ns"},
                "spec": {"targets": [target], "timeouts": {"request": "5s"}},
            }),
        )
    };
    reconciler.apply([policy("first", json!({"kind": "Service", "name": "none"}))]);
    for target in [json!({"kind": "Service", "name": "i7"}), json!({"kind": "Ingress", "name": "i7"})] {
        assert_eq!(reconciler.apply([policy("p", target)]).hosts_translated, 1);
    }
    assert_eq!(reconciler.apply([policy("p", json!({"kind": "Namespace"}))]).hosts_translated, 1000);
}

#[test]
fn parameters_translate_the_hosts_of_their_class() {
    let mut reconciler = thousand();
    let parameters = |bytes: u64| {
        object(Kind::EdgeParameters, json!({"metadata": {"name": "small"}, "spec": {"maxBodyBytes": bytes}}))
    };
    let class = json!({"metadata": {"name": "small"}, "spec": {"controller": "selvedge.dev/ingress",
        "parameters": {"apiGroup": "selvedge.dev", "kind": "EdgeParameters", "name": "small"}}});
    reconciler.apply([object(Kind::IngressClass, class)]);
    let mine = ingress("i7", "/", "small");
    reconciler.apply([object(Kind::Ingress, mine)]);
    for event in [parameters(1), parameters(2)] {
        assert_eq!(reconciler.apply([event]).hosts_translated, 1);
    }
    let gone = ObjectEvent::Deleted(ObjectKey::new(Kind::EdgeParameters, "", "small"));
    let outcome = reconciler.apply([gone]);
    assert_eq!((outcome.hosts_translated, &*outcome.problems_added[0].reason), (1, "ParametersNotFound"));
}

#[test]
fn what_was_not_found_counts_as_read() {
    let settings = Settings::default();
    let mut reconciler = Reconciler::new(Edge::new(settings));
    let legacy = json!({
        "metadata": {"name": "a", "namespace": "ns", "annotations": {"kubernetes.io/ingress.class": "edge"}},
        "spec": {"tls": [{"hosts": ["a.example"], "secretName": "late"}]},
    });
    let outcome = reconciler.apply([object(Kind::Ingress, legacy)]);
    assert!(outcome.statuses.is_empty());
    let outcome = reconciler.apply([class("edge", "selvedge.dev/ingress")]);
    assert_eq!((outcome.statuses.len(), outcome.problems_added.len()), (1, 2));
    let late = json!({"metadata": {"name": "late", "namespace": "ns"}, "type": "kubernetes.io/tls"});
    let outcome = reconciler.apply([object(Kind::Secret, late)]);
    assert_eq!(outcome.problems_removed[0].reason, "SecretNotFound");
    assert_eq!(reconciler.snapshot().certificates.len(), 1);
}
