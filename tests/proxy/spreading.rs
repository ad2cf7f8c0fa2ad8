//! Spreading: connections with many requests do not stay together on one worker.

use std::time::Duration;

use selvedge_common::model::{Backend, BackendProtocol, PathMatch};
use selvedge_tests::{
    client::Client,
    http2_frames::{FrameOrigin, Frames, kind},
    proxy::{Proxy, Setup},
    waiting::until,
};

/// An origin that never answers, and a proxy with four workers in front of it that looks often how even they are.
fn proxy() -> (Proxy, FrameOrigin) {
    let origin = FrameOrigin::start(|_| Vec::new());
    let spread_every = Duration::from_millis(20);
    let mut proxy = Proxy::start(Setup { workers: 4, spread_every, ..Setup::default() });
    let backend = Backend { protocol: BackendProtocol::Http2, ..Backend::default() };
    proxy.backend("test/origin:80", backend);
    proxy.route("*", PathMatch::Prefix("/".into()), "test/origin:80");
    proxy.apply(&[("test/origin:80", &[origin.address])]);
    (proxy, origin)
}

/// A connection of HTTP/2 whose requests are never answered.
struct Caller {
    frames: Frames,
    asked: u32,
}

impl Caller {
    fn connect(proxy: &Proxy) -> Self {
        Self { frames: Frames::connect(proxy.http(), &[]), asked: 0 }
    }

    fn ask(&mut self, count: u32) {
        for _ in 0..count {
            self.frames.get(self.asked * 2 + 1);
            self.asked += 1;
        }
    }

    /// Asks once and says which worker has got it.
    fn worker(&mut self, proxy: &Proxy) -> usize {
        let before = proxy.engine.worker_requests();
        self.ask(1);
        let busier = |now: &[usize]| now.iter().zip(&before).position(|(now, before)| now > before);
        until(|| busier(&proxy.engine.worker_requests()))
    }
}

#[test]
fn connections_that_make_one_worker_busy_are_spread_over_others() {
    let (proxy, _origin) = proxy();
    // Of these, three are at one worker, wherever the system has put them.
    let mut of_worker: [Vec<Caller>; 4] = Default::default();
    for _ in 0..12 {
        let mut caller = Caller::connect(&proxy);
        let worker = caller.worker(&proxy);
        of_worker[worker].push(caller);
    }
    let busiest = of_worker.iter_mut().enumerate().max_by_key(|(_, callers)| callers.len());
    let (busy, callers) = busiest.unwrap();
    callers.iter_mut().for_each(|caller| caller.ask(30));
    assert_eq!(callers[0].frames.until(kind::GOAWAY, 0).unwrap().code(), 0);
    let requests = proxy.engine.worker_requests();
    assert!(requests[busy] > 30, "what was asked already goes on where it is: {requests:?}");
    assert_ne!(Caller::connect(&proxy).worker(&proxy), busy, "what its client opens next is elsewhere");
}

#[test]
fn a_new_connection_goes_to_a_worker_with_fewer_requests_though_it_has_more_connections() {
    let (proxy, _origin) = proxy();
    let mut alone = Caller::connect(&proxy);
    let busy = alone.worker(&proxy);
    alone.ask(89);
    until(|| (proxy.engine.worker_requests()[busy] == 90).then_some(()));
    let idle: Vec<_> = (0..20).map(|_| Client::connect(proxy.http())).collect();
    let mut others: Vec<_> = (0..4).map(|_| Caller::connect(&proxy)).collect();
    for caller in &mut others {
        assert_ne!(caller.worker(&proxy), busy);
        caller.ask(9);
    }
    until(|| (proxy.engine.worker_requests().iter().sum::<usize>() == 130).then_some(()));
    let metrics = proxy.engine.metrics().encode();
    assert!(!metrics.contains("reason=\"moved\""), "alone it would make another worker as busy");
    drop((idle, alone));
}
