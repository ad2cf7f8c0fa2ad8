//! Floods over HTTP/2 while others ask: their requests go on as before.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use selvedge_tests::{
    client::Client,
    http2_frames::{END_HEADERS, END_STREAM, Frames, encode, get_block, kind, request_block},
    pod::{Manners, Pod},
    process::EdgeProcess,
    size::{figure, size},
};

use crate::{HOST, edge_to};

/// What an attacker sends; the number counts the pieces of a connection from 0.
type Piece = fn(u32) -> Vec<u8>;

const ATTACKS: [(&str, Piece); 8] = [
    ("rapid reset", |index| many(index, |stream| [open(stream), reset(stream)].concat())),
    ("made you reset", |index| many(index, |stream| [post(stream), wide(stream)].concat())),
    ("CONTINUATION", |index| match index {
        0 => encode(kind::HEADERS, END_STREAM, 1, &get_block()),
        _ => encode(kind::CONTINUATION, 0, 1, &[]).repeat(100),
    }),
    ("SETTINGS", |_| encode(kind::SETTINGS, 0, 0, &[]).repeat(100)),
    ("PING", |_| encode(kind::PING, 0, 0, &[0; 8]).repeat(100)),
    ("empty DATA", |index| match index {
        0 => post(1),
        _ => encode(kind::DATA, 0, 1, &[]).repeat(100),
    }),
    ("PRIORITY", |_| encode(kind::PRIORITY, 0, 1, &[0, 0, 0, 0, 1]).repeat(100)),
    ("HPACK bomb", |index| encode(kind::HEADERS, END_STREAM | END_HEADERS, index * 2 + 1, &bomb())),
];

fn many(index: u32, piece: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
    (0..50).flat_map(|step| piece((index * 50 + step) * 2 + 1)).collect()
}

fn open(stream: u32) -> Vec<u8> {
    encode(kind::HEADERS, END_STREAM | END_HEADERS, stream, &get_block())
}

fn post(stream: u32) -> Vec<u8> {
    encode(kind::HEADERS, END_HEADERS, stream, &request_block("POST", "/", "a"))
}

fn reset(stream: u32) -> Vec<u8> {
    encode(kind::RST_STREAM, 0, stream, &8u32.to_be_bytes())
}

/// A window larger than can be, which is an error of its stream.
fn wide(stream: u32) -> Vec<u8> {
    encode(kind::WINDOW_UPDATE, 0, stream, &[0x7f, 255, 255, 255])
}

/// One field of 3,000 bytes into the table, and 12,000 references to it.
fn bomb() -> Vec<u8> {
    let mut block = get_block();
    block.extend([0x40, 6]);
    block.extend(b"x-bomb");
    // 3,000 as an integer behind a prefix of 7 bits (RFC 7541 §5.1).
    block.extend([127, 0xb9, 0x16]);
    block.extend([b'b'; 3_000]);
    block.extend([0xbe; 12_000]);
    block
}

/// Floods connection after connection; how long each of them lasted.
fn attack(address: SocketAddr, piece: Piece, stop: &AtomicBool) -> Vec<Duration> {
    let mut ended = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let start = Instant::now();
        let mut frames = Frames::connect(address, &[]);
        let mut reader = frames.tcp().try_clone().map(Frames::reading).unwrap();
        // Whoever does not read what is answered is soon not read any more.
        let reading = thread::spawn(move || reader.ended());
        (0..).find(|index| frames.raw(&piece(*index)).is_err());
        let _ = reading.join().unwrap();
        ended.push(start.elapsed());
    }
    ended
}

/// Times of requests on one connection, the shortest first.
fn times(edge: &EdgeProcess, count: usize) -> Vec<Duration> {
    let mut client = Client::connect(edge.http());
    let mut times: Vec<_> = (0..count)
        .map(|_| {
            let start = Instant::now();
            assert_eq!(client.get(HOST, "/").status, 200);
            start.elapsed()
        })
        .collect();
    times.sort();
    times
}

#[test]
fn requests_of_others_go_on_during_floods() {
    let pod = Pod::start("pod", Manners::Good);
    let (_folder, edge) = edge_to(&[pod.address], &["--workers", "2"]);
    let count = size(200, 5_000);
    times(&edge, count);
    let calm = times(&edge, count);
    for (name, piece) in ATTACKS {
        let (stop, address) = (Arc::<AtomicBool>::default(), edge.http());
        let stopped = stop.clone();
        let attacker = thread::spawn(move || attack(address, piece, &stopped));
        let during = times(&edge, count);
        stop.store(true, Ordering::Relaxed);
        let ended = attacker.join().unwrap();
        let at = |times: &[Duration], percent: usize| times[(times.len() - 1) * percent / 100];
        figure(&format!(
            "{name}: {} connections of the attacker, the longest {:.1?}; others p50 {:.1?} (calm {:.1?}), p99 {:.1?} \
             (calm {:.1?})",
            ended.len(),
            ended.iter().max().unwrap(),
            at(&during, 50),
            at(&calm, 50),
            at(&during, 99),
            at(&calm, 99),
        ));
    }
    assert!(edge.metric("selvedge_connections_closed_total{listener=\"http\",reason=\"flood\"}") > 0.0);
    assert!(edge.metric("selvedge_panics_total") < 0.5);
}
