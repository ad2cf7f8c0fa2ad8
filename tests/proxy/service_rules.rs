//! Routes that leave the decision to the rules of a Service.

use std::sync::Arc;

use selvedge_common::{
    filter::{Filter, RedirectHttps},
    id::{ObjectRef, RouteSetId},
    model::{Backend, HostMatch, PathMatch, Route, RouteSet, RulesRef, SharedMap, VirtualHost},
};
use selvedge_tests::{
    client::Client,
    origin::Origin,
    proxy::{Proxy, route},
    waiting::until,
};

fn orders() -> RulesRef {
    RulesRef { set: "services".into(), host: HostMatch::Exact("orders.shop".into()) }
}

/// Puts the rules of the Service in place.
fn rules(proxy: &mut Proxy, routes: Vec<Route>) {
    let host = Arc::new(VirtualHost::new(None, routes));
    let hosts = SharedMap::from([(orders().host, host)]);
    let set = Arc::new(RouteSet { hosts, ..RouteSet::default() });
    proxy.snapshot.route_sets.insert(RouteSetId::new("services"), set);
}

fn rule(path: &str) -> Route {
    let mut rule = route(path.into(), PathMatch::Prefix(path.into()), "test/v2:80");
    rule.source = ObjectRef::new("RouteRule", "shop", "orders");
    // Had it a say, it would lead round and round.
    rule.rules = Some(orders().into());
    rule
}

/// A proxy whose only route leads to `v1`, unless the rules of the Service know better, and to `v2` by those.
fn proxy() -> (Proxy, [Origin; 2]) {
    let origins = ["v1", "v2"].map(Origin::named);
    let mut proxy = Proxy::start(Default::default());
    proxy.backend("test/v1:80", Backend::default());
    proxy.backend("test/v2:80", Backend::default());
    proxy.route("*", PathMatch::Prefix("/".into()), "test/v1:80");
    proxy.edit_host("*", |host| host.routes[0].rules = Some(orders().into()));
    rules(&mut proxy, vec![rule("/new")]);
    proxy.apply(&[("test/v1:80", &[origins[0].address]), ("test/v2:80", &[origins[1].address])]);
    (proxy, origins)
}

#[test]
fn a_rule_that_matches_decides_and_without_one_the_route_does() {
    let (proxy, _origins) = proxy();
    let mut client = Client::connect(proxy.http());
    for (path, wanted) in [("/new/x", "v2"), ("/old", "v1"), ("/new", "v2")] {
        assert_eq!(client.get("a", path).text(), wanted, "{path}");
    }
    let shop = (r#"namespace="shop",route="orders",service="v2""#, 2);
    let test = (r#"namespace="test",route="route",service="v1""#, 1);
    for (labels, count) in [shop, test] {
        let ended = format!("selvedge_requests_total{{{labels},status=\"2xx\"}} {count}\n");
        let in_flight = format!("selvedge_requests_in_flight{{{labels}}} 0\n");
        until(|| {
            let metrics = proxy.engine.metrics().encode();
            (metrics.contains(&ended) && metrics.contains(&in_flight)).then_some(())
        });
    }
}

#[test]
fn rules_that_change_count_at_once_for_routes_that_did_not() {
    let (mut proxy, _origins) = proxy();
    let mut client = Client::connect(proxy.http());
    rules(&mut proxy, vec![rule("/old")]);
    proxy.apply(&[]);
    assert_eq!((client.get("a", "/old").text(), client.get("a", "/new").text()), ("v2".into(), "v1".into()));
    proxy.snapshot.route_sets.remove(&RouteSetId::new("services"));
    proxy.apply(&[]);
    assert_eq!(client.get("a", "/old").text(), "v1", "rules that are gone decide nothing");
}

#[test]
fn the_filters_of_both_are_asked_those_of_the_route_first() {
    let (mut proxy, origins) = proxy();
    let mut redirecting = rule("/new");
    redirecting.filters = vec![Filter::RedirectHttps(RedirectHttps { status: 308, as_sent: false })];
    rules(&mut proxy, vec![redirecting]);
    proxy.apply(&[]);
    let mut client = Client::connect(proxy.http());
    assert_eq!(client.get("a", "/new").status, 308);
    assert_eq!(client.get("a", "/old").text(), "v1");
    proxy.edit_host("*", |host| {
        host.routes[0].filters = vec![Filter::RedirectHttps(RedirectHttps { status: 308, as_sent: false })];
    });
    proxy.apply(&[]);
    assert_eq!((client.get("a", "/new").status, client.get("a", "/old").status), (308, 308));
    assert!(origins[1].seen().is_empty());
}
