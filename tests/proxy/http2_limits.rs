//! Limits of HTTP/2 connections in time and memory, and how they end.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use http_body_util::BodyExt;
use selvedge_common::runtime::{
    access_log::{AccessLog, AccessLogFormat},
    metrics::Metrics,
};
use selvedge_tests::{
    http2::{Http2Client, eventually, get},
    http2_frames::{END_STREAM, Frame, Frames, encode, kind},
    origin::{After, Origin},
    proxy::{Proxy, Setup},
};

/// SETTINGS_INITIAL_WINDOW_SIZE (RFC 9113 §6.5.2).
const WINDOW: u16 = 4;

/// An access log that a test can read.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn log(&self) -> AccessLog {
        let counts = Metrics::new().access_log.clone();
        AccessLog::start(AccessLogFormat::Json, Box::new(self.clone()), counts).unwrap()
    }
}

/// A proxy to an origin with limits that a test sets.
fn with(
    origin: &Origin,
    mut setup: Setup,
    limits: impl FnOnce(&mut selvedge_common::model::Limits),
) -> Proxy {
    limits(&mut setup.limits);
    let mut proxy = Proxy::start(setup);
    proxy.route_all(&[origin.address]);
    proxy
}

/// An origin whose answers have so many bytes.
fn large(bytes: usize) -> Origin {
    Origin::scripted(move |_, stream| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n");
        let written = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&vec![7; bytes]));
        if written.is_ok() { After::KeepOpen } else { After::Close }
    })
}

fn window_update(stream: u32, bytes: u32) -> Vec<u8> {
    encode(kind::WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes())
}

#[test]
fn a_stream_whose_window_stays_closed_is_reset_and_the_others_go_on() {
    // In one piece and in several; with a window of nothing, and of a byte.
    for (window, bytes) in [(0, 10), (1, 10), (0, 40_000), (1, 10_000), (0, 3_000_000), (1, 3_000_000)] {
        let origin = large(bytes);
        let log = Lines::default();
        let written = log.log();
        let setup = Setup { access_log: written.clone(), ..Setup::default() };
        let proxy = with(&origin, setup, |limits| limits.write_stall = Duration::from_millis(100));
        let mut frames = Frames::connect(proxy.http(), &[(WINDOW, window)]);
        frames.get(1);
        assert_eq!(frames.until(kind::HEADERS, 1).unwrap().status(), Some(200));
        frames.until(kind::RST_STREAM, 1).unwrap_or_else(|error| panic!("{bytes} bytes: {error}"));
        frames.get(3);
        frames.until(kind::HEADERS, 3).unwrap();
        frames.raw(&window_update(3, 5)).unwrap();
        assert!(!frames.until(kind::DATA, 3).unwrap().payload.is_empty());
        drop((frames, proxy));
        assert!(written.finish(Duration::from_secs(20)));
        assert!(log.text().contains("client_stalled"), "{bytes} bytes: {}", log.text());
    }
}

#[test]
fn a_stream_that_is_read_slowly_arrives_whole() {
    let origin = large(300_000);
    let proxy = with(&origin, Setup::default(), |_| {});
    let mut frames = Frames::connect(proxy.http(), &[(WINDOW, 1000)]);
    frames.get(1);
    let mut arrived = 0;
    loop {
        let Frame { payload, flags, .. } = frames.until(kind::DATA, 1).unwrap();
        arrived += payload.len();
        if flags & END_STREAM != 0 {
            break;
        }
        let update = payload.len() as u32;
        frames.raw(&[window_update(1, update), window_update(0, update)].concat()).unwrap();
    }
    assert_eq!(arrived, 300_000);
}

#[test]
fn large_answers_on_one_connection_share_it() {
    const MOST: u32 = (1 << 31) - 1;
    let origin = large(64 << 20);
    let proxy = with(&origin, Setup::default(), |_| {});
    let mut frames = Frames::connect(proxy.http(), &[(WINDOW, MOST)]);
    frames.raw(&window_update(0, MOST - 65_535)).unwrap();
    frames.get(1);
    frames.get(3);
    // Both are well under way before either is at its end.
    let mut arrived = [0, 0];
    while arrived.iter().any(|bytes| *bytes < 1 << 20) {
        let frame = frames.read_frame().unwrap();
        if frame.kind == kind::DATA {
            assert!(frame.flags & END_STREAM == 0, "{arrived:?}");
            arrived[usize::from(frame.stream == 3)] += frame.payload.len();
        }
    }
}

#[test]
fn a_backend_is_not_read_faster_than_the_client_reads() {
    // The backend could send for ever; what it gets rid of is what the proxy and the sockets hold.
    let (sent, is_sent) = std::sync::mpsc::channel();
    let origin = Origin::scripted(move |_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").unwrap();
        stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        let mut count = 0;
        while count < 1 << 30 && stream.write_all(&[7; 65_536]).is_ok() {
            count += 65_536;
        }
        sent.send(count).unwrap();
        After::Close
    });
    let proxy = with(&origin, Setup::default(), |_| {});
    let mut frames = Frames::connect(proxy.http(), &[(WINDOW, 0)]);
    frames.get(1);
    frames.until(kind::HEADERS, 1).unwrap();
    let sent = is_sent.recv_timeout(Duration::from_secs(20)).unwrap();
    // The system holds up to 10 MB for a connection on loopback.
    assert!(sent < 16 << 20, "{sent}");
}

#[test]
fn a_body_that_does_not_come_is_given_up() {
    let origin = Origin::named("ok");
    let log = Lines::default();
    let written = log.log();
    let setup = Setup { access_log: written.clone(), ..Setup::default() };
    let proxy = with(&origin, setup, |limits| limits.body_idle = Duration::from_millis(100));
    let mut frames = Frames::connect(proxy.http(), &[]);
    frames.post(1, &[("content-length", "10")]);
    frames.frame(kind::DATA, 0, 1, b"half");
    frames.until(kind::HEADERS, 1).unwrap();
    frames.get(3);
    assert_eq!(frames.until(kind::HEADERS, 3).unwrap().status(), Some(200), "the others go on");
    drop((frames, proxy));
    assert!(written.finish(Duration::from_secs(20)));
    assert!(log.text().contains("client_body_timeout"), "{}", log.text());
}

#[test]
fn a_body_that_contradicts_its_length_resets_its_stream() {
    let origin = Origin::named("ok");
    let proxy = with(&origin, Setup::default(), |_| {});
    for lengths in [&["3"][..], &["5"], &["+4"], &["4,4"], &["4", "5"]] {
        let mut frames = Frames::connect(proxy.http(), &[]);
        let fields: Vec<_> = lengths.iter().map(|length| ("content-length", *length)).collect();
        frames.post(1, &fields);
        frames.frame(kind::DATA, END_STREAM, 1, b"four");
        assert_eq!(frames.until(kind::RST_STREAM, 1).unwrap().code(), 1, "{lengths:?}");
        frames.get(3);
        assert_eq!(frames.until(kind::HEADERS, 3).unwrap().status(), Some(200));
    }
    let mut frames = Frames::connect(proxy.http(), &[]);
    frames.post(1, &[("content-length", "4"), ("content-length", "4")]);
    assert_eq!(frames.until(kind::HEADERS, 1).unwrap().status(), Some(400));
}

#[test]
fn fields_that_http_2_forbids_reset_the_stream_or_end_the_connection() {
    let origin = Origin::named("ok");
    let proxy = with(&origin, Setup::default(), |_| {});
    let rows = [
        ("connection", "close"),
        ("transfer-encoding", "chunked"),
        ("keep-alive", "5"),
        ("proxy-connection", "close"),
        ("upgrade", "websocket"),
        ("te", "gzip"),
        ("Upper-Case", "1"),
        (":unknown", "1"),
        ("x-control", "a\nb"),
        ("sp ace", "1"),
    ];
    for (name, value) in rows {
        let mut frames = Frames::connect(proxy.http(), &[]);
        frames.post(1, &[(name, value)]);
        let answer = frames.next_of(&[kind::HEADERS, kind::RST_STREAM, kind::GOAWAY]).unwrap();
        assert!(answer.kind != kind::HEADERS && matches!(answer.code(), 1 | 9), "{name}: {answer:?}");
    }
    assert_eq!(origin.seen().len(), 0);
}

#[tokio::test]
async fn streams_in_flight_finish_when_the_engine_drains() {
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let origin = Origin::scripted(move |_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf").unwrap();
        gate.lock().unwrap().recv().unwrap();
        stream.write_all(b"half").unwrap();
        After::Close
    });
    let proxy = with(&origin, Setup::default(), |_| {});
    let mut frames = Frames::connect(proxy.http(), &[]);
    frames.get(1);
    assert_eq!(frames.until(kind::DATA, 1).unwrap().payload, b"half");
    let client = std::thread::spawn(move || {
        assert_eq!(frames.until(kind::GOAWAY, 0).unwrap().code(), 0);
        go.send(()).unwrap();
        let last = frames.until(kind::DATA, 1).unwrap();
        assert_eq!((&last.payload[..], last.flags), (&b"half"[..], END_STREAM));
        frames.until(kind::GOAWAY, 0).map_or(Some(0), |frame| Some(frame.code()))
    });
    proxy.engine.drain(Duration::ZERO, Duration::from_secs(3600)).await;
    assert_eq!(client.join().unwrap(), Some(0));
}

#[test]
fn a_client_that_ignores_goaway_does_not_hold_the_drain_up() {
    let origin = Origin::named("ok");
    let proxy = with(&origin, Setup::default(), |limits| limits.handshake_time = Duration::from_millis(50));
    let mut frames = Frames::connect(proxy.http(), &[]);
    frames.get(1);
    frames.until(kind::DATA, 1).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let drain = proxy.engine.drain(Duration::ZERO, Duration::from_secs(3600));
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), drain).await }).unwrap();
    assert_eq!(frames.ended(), Some(0), "it is told, without an error");
}

#[tokio::test]
async fn idle_and_old_connections_are_closed_with_goaway() {
    let short = Duration::from_millis(100);
    let origin = Origin::named("ok");
    for old in [false, true] {
        let proxy = with(&origin, Setup::default(), |limits| match old {
            true => limits.connection_age = short,
            false => limits.keep_alive_idle = short,
        });
        let mut client = Http2Client::connect(proxy.http()).await;
        assert_eq!(client.get("http://a/").await.status(), 200);
        client.closed().await;
        let mut frames = Frames::connect(proxy.http(), &[]);
        assert_eq!(frames.until(kind::GOAWAY, 0).unwrap().code(), 0);
    }
}

#[test]
fn a_client_that_does_not_answer_a_ping_is_gone() {
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let origin = Origin::scripted(move |_, _| {
        let _ = gate.lock().unwrap().recv();
        After::Close
    });
    let log = Lines::default();
    let written = log.log();
    let setup = Setup { access_log: written.clone(), ..Setup::default() };
    let proxy = with(&origin, setup, |limits| {
        limits.keep_alive_idle = Duration::from_millis(100);
        limits.handshake_time = Duration::from_millis(100);
    });
    let mut frames = Frames::connect(proxy.http(), &[]);
    frames.get(1);
    frames.until(kind::PING, 0).unwrap();
    assert_eq!(frames.ended(), Some(0));
    drop((frames, go, proxy));
    assert!(written.finish(Duration::from_secs(20)));
    assert!(log.text().contains("client_closed"), "{}", log.text());
}

#[tokio::test]
async fn a_stream_that_the_client_resets_is_logged_as_499() {
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let origin = Origin::scripted(move |_, _| {
        let _ = gate.lock().unwrap().recv();
        After::Close
    });
    let log = Lines::default();
    let proxy = with(&origin, Setup { access_log: log.log(), ..Setup::default() }, |_| {});
    let mut frames = Frames::connect(proxy.http(), &[]);
    frames.get(1);
    eventually(|| origin.seen().len() == 1).await;
    frames.frame(kind::RST_STREAM, 0, 1, &8u32.to_be_bytes());
    eventually(|| log.text().contains("499")).await;
    assert!(log.text().contains("client_closed"), "{}", log.text());
    drop(go);
}

#[tokio::test]
async fn silent_answers_live_as_long_as_both_sides_want() {
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let origin = Origin::scripted(move |_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nfirst").unwrap();
        gate.lock().unwrap().recv().unwrap();
        stream.write_all(b"last").unwrap();
        After::Close
    });
    // Neither the idle nor the stall limit concerns a stream on which there is nothing to send.
    let proxy = with(&origin, Setup::default(), |limits| {
        limits.keep_alive_idle = Duration::from_millis(50);
        limits.write_stall = Duration::from_millis(50);
    });
    let mut client = Http2Client::connect(proxy.http()).await;
    let mut answer = client.send(get("http://a/")).await.unwrap().into_body();
    assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), "first");
    let witness = Http2Client::connect(proxy.http()).await;
    witness.closed().await;
    go.send(()).unwrap();
    assert_eq!(answer.collect().await.unwrap().to_bytes(), "last");
}
