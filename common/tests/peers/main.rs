//! HTTP/2 with another implementation, both ways: every message arrives whole and unchanged, or is reset as was wished.

mod ours;
mod theirs;

use std::{future::Future, time::Duration};

use bytes::Bytes;
use selvedge_common::http2::{Connection, Settings};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::LocalSet,
};

/// Connections each way.
const ROUNDS: usize = 30;
/// Nothing lasts this long, on a clock that only goes on when nobody has anything to do.
const PATIENCE: Duration = Duration::from_secs(600);

/// Numbers that look random (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// Names and values.
type Fields = Vec<(String, String)>;

/// A message that goes to a server, and back again as the answer.
#[derive(Clone, Debug, PartialEq)]
struct Message {
    fields: Fields,
    body: Vec<u8>,
    trailers: Fields,
    /// Who resets it, behind how many bytes.
    reset: Option<(Side, usize)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Side {
    Client,
    Server,
}

/// What comes back of a message; `None` if it did not come whole.
type Echo = Option<(Fields, Vec<u8>, Fields)>;

impl Message {
    fn random(numbers: &mut Numbers, most_bytes: usize) -> Self {
        let fields = |numbers: &mut Numbers, most| -> Fields {
            let count = numbers.below(most);
            let value = |numbers: &mut Numbers| "v".repeat(numbers.one_of(&[1, 2, 100, 100, 1000]));
            let names = ["x-a", "x-b", "accept", "user-agent", "authorization", "x-other"];
            (0..count).map(|_| (numbers.one_of(&names).to_owned(), value(numbers))).collect()
        };
        let size = numbers.one_of(&[0, 1, 100, 1024, 5000, 16_384, 70_000, 200_000]).min(most_bytes);
        let body: Vec<u8> = (0..size).map(|at| (at * 31 + (at >> 8)) as u8).collect();
        let who = [None, None, None, Some(Side::Client), Some(Side::Server)];
        let reset = numbers.one_of(&who).map(|side| (side, numbers.below(size + 1)));
        let fields = sorted(fields(numbers, 8));
        let trailers = if numbers.below(2) == 0 { Fields::new() } else { sorted(self::trailers(numbers)) };
        Self { fields, body, trailers, reset }
    }

    /// Where the one side or the other ends it.
    fn reset_by(&self, side: Side) -> Option<usize> {
        self.reset.filter(|(by, _)| *by == side).map(|(_, at)| at)
    }

    /// Whether the echo is what was to come.
    fn check(&self, echo: &Echo) {
        match (echo, self.reset) {
            (Some((fields, body, trailers)), None) => {
                assert_eq!((&self.fields, &self.trailers), (fields, trailers));
                assert!(self.body == *body, "the body of {} bytes is another one", self.body.len());
            }
            (None, Some(_)) => {}
            (echo, reset) => panic!("{} came and {reset:?}", if echo.is_some() { "all" } else { "not all" }),
        }
    }
}

fn trailers(numbers: &mut Numbers) -> Fields {
    (0..=numbers.below(3)).map(|at| (format!("x-trailer-{at}"), "t".repeat(at * 50 + 1))).collect()
}

/// Fields of one name keep their order; that of names is not told by all peers.
fn sorted(mut fields: Fields) -> Fields {
    fields.sort_by(|(one, _), (other, _)| one.cmp(other));
    fields
}

/// What is different from connection to connection.
#[derive(Clone, Copy, Debug)]
struct Setup {
    ours: Settings,
    /// What the other side says of itself.
    window: u32,
    connection_window: u32,
    frame: u32,
    table: u32,
    /// Bytes that are on the way at most, each way.
    buffer: usize,
    messages: usize,
    most_bytes: usize,
}

impl Setup {
    fn random(numbers: &mut Numbers) -> Self {
        const WINDOWS: [u32; 4] = [1, 10, 65_535, 1 << 20];
        let windows = (numbers.one_of(&WINDOWS), numbers.one_of(&WINDOWS));
        let buffer = numbers.one_of(&[1, 7, 100, 5000, 100_000]);
        let ours = Settings {
            streams: 100,
            stream_window_bytes: windows.0,
            connection_window_bytes: numbers.one_of(&[10, 65_535, 1 << 20]),
            header_list_bytes: 16 << 10,
        };
        // Each byte is a frame of its own where a window has no more.
        let most_bytes = match (windows.0.min(windows.1), buffer) {
            (1 | 10, _) | (_, 1) => 100,
            (_, 7 | 100) => 5000,
            _ => usize::MAX,
        };
        Self {
            ours,
            window: windows.1,
            connection_window: numbers.one_of(&[65_535, 1 << 20]),
            frame: numbers.one_of(&[16_384, 16_385, 1 << 20]),
            table: numbers.one_of(&[0, 100, 4096]),
            buffer,
            messages: numbers.one_of(&[1, 3, 20]),
            most_bytes,
        }
    }
}

/// Runs rounds that differ, the same ones each time, with a clock that stands still while anything is to be done.
fn rounds<F: Future<Output = ()>>(seed: u64, round: impl Fn(Setup, Vec<Message>) -> F) {
    let mut numbers = Numbers(seed);
    for count in 0..ROUNDS {
        let setup = Setup::random(&mut numbers);
        let messages: Vec<_> =
            (0..setup.messages).map(|_| Message::random(&mut numbers, setup.most_bytes)).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime needs nothing");
        let run = async { tokio::time::timeout(PATIENCE, round(setup, messages)).await };
        let ended = LocalSet::new().block_on(&runtime, run);
        assert!(ended.is_ok(), "round {count} waits in vain: {setup:?}");
    }
}

#[test]
fn their_client_gets_from_our_server_what_it_sent() {
    rounds(0x1234_5678, |setup, messages| async move {
        let (near, far) = tokio::io::duplex(setup.buffer);
        let connection = Connection::server(near, setup.ours);
        let watch = connection.watch();
        let served = tokio::task::spawn_local(ours::serve(connection, setup.messages));
        let client = theirs::Client::connect(far, setup).await;
        let asked = messages.iter().map(|message| client.ask(message.clone()));
        for (message, echo) in messages.iter().zip(futures_util::future::join_all(asked).await) {
            message.check(&echo);
        }
        drop(client);
        served.await.expect("it serves to the end");
        assert_eq!(watch.holders(), 1);
    });
}

#[test]
fn our_client_gets_from_their_server_what_it_sent() {
    rounds(0x9abc_def1, |setup, messages| async move {
        let (near, far) = tokio::io::duplex(setup.buffer);
        let served = tokio::task::spawn_local(theirs::serve(far, setup));
        let (client, connection) = Connection::client(near, setup.ours);
        let watch = connection.watch();
        let driven = tokio::task::spawn_local(ours::drive(connection));
        let asked = messages.iter().map(|message| ours::ask(&client, message.clone()));
        for (message, echo) in messages.iter().zip(futures_util::future::join_all(asked).await) {
            message.check(&echo);
        }
        drop(client);
        driven.await.expect("it is driven").expect("it ends well");
        served.await.expect("it serves to the end");
        assert_eq!(watch.holders(), 1);
    });
}

/// A frame of a kind with nothing in it but zeros.
fn frame(kind: u8, length: usize) -> Vec<u8> {
    let mut frame = vec![0, 0, length as u8, kind, 0, 0, 0, 0, 0];
    frame.resize(9 + length, 0);
    frame
}

/// Frames that are answered, from a server that reads no answer: at some time nothing more of them is read.
#[test]
fn who_takes_no_answers_is_not_read_for_ever() {
    const PING: u8 = 6;
    const MANY: usize = 100_000;
    rounds_once(async {
        let (near, mut far) = tokio::io::duplex(4096);
        let ours = Settings {
            streams: 0,
            stream_window_bytes: 65_535,
            connection_window_bytes: 65_535,
            header_list_bytes: 1000,
        };
        let (client, connection) = Connection::client(near, ours);
        let watch = connection.watch();
        let driven = tokio::task::spawn_local(ours::drive(connection));
        far.write_all(&frame(4, 0)).await.expect("it reads");
        let flood = frame(PING, 8).repeat(MANY);
        let mut sent = 0;
        let sending = async {
            while sent < flood.len() {
                sent += far.write(&flood[sent..]).await.expect("it reads");
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(1), sending).await.is_err(), "all of it is read");
        let read = watch.traffic().read();
        assert!((1000..500_000).contains(&read), "{read} bytes are read");
        // It goes on as soon as answers are taken.
        let (mut answers, mut rest) = tokio::io::split(far);
        let taken = tokio::task::spawn_local(async move {
            let mut seen = vec![0; 1 << 16];
            while answers.read(&mut seen).await.is_ok_and(|count| count > 0) {}
        });
        rest.write_all(&flood[sent..]).await.expect("all of it is read");
        drop(client);
        driven.await.expect("it is driven").ok();
        taken.await.expect("all is taken");
    });
}

fn rounds_once(round: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let run = async { tokio::time::timeout(PATIENCE, round).await };
    let ended = LocalSet::new().block_on(&runtime.expect("a runtime needs nothing"), run);
    assert!(ended.is_ok(), "it waits in vain");
}

/// A piece of a body as bytes of their own.
fn piece(body: &[u8]) -> Bytes {
    Bytes::copy_from_slice(body)
}
