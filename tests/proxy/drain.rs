//! Drain: an engine stops without breaking a request, and within its deadline.

use std::{
    io::Write,
    net::TcpStream,
    sync::{Arc, Mutex, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use selvedge_common::runtime::drain::Phase;
use selvedge_tests::{
    client::Client,
    origin::{After, Origin},
    proxy::Proxy,
};

const LONG: Duration = Duration::from_secs(60);

/// A proxy, how to let its backend answer a waiting request, and how to know that one waits.
struct Stage {
    proxy: Arc<Proxy>,
    open: mpsc::Sender<()>,
    begun: mpsc::Receiver<()>,
}

fn stage() -> Stage {
    let (open, opened) = mpsc::channel();
    let (begin, begun) = mpsc::channel();
    let opened = Mutex::new(opened);
    let origin = Origin::scripted(move |seen, stream| {
        if seen.line.contains("/wait") {
            begin.send(()).unwrap();
            if opened.lock().unwrap().recv().is_err() {
                return After::Close;
            }
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
        After::KeepOpen
    });
    Stage { proxy: Arc::new(Proxy::to(&[origin.address])), open, begun }
}

fn drain(proxy: &Arc<Proxy>, lameduck: Duration, deadline: Duration) -> JoinHandle<()> {
    let proxy = proxy.clone();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(proxy.engine.drain(lameduck, deadline));
    })
}

fn wait_for(proxy: &Proxy, phase: Phase) {
    while proxy.engine.phase() < phase {
        thread::yield_now();
    }
}

#[test]
fn requests_in_flight_finish_idle_connections_close_and_new_ones_are_refused() {
    let Stage { proxy, open, begun } = stage();
    let mut idle = Client::connect(proxy.http());
    assert_eq!(idle.get("a", "/").status, 200);
    let mut fresh = Client::connect(proxy.http());
    let mut busy = Client::connect(proxy.http());
    busy.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    begun.recv().unwrap();
    let draining = drain(&proxy, Duration::ZERO, LONG);
    assert!(idle.is_closed() && fresh.is_closed(), "idle connections close while others still work");
    assert!(TcpStream::connect(proxy.http()).is_err(), "nobody listens any more");
    open.send(()).unwrap();
    let answer = busy.answer();
    assert_eq!((answer.text().as_str(), answer.field("connection")), ("ok", Some("close")));
    assert!(busy.is_closed());
    draining.join().unwrap();
    assert_eq!(proxy.engine.phase(), Phase::Stopped);
}

#[test]
fn the_deadline_cuts_off_what_is_left() {
    let Stage { proxy, open: _open, begun } = stage();
    let mut busy = Client::connect(proxy.http());
    busy.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    begun.recv().unwrap();
    drain(&proxy, Duration::ZERO, Duration::from_millis(200)).join().unwrap();
    assert!(busy.try_answer().is_err());
}

#[test]
fn a_lame_duck_serves_on() {
    let Stage { proxy, .. } = stage();
    let mut old = Client::connect(proxy.http());
    assert_eq!(old.get("a", "/").status, 200);
    let draining = drain(&proxy, Duration::from_millis(700), LONG);
    wait_for(&proxy, Phase::Lameduck);
    for client in [&mut old, &mut Client::connect(proxy.http())] {
        let answer = client.get("a", "/");
        assert_eq!((answer.status, answer.field("connection")), (200, None));
    }
    draining.join().unwrap();
    assert!(old.is_closed());
}

#[test]
fn an_engine_without_work_drains_at_once() {
    let Stage { proxy, .. } = stage();
    assert_eq!(Client::connect(proxy.http()).get("a", "/").status, 200);
    drain(&proxy, Duration::ZERO, LONG).join().unwrap();
    assert!(TcpStream::connect(proxy.http()).is_err());
}
