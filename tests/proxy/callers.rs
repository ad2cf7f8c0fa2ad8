//! Who calls: by address and by token, what backends are told of it, and how calls are counted.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use selvedge_common::{
    filter::{Filter, Networks, RateKey, RateLimit},
    model::{Backend, Caller, PathMatch, Source},
    runtime::graph::{Graph, dot, table},
    source::{
        Sink, Update,
        tokens::{Token, TokenError, TokenVerifier, Verified, Verifying},
    },
};
use selvedge_tests::{
    client::Client,
    origin::Origin,
    proxy::{Proxy, nowhere},
    waiting::until,
};

const WEB: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 21);
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 99);

/// An engine that identifies callers and sends everything to this origin.
/// A proxy to an origin that finds out who calls.
pub(super) fn identifying(origin: &Origin) -> Proxy {
    let mut proxy = crate::proxy_with(|setup| setup.listener = |listener| listener.identify = true);
    proxy.route_all(&[origin.address]);
    proxy
}

pub(super) fn source(account: &str, workload: &str) -> Option<Arc<Source>> {
    Some(Arc::new(Source::new(Caller::new("shop", account), &format!("shop/{workload}"))))
}

pub(super) fn tell(proxy: &Proxy, address: Ipv4Addr, source: Option<Arc<Source>>) {
    proxy.engine.apply(Update::Callers(vec![(IpAddr::V4(address), source)]));
}

/// What the origin was told of who calls, with the last request.
fn told(origin: &Origin) -> Option<String> {
    origin.seen().last().and_then(|seen| seen.field("x-selvedge-caller").map(str::to_owned))
}

#[test]
fn the_address_says_who_calls_as_soon_as_that_is_known() {
    let origin = Origin::named("a");
    let proxy = identifying(&origin);
    let mut web = Client::connect_from(WEB, proxy.http());
    assert_eq!(web.get("a", "/").status, 200);
    assert_eq!(told(&origin), None);
    tell(&proxy, WEB, source("frontend", "web"));
    assert_eq!(web.get("a", "/").status, 200);
    assert_eq!(told(&origin).as_deref(), Some("shop/frontend"), "on a connection that was open before");
    assert_eq!(Client::connect_from(STRANGER, proxy.http()).get("a", "/").status, 200);
    assert_eq!(told(&origin), None);
    tell(&proxy, WEB, source("other", "web"));
    web.get("a", "/");
    assert_eq!(told(&origin).as_deref(), Some("shop/other"));
    tell(&proxy, WEB, None);
    web.get("a", "/");
    assert_eq!(told(&origin), None);
}

#[test]
fn what_clients_say_of_their_identity_never_reaches_a_backend() {
    let origin = Origin::named("a");
    let proxy = identifying(&origin);
    tell(&proxy, WEB, source("frontend", "web"));
    let request = "GET / HTTP/1.1\r\nHost: a\r\nX-Selvedge-Caller: shop/admin\r\nx-selvedge-caller: shop/root\r\n\
        X-Forwarded-Client-Cert: By=x\r\nX-Selvedge-Token: t\r\nX-Selvedge-New: y\r\nX-Selvedge-Reason: z\r\n\
        X-Other: kept\r\nConnection: x-selvedge-caller\r\nAuthorization: Bearer mine\r\n\r\n";
    for (from, wanted) in [(WEB, Some("shop/frontend")), (STRANGER, None)] {
        let mut client = Client::connect_from(from, proxy.http());
        client.send(request);
        assert_eq!(client.answer().status, 200);
        let seen = origin.seen().pop().unwrap();
        let ours: Vec<_> = (seen.fields.iter())
            .filter(|(name, _)| {
                let name = name.to_ascii_lowercase();
                name.starts_with("x-selvedge-") || name == "x-forwarded-client-cert"
            })
            .map(|(_, value)| value.as_str())
            .collect();
        assert_eq!(ours, wanted.into_iter().collect::<Vec<_>>(), "from {from}");
        assert_eq!((seen.field("x-other"), seen.field("authorization")), (Some("kept"), Some("Bearer mine")));
    }
}

#[test]
fn a_listener_that_does_not_identify_leaves_all_as_it_is() {
    let origin = Origin::named("a");
    let proxy = Proxy::to(&[origin.address]);
    tell(&proxy, WEB, source("frontend", "web"));
    let mut client = Client::connect_from(WEB, proxy.http());
    client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Selvedge-Caller: theirs\r\nX-Selvedge-Token: t\r\n\r\n");
    assert_eq!(client.answer().status, 200);
    let seen = origin.seen().pop().unwrap();
    assert_eq!(
        (seen.field("x-selvedge-caller"), seen.field("x-selvedge-token")),
        (Some("theirs"), Some("t"))
    );
    assert_eq!(proxy.engine.graph(), None);
    assert!(!proxy.engine.metrics().encode().contains("selvedge_edge"));
}

/// Knows tokens `good-…`, and refuses all others; counts how often it is asked.
#[derive(Default)]
struct Script {
    asked: AtomicUsize,
    away: AtomicBool,
    /// While it is closed answers wait.
    gate: Option<tokio::sync::Semaphore>,
}

struct Scripted(Arc<Script>);

impl TokenVerifier for Scripted {
    fn verify(&self, token: Token) -> Verifying {
        let script = self.0.clone();
        script.asked.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            if let Some(gate) = &script.gate {
                gate.acquire().await.expect("it is never closed for good").forget();
            }
            if script.away.load(Ordering::SeqCst) {
                return Err(TokenError::Unavailable("away".into()));
            }
            match token.reveal().strip_prefix("good-") {
                Some(account) => {
                    Ok(Verified { caller: Arc::new(Caller::new("shop", account)), expires: None })
                }
                None => Err(TokenError::Refused("unknown".into())),
            }
        })
    }
}

fn verifying(origin: &Origin, script: Script) -> (Proxy, Arc<Script>) {
    let proxy = identifying(origin);
    let script = Arc::new(script);
    proxy.engine.verify_tokens_with(Arc::new(Scripted(script.clone())));
    (proxy, script)
}

pub(super) fn send(client: &mut Client, tokens: &[&str]) -> (u16, Option<String>) {
    let fields: String = tokens.iter().map(|token| format!("X-Selvedge-Token: {token}\r\n")).collect();
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    let answer = client.answer();
    (answer.status, answer.field("x-selvedge-reason").map(str::to_owned))
}

#[test]
fn a_token_says_who_calls_whatever_the_address_says_and_is_asked_for_once() {
    let origin = Origin::named("a");
    let (proxy, script) = verifying(&origin, Script::default());
    tell(&proxy, WEB, source("frontend", "web"));
    let mut client = Client::connect_from(WEB, proxy.http());
    for _ in 0..3 {
        assert_eq!(send(&mut client, &["good-batch"]), (200, None));
        assert_eq!(told(&origin).as_deref(), Some("shop/batch"));
    }
    assert_eq!(script.asked.load(Ordering::SeqCst), 1);
    assert_eq!(send(&mut client, &["good-frontend"]).0, 200);
    assert_eq!(told(&origin).as_deref(), Some("shop/frontend"));
    assert_eq!(send(&mut client, &[]).0, 200);
    assert_eq!(told(&origin).as_deref(), Some("shop/frontend"), "without a token the address says it again");
    // A token of the same account leaves the workload as the address says it.
    let wanted = [("shop/batch", "test/origin", 3, 0), ("shop/web", "test/origin", 2, 0)];
    until(|| proxy.engine.graph().filter(|graph| edges(graph) == wanted));
}

#[test]
fn a_token_that_is_refused_is_answered_401_and_nobody_is_asked_again() {
    let origin = Origin::named("a");
    let (proxy, script) = verifying(&origin, Script::default());
    tell(&proxy, WEB, source("frontend", "web"));
    let mut client = Client::connect_from(WEB, proxy.http());
    let refused = (401, Some("bad_token".to_owned()));
    for tokens in [&["forged"][..], &["forged"], &["good-a", "good-b"], &["not a token"], &[""]] {
        assert_eq!(send(&mut client, tokens), refused, "{tokens:?}");
    }
    assert_eq!(script.asked.load(Ordering::SeqCst), 1);
    assert_eq!(origin.seen().len(), 0);
    assert_eq!(send(&mut client, &["good-a"]).0, 200);
}

#[test]
fn when_nobody_can_verify_a_token_the_address_says_who_calls() {
    let origin = Origin::named("a");
    let (proxy, script) = verifying(&origin, Script::default());
    script.away.store(true, Ordering::SeqCst);
    tell(&proxy, WEB, source("frontend", "web"));
    let mut client = Client::connect_from(WEB, proxy.http());
    assert_eq!(send(&mut client, &["good-batch"]).0, 200);
    assert_eq!(told(&origin).as_deref(), Some("shop/frontend"));
    assert!(proxy.engine.metrics().encode().contains("selvedge_caller_tokens_unverified_total 1\n"));
}

#[test]
fn requests_that_wait_for_one_token_ask_once() {
    let origin = Origin::named("a");
    let gate = Some(tokio::sync::Semaphore::new(0));
    let (proxy, script) = verifying(&origin, Script { gate, ..Script::default() });
    let mut clients: Vec<_> = (0..8).map(|_| Client::connect_from(WEB, proxy.http())).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Selvedge-Token: good-batch\r\n\r\n");
    }
    until(|| (script.asked.load(Ordering::SeqCst) == 1).then_some(()));
    script.gate.as_ref().unwrap().add_permits(8);
    for client in &mut clients {
        assert_eq!(client.answer().status, 200);
    }
    assert_eq!(script.asked.load(Ordering::SeqCst), 1);
    assert!(origin.seen().iter().all(|seen| seen.field("x-selvedge-caller").is_some()));
}

fn edges(graph: &Graph) -> Vec<(&str, &str, u64, u64)> {
    let edge = graph.edges.iter();
    edge.map(|e| (e.source.as_str(), e.destination.as_str(), e.requests, e.errors)).collect()
}

#[test]
fn the_graph_tells_every_call_and_error_by_who_called_what() {
    let origin = Origin::named("a");
    let mut proxy = identifying(&origin);
    proxy.backend("shop/broken:80", Backend::default());
    proxy.route("broken", PathMatch::Prefix("/".into()), "shop/broken:80");
    proxy.apply(&[("shop/broken:80", &[nowhere()])]);
    tell(&proxy, WEB, source("frontend", "web"));
    let mut web = Client::connect_from(WEB, proxy.http());
    let mut stranger = Client::connect_from(STRANGER, proxy.http());
    (0..5).for_each(|_| drop(web.get("a", "/")));
    (0..3).for_each(|_| drop(stranger.get("a", "/")));
    (0..2).for_each(|_| assert_eq!(web.get("broken", "/").status, 502));
    // A request is counted when its answer is sent; the next one on a connection says that it is.
    let wanted = [
        ("shop/web", "shop/broken", 2, 2),
        ("shop/web", "test/origin", 5, 0),
        ("unknown", "test/origin", 3, 0),
    ];
    let graph = until(|| proxy.engine.graph().filter(|graph| edges(graph) == wanted));
    assert!(graph.nodes.iter().any(|node| node.name == "shop/web" && node.calls && !node.called));
    let metrics = proxy.engine.metrics().encode();
    let line = "selvedge_edge_requests_total{source=\"shop/web\",destination=\"shop/broken\",\
        route=\"test/route\",status=\"5xx\"} 2\n";
    assert!(metrics.contains(line), "{metrics}");
    assert!(table(&graph).contains("shop/broken") && dot(&graph).contains("\"shop/web\" -> \"shop/broken\""));
}

#[test]
fn edges_that_are_too_many_are_counted_together() {
    let origin = Origin::named("a");
    let proxy = identifying(&origin);
    proxy.engine.metrics().limit_edges(1);
    for last in 1..=4 {
        let address = Ipv4Addr::new(127, 0, 1, last);
        tell(&proxy, address, source("a", &format!("w{last}")));
        assert_eq!(Client::connect_from(address, proxy.http()).get("a", "/").status, 200);
    }
    let wanted = [("other", "other", 3, 0), ("shop/w1", "test/origin", 1, 0)];
    until(|| proxy.engine.graph().filter(|graph| edges(graph) == wanted));
}

#[test]
fn a_rate_limit_counts_callers_wherever_they_call_from() {
    let origin = Origin::named("a");
    let mut proxy = identifying(&origin);
    let (id, per) = ("shop/limit".into(), Duration::from_secs(3600));
    let limit = RateLimit {
        id,
        requests: 1,
        per,
        burst: 2,
        key: RateKey::Caller,
        except: Networks::default(),
        status: 429,
    };
    proxy.edit_host("*", |host| host.routes[0].filters = vec![Filter::RateLimit(limit)]);
    proxy.apply(&[]);
    let other = Ipv4Addr::new(127, 0, 0, 22);
    tell(&proxy, WEB, source("frontend", "web"));
    tell(&proxy, other, source("frontend", "web"));
    let statuses =
        [WEB, other, WEB, STRANGER].map(|from| Client::connect_from(from, proxy.http()).get("a", "/").status);
    assert_eq!(statuses, [200, 200, 429, 200]);
}
