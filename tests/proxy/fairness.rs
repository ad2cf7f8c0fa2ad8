//! Shares of callers: nobody takes more of a backend than may, those beyond wait for their turn, others are served.

use std::{net::Ipv4Addr, time::Duration};

use selvedge_common::model::{Backend, Fairness};
use selvedge_tests::{client::Client, http2::Http2Client, origin::Origin, proxy::Proxy, waiting::until};

use crate::{
    balance::proxy,
    breaking::{assert_overload, begin, held},
    callers::{source, tell},
};

const ONE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 31);
const ANOTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 32);
const LONG: Duration = Duration::from_secs(60);

fn fair(per_caller: u32, queue: u32, queue_wait: Duration) -> Backend {
    Backend { fairness: Fairness { per_caller: Some(per_caller), queue, queue_wait }, ..Backend::default() }
}

fn begin_from(source: Ipv4Addr, proxy: &Proxy) -> Client {
    let mut client = Client::connect_from(source, proxy.http());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client
}

/// Waits until so many requests have found their route. Of one worker the last of them then has its place, too, before
/// another one is looked at.
pub(super) fn in_flight(proxy: &Proxy, wanted: usize) {
    let end = format!(" {wanted}");
    until(|| {
        let text = proxy.engine.metrics().encode();
        let mut lines = text.lines().filter(|line| line.starts_with("selvedge_requests_in_flight{"));
        lines.any(|line| line.ends_with(&end)).then_some(())
    });
}

#[test]
fn a_caller_with_all_of_its_share_is_refused_and_others_are_not() {
    let (origin, came, go) = held();
    let proxy = proxy(1, fair(2, 0, Duration::ZERO), std::slice::from_ref(&origin));
    let mut busy: Vec<_> = [ONE, ONE, ANOTHER].iter().map(|from| begin_from(*from, &proxy)).collect();
    (0..3).for_each(|_| came.recv().unwrap());
    let answer = begin_from(ONE, &proxy).answer();
    assert_overload(&answer);
    assert_eq!(answer.field("retry-after"), Some("1"));
    (0..4).for_each(|_| go.send(()).unwrap());
    assert!(busy.iter_mut().all(|client| client.answer().status == 200));
    assert_eq!(begin_from(ONE, &proxy).answer().status, 200, "there is room again");
}

#[test]
fn the_principal_is_the_caller_wherever_it_calls_from() {
    let (origin, came, go) = held();
    let mut proxy = crate::proxy_with(|setup| setup.listener = |listener| listener.identify = true);
    proxy.route_all(&[origin.address]);
    proxy.backend("test/origin:80", fair(1, 0, Duration::ZERO));
    proxy.apply(&[]);
    [ONE, ANOTHER].iter().for_each(|from| tell(&proxy, *from, source("frontend", "web")));
    let mut busy = begin_from(ONE, &proxy);
    came.recv().unwrap();
    assert_overload(&begin_from(ANOTHER, &proxy).answer());
    tell(&proxy, ANOTHER, source("other", "web"));
    let mut other = begin_from(ANOTHER, &proxy);
    came.recv().unwrap();
    (0..2).for_each(|_| go.send(()).unwrap());
    assert_eq!((busy.answer().status, other.answer().status), (200, 200));
}

#[test]
fn requests_beyond_the_share_wait_in_turn_and_more_of_them_are_refused() {
    let (origin, came, go) = held();
    let proxy = proxy(1, fair(1, 1, LONG), std::slice::from_ref(&origin));
    let mut first = begin(&proxy);
    came.recv().unwrap();
    let mut second = begin(&proxy);
    in_flight(&proxy, 2);
    assert_overload(&begin(&proxy).answer());
    assert_eq!(origin.seen().len(), 1);
    go.send(()).unwrap();
    assert_eq!(first.answer().status, 200);
    came.recv().unwrap();
    go.send(()).unwrap();
    assert_eq!(second.answer().status, 200);
}

#[test]
fn who_waits_too_long_is_refused_and_who_leaves_makes_room() {
    let (origin, came, go) = held();
    let proxy = proxy(1, fair(1, 1, Duration::from_millis(20)), std::slice::from_ref(&origin));
    let mut first = begin(&proxy);
    came.recv().unwrap();
    assert_overload(&begin(&proxy).answer());
    let mut patient = proxy;
    patient.backend("test/origin:80", fair(1, 1, LONG));
    patient.apply(&[]);
    let left = begin(&patient);
    in_flight(&patient, 2);
    drop(left);
    in_flight(&patient, 1);
    let mut second = begin(&patient);
    in_flight(&patient, 2);
    (0..2).for_each(|_| go.send(()).unwrap());
    assert_eq!((first.answer().status, second.answer().status), (200, 200));
    assert_eq!(origin.seen().len(), 2);
}

#[tokio::test]
async fn streams_of_one_connection_wait_for_each_other() {
    let origin = Origin::named("ok");
    let proxy = proxy(1, fair(1, 100, LONG), std::slice::from_ref(&origin));
    let client = Http2Client::connect(proxy.http()).await;
    let asking: Vec<_> = (0..40)
        .map(|_| {
            let mut client = client.clone();
            tokio::spawn(async move { client.get("http://a/").await.status() })
        })
        .collect();
    for answer in asking {
        assert_eq!(answer.await.unwrap(), 200);
    }
    assert_eq!(origin.connections(), 1, "there was one request at a time");
}

#[test]
fn a_tunnel_counts_as_long_as_it_is_open() {
    let origin = Origin::raw(|_, tcp| drop(std::io::copy(&mut &tcp, &mut &tcp)));
    let mut proxy = crate::proxy_with(|setup| setup.listener = |listener| listener.connect = true);
    proxy.route_all(&[origin.address]);
    proxy.backend("test/origin:80", fair(1, 0, Duration::ZERO));
    proxy.apply(&[]);
    let ask = || {
        let mut client = Client::connect(proxy.http());
        client.send("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n");
        let status = client.head().unwrap().status;
        (status, client)
    };
    let (status, tunnel) = ask();
    assert_eq!((status, ask().0), (200, 503));
    drop(tunnel);
    until(|| (ask().0 == 200).then_some(()));
}
