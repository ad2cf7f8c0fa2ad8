//! Frames of HTTP/2, to connections whose streams are served and asked on, against a reader that forgives nothing.

mod seen;
mod sent;
mod tasks;
mod wire;

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    rc::Rc,
    task::Poll,
};

use seen::Seen;
use selvedge_common::{
    http2::{
        Client, Connection, Settings, Watch,
        hpack::{Encoder, Pseudo},
    },
    message::{Known, ResponseHead},
};
use sent::{PREFACE, Sent};
use tasks::{Log, Logs, Permits, Side, Tasks};
use wire::{End, Wire};

/// What a connection may say of itself.
const SETTINGS: [Settings; 4] = [
    settings(100, 65_535, 1 << 20, 16 << 10),
    settings(2, 10, 65_535, 300),
    settings(10, 1, 1000, 2000),
    settings(1000, 1 << 20, 1 << 20, 64 << 10),
];
const MOST: u32 = (1 << 31) - 1;
/// Values that matter to some setting or window.
const VALUES: [u32; 13] =
    [0, 1, 2, 10, 100, 4096, 16_383, 16_384, 65_535, 1 << 20, (1 << 24) - 1, MOST, u32::MAX];
/// Fields that are sent by hand, many of which are wrong somewhere.
const FIELDS: [(&str, &str); 24] = [
    (":method", "GET"),
    (":method", "CONNECT"),
    (":scheme", "http"),
    (":path", "/a"),
    (":path", ""),
    (":authority", "a"),
    (":status", "200"),
    (":status", "103"),
    (":status", "101"),
    (":status", "204"),
    (":status", "999"),
    (":status", "abc"),
    (":protocol", "websocket"),
    ("content-length", "0"),
    ("content-length", "5"),
    ("content-length", "18446744073709551616"),
    ("connection", "close"),
    ("te", "trailers"),
    ("host", "b"),
    ("cookie", "a=b"),
    ("X-Upper", "1"),
    ("", "1"),
    ("x-bad", "a\r\nb"),
    ("x-long", "looooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooong"),
];

const fn settings(streams: u32, stream: u32, connection: u32, fields: u32) -> Settings {
    Settings {
        streams,
        stream_window_bytes: stream,
        connection_window_bytes: connection,
        header_list_bytes: fields,
    }
}

/// Plays what the bytes say: messages, frames of a grammar and bytes as they are, in pieces of any size. Nothing panics
/// or waits in vain, and nothing is left of a connection that has ended.
pub fn check(input: &[u8]) {
    let mut run = Run::new(Words(input));
    while !run.words.0.is_empty() {
        run.step();
    }
    run.finish();
}

/// The input, from which everything is decided; zeros behind its end.
struct Words<'a>(&'a [u8]);

impl Words<'_> {
    fn next(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::from(self.next()) % limit
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    fn bytes(&mut self) -> Vec<u8> {
        let count = self.below(40);
        (0..count).map(|_| self.next()).collect()
    }
}

struct Run<'a> {
    words: Words<'a>,
    is_server: bool,
    wire: Rc<RefCell<Wire>>,
    tasks: Tasks,
    permits: Rc<Permits>,
    logs: Logs,
    watch: Watch,
    client: Option<Client>,
    /// Whether the connection shall end at once, and whether it has ended.
    shall_end: Rc<Cell<bool>>,
    has_ended: Rc<Cell<bool>>,
    encoder: Encoder,
    /// What is to be sent next.
    out: Vec<u8>,
    /// The next stream of the peer.
    next: u32,
    /// The window of the connection, and the most that the peer may have sent and we not have taken.
    window: u32,
    most_unread: u64,
}

impl<'a> Run<'a> {
    fn new(mut words: Words<'a>) -> Self {
        let which = words.next();
        let is_server = which & 1 == 0;
        let settings = SETTINGS[usize::from(which >> 1) % SETTINGS.len()];
        let wire = Wire::new(Sent::new(is_server), Seen::new(is_server, &settings));
        let wire = Rc::new(RefCell::new(wire));
        wire.borrow_mut().piece = [usize::MAX, 1, 7, 1000][usize::from(which >> 3) % 4];
        let end = End(wire.clone());
        let (client, connection) = match is_server {
            true => (None, Connection::server(end, settings)),
            false => {
                let (client, connection) = Connection::client(end, settings);
                (Some(client), connection)
            }
        };
        let mut run = Self {
            words,
            is_server,
            wire,
            tasks: Tasks::default(),
            permits: Rc::default(),
            logs: Logs::default(),
            watch: connection.watch(),
            client,
            shall_end: Rc::default(),
            has_ended: Rc::default(),
            encoder: Encoder::new(),
            out: Vec::new(),
            next: 1,
            window: settings.connection_window_bytes,
            most_unread: u64::from(settings.connection_window_bytes.max(65_535)),
        };
        run.drive(connection);
        if which & 0x20 == 0 {
            run.out.extend_from_slice(if is_server { PREFACE } else { b"" });
            run.frame(4, 0, 0, &[]);
        }
        run
    }

    /// Spawns what drives the connection, and tasks for what is asked on it.
    fn drive(&self, mut connection: Connection<End>) {
        let (shall_end, has_ended) = (self.shall_end.clone(), self.has_ended.clone());
        let (spawner, logs, permits) = (self.tasks.spawner(), self.logs.clone(), self.permits.clone());
        let inner = spawner.clone();
        spawner.borrow_mut().push(Box::pin(async move {
            let driven = poll_fn(|cx| {
                if shall_end.get() {
                    connection.abort();
                    return Poll::Ready(());
                }
                let ended = connection.poll(cx, &mut |block, handle| {
                    let plan = block.path().last().copied().unwrap_or(1);
                    let log = Rc::new(Log::default());
                    assert!(logs.borrow_mut().insert(handle.id(), log.clone()).is_none());
                    let side = Side { handle, log, permits: permits.clone(), plan };
                    inner.borrow_mut().push(Box::pin(async {
                        let _ = side.serve().await;
                    }));
                });
                ended.map(|_| ())
            });
            driven.await;
            has_ended.set(true);
        }));
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
        self.out.extend_from_slice(&[kind, flags]);
        self.out.extend_from_slice(&stream.to_be_bytes());
        self.out.extend_from_slice(payload);
    }

    fn stream(&mut self) -> u32 {
        match self.words.next() {
            0 => 0,
            255 => MOST,
            254 => self.next + 2,
            253 => 2,
            byte => self.next.max(3) - 2 - 2 * (u32::from(byte) % 8).min((self.next.max(3) - 3) / 2),
        }
    }

    fn step(&mut self) {
        match self.words.below(24) {
            0..=3 => self.message(),
            4 => self.odd_head(),
            5..=7 => self.data(),
            8 => self.settings(),
            9 | 10 => self.window_update(),
            11 => self.with_stream(3, 4),
            12 => self.with_stream(6, 8),
            13 => self.with_stream(7, 8),
            14 => self.with_stream(2, 5),
            15 => self.with_stream(9, 0),
            16 => {
                let (kind, flags, stream) = (self.words.below(12) as u8, self.words.next(), self.stream());
                let payload = self.words.bytes();
                self.frame(kind, flags, stream, &payload);
            }
            17 => {
                let bytes = self.words.bytes();
                self.out.extend_from_slice(&bytes);
            }
            18 => self.permits.give(self.words.below(8)),
            19 => {
                let room = self.words.one_of(&[0, 1, 20, 1000, 50_000, usize::MAX]);
                self.wire.borrow_mut().give_room(room);
            }
            20 => match self.words.next() {
                0..16 => self.watch.leave(),
                16..32 => drop(self.client.take()),
                _ => self.frame(4, 1, 0, &[]),
            },
            _ => self.go_on(),
        }
    }

    /// A message that is mostly sound: a request of the peer, or our own and later an answer to it.
    fn message(&mut self) {
        let (plan, how) = (self.words.next(), self.words.next());
        if !self.is_server && how & 1 == 0 {
            return self.ask(plan, (how & 4 != 0, how & 2 != 0));
        }
        let id = if self.is_server { self.next } else { self.stream() };
        let mut block = Vec::new();
        self.encoder.begin(&mut block);
        let encoder = &mut self.encoder;
        if self.is_server {
            self.next += 2;
            let method = if how & 0x40 == 0 { &b"POST"[..] } else { b"GET" };
            encoder.pseudo(&mut block, Pseudo::Method, method);
            encoder.pseudo(&mut block, Pseudo::Scheme, b"http");
            encoder.pseudo(&mut block, Pseudo::Path, &[b'/', plan | 0x80]);
            encoder.pseudo(&mut block, Pseudo::Authority, b"a");
        } else {
            let status = ["200", "204", "304", "404", "100", "103"][usize::from(plan) % 6];
            encoder.pseudo(&mut block, Pseudo::Status, status.as_bytes());
        }
        if how & 0x20 != 0 {
            let length = [&b"0"[..], b"5", b"1000"][usize::from(how >> 2) % 3];
            encoder.field(&mut block, Known::ContentLength, b"content-length", length);
        }
        encoder.field(&mut block, Known::Other, b"x-again", b"and again");
        self.head(id, how, block);
    }

    /// Sends a block, in one frame or several, with padding or priority.
    fn head(&mut self, id: u32, how: u8, block: Vec<u8>) {
        let end = (how >> 7) | if how & 0x10 != 0 { 0x20 } else { 0 };
        let mut payload = if how & 0x10 != 0 { vec![0, 0, 0, 0, 9] } else { Vec::new() };
        payload.extend_from_slice(&block);
        match (how >> 2) & 3 {
            1 => {
                payload.insert(0, 3);
                payload.extend([0; 3]);
                self.frame(1, end | 4 | 8, id, &payload);
            }
            2 => {
                let half = payload.len().div_ceil(2);
                self.frame(1, end, id, &payload[..half]);
                self.frame(9, 0, id, &[]);
                self.frame(9, 4, id, &payload[half..]);
            }
            _ => self.frame(1, end | 4, id, &payload),
        }
    }

    /// Opens a request of ours.
    fn ask(&mut self, plan: u8, (is_head, is_whole): (bool, bool)) {
        let Some(client) = &self.client else { return };
        let sent = client.send(Box::<ResponseHead>::default(), (is_head, is_whole), |head| {
            head.request(b"POST", "http", b"a", &[b'/', b'a' + plan % 8]);
        });
        let Ok(handle) = sent else { return };
        self.next = self.next.max(handle.id() + 2);
        let log = Rc::new(Log::default());
        self.logs.borrow_mut().insert(handle.id(), log.clone());
        let side = Side { handle, log, permits: self.permits.clone(), plan };
        self.tasks.spawner().borrow_mut().push(Box::pin(async move {
            let _ = side.ask(is_whole).await;
        }));
    }

    /// A block by hand, of fields in any order.
    fn odd_head(&mut self) {
        let (how, count) = (self.words.next(), self.words.below(6));
        let id = if self.is_server && how & 1 == 0 { self.next } else { self.stream() };
        self.next = self.next.max(id.min(1 << 20) / 2 * 2 + 3 - 2 * (1 - id % 2));
        let mut block = Vec::new();
        for _ in 0..count {
            let (name, value) = self.words.one_of(&FIELDS);
            block.push([0, 0x40, 0x10][usize::from(how) % 3]);
            for text in [name, value] {
                block.push(text.len() as u8);
                block.extend_from_slice(text.as_bytes());
            }
        }
        if how & 0x60 == 0x60 {
            block.extend(self.words.bytes());
        }
        self.head(id, how, block);
    }

    fn data(&mut self) {
        let (how, stream) = (self.words.next(), self.stream());
        let count = [0, 1, 5, 9, 600, 5000, 16_384, 16_385][usize::from(how) % 8];
        let mut payload: Vec<u8> = (0..count).map(|at| at as u8 ^ how).collect();
        if how & 8 != 0 {
            payload.splice(..0, [how >> 4]);
        }
        self.frame(0, how >> 7 | how & 8, stream, &payload);
    }

    fn settings(&mut self) {
        let mut payload = Vec::new();
        for _ in 0..self.words.below(4) {
            let (id, value) = (self.words.below(8) as u16, self.words.one_of(&VALUES));
            payload.extend_from_slice(&id.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        self.frame(4, 0, 0, &payload);
    }

    fn window_update(&mut self) {
        let (stream, value) = (self.stream(), self.words.one_of(&VALUES));
        self.frame(8, 0, stream, &value.to_be_bytes());
    }

    /// A frame with a payload of the usual size, mostly.
    fn with_stream(&mut self, kind: u8, usual: usize) {
        let how = self.words.next();
        let flags = if how & 0x0c == 0 { how >> 4 } else { 0 };
        let is_of_connection = matches!(kind, 6 | 7) && how & 0x40 == 0;
        let stream = if is_of_connection { 0 } else { self.stream() };
        let mut payload = vec![0; if how & 3 == 3 { self.words.below(20) } else { usual }];
        payload.iter_mut().rev().take(1).for_each(|byte| *byte = how >> 4);
        if kind == 7 && how & 1 == 0 {
            payload.iter_mut().take(4).for_each(|byte| *byte = 0x7f);
        }
        self.frame(kind, flags, stream, &payload);
    }

    /// Sends what there is to send, and lets everybody go on as far as they come.
    fn go_on(&mut self) {
        self.wire.borrow_mut().send(&self.out);
        self.out.clear();
        self.tasks.run();
        let wire = &*self.wire.borrow();
        let is_idle = wire.is_idle() && !self.has_ended.get();
        for (id, log) in &*self.logs.borrow() {
            log.check(*id, &wire.sent);
            if is_idle {
                log.check_waiting(*id, &wire.sent, wire.seen.windows(*id, &wire.sent));
            }
        }
        let held: u64 = self.logs.borrow().iter().map(|(id, log)| log.held(*id, &wire.sent)).sum();
        let unread = wire.seen.unread(&wire.sent);
        // What was taken is told of by halves of the window.
        let most = self.most_unread.min(held + u64::from(self.window / 2));
        let is_told = is_idle && !wire.seen.is_leaving();
        assert!(!is_told || unread <= most, "{unread} bytes are held, {held} of them by handles");
    }

    /// Everything may go on now, and then the connection ends.
    fn finish(mut self) {
        self.permits.give(usize::MAX);
        self.wire.borrow_mut().give_room(usize::MAX);
        self.go_on();
        let streams: Vec<u32> = self.logs.borrow().keys().copied().collect();
        for id in streams.into_iter().chain([0]) {
            self.frame(8, 0, id, &(1u32 << 20).to_be_bytes());
        }
        self.go_on();
        let how = self.out.len() + self.logs.borrow().len();
        drop(self.client.take());
        match how % 3 {
            0 => {
                self.shall_end.set(true);
                self.wire.borrow_mut().send(&[]);
            }
            1 => self.watch.leave(),
            _ => {}
        }
        self.go_on();
        self.wire.borrow_mut().end();
        self.go_on();
        assert!(self.has_ended.get() && self.tasks.is_done(), "nobody waits on a connection that has ended");
        assert_eq!(self.watch.holders(), 1, "nothing is left of the connection");
    }
}
