//! Pool: connections to peers that wait for the next request; each worker has its own.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{Mutex, Notify},
    time::Instant,
};

use super::{Peer, PeerId, Slot, Slots};
use crate::{http1::Connection, http2::Client, runtime::metrics::OpenConnection};

/// Connections that a worker keeps open for one peer while they are idle.
const IDLE_PER_PEER: usize = 256;
/// Streams on one HTTP/2 connection before another is opened.
const STREAMS_PER_CONNECTION: usize = 100;

/// The connections of one worker.
pub struct Pool {
    idle_limit: Duration,
    /// The time as of the last sweep: near enough for how long a connection has been idle.
    now: Cell<Instant>,
    peers: RefCell<HashMap<PeerId, PeerPool, foldhash::fast::RandomState>>,
}

/// The connections to one peer.
struct PeerPool {
    peer: Arc<Peer>,
    http1: Vec<Idle>,
    http2: Vec<Rc<Http2Connection>>,
    /// Held by who opens an HTTP/2 connection, so that requests that come together do not open one each.
    opening: Rc<Mutex<()>>,
    /// Requests of this worker that wait for a connection, as its backend limits them.
    waiting: Rc<LocalWait>,
}

/// Requests of one worker that wait for a connection to one peer.
#[derive(Debug, Default)]
pub struct LocalWait {
    count: Cell<usize>,
    freed: Notify,
}

/// An HTTP/1.1 connection to a peer.
pub struct Http1Link {
    /// The connection.
    pub connection: Connection,
    /// Counts it as open.
    pub open: OpenConnection,
    /// Counts it against the limit of its backend, if there is one.
    pub slot: Option<Slot>,
}

struct Idle {
    link: Box<Http1Link>,
    since: Instant,
}

/// An HTTP/2 connection, shared by the streams on it. It closes when neither the pool nor a stream holds it.
struct Http2Connection {
    client: Client,
    streams: Cell<usize>,
    last_used: Cell<Instant>,
    waiting: Rc<LocalWait>,
}

/// A stream on an HTTP/2 connection; dropping it makes room for another.
pub struct Http2Stream(Rc<Http2Connection>);

impl Pool {
    /// An empty pool that keeps unused connections this long.
    pub fn new(idle_limit: Duration) -> Self {
        Self { idle_limit, now: Cell::new(Instant::now()), peers: RefCell::default() }
    }

    /// A connection to this peer that is still alive, the one used last if there are several.
    pub fn take(&self, peer: &Peer) -> Option<Box<Http1Link>> {
        let mut peers = self.peers.borrow_mut();
        let list = &mut peers.get_mut(&peer.id)?.http1;
        while let Some(idle) = list.pop() {
            if idle.link.connection.is_reusable() {
                if let Some(slot) = &idle.link.slot {
                    slot.set_idle(false);
                }
                return Some(idle.link);
            }
        }
        None
    }

    /// Requests of this worker that wait for a connection to this peer.
    pub fn waiting(&self, peer: &Arc<Peer>) -> Rc<LocalWait> {
        self.peers.borrow_mut().entry(peer.id).or_insert_with(|| PeerPool::new(peer)).waiting.clone()
    }

    /// Whether there is any HTTP/2 connection to this peer.
    pub fn has_http2(&self, peer: &Peer) -> bool {
        self.peers.borrow().get(&peer.id).is_some_and(|pool| !pool.http2.is_empty())
    }

    /// Closes one idle connection, to whichever peer, that is counted there.
    pub fn close_one(&self, slots: &Slots) -> bool {
        let counts = |idle: &Idle| idle.link.slot.as_ref().is_some_and(|slot| slot.is_of(slots));
        let mut peers = self.peers.borrow_mut();
        let mut found =
            peers.values_mut().filter_map(|pool| Some((pool.http1.iter().position(counts)?, pool)));
        found.next().map(|(at, pool)| pool.http1.remove(at)).is_some()
    }

    /// Keeps a connection for the next request, unless its peer is gone or has been told a client's address.
    pub fn give(&self, peer: &Arc<Peer>, link: Box<Http1Link>) {
        if peer.is_gone() || peer.is_told_clients() {
            return;
        }
        let mut peers = self.peers.borrow_mut();
        let pool = peers.entry(peer.id).or_insert_with(|| PeerPool::new(peer));
        if let Some(slot) = &link.slot {
            slot.set_idle(true);
            if slot.is_for_others(pool.waiting.count.get() > 0) {
                return;
            }
            pool.waiting.tell();
        }
        if pool.http1.len() < IDLE_PER_PEER {
            pool.http1.push(Idle { link, since: self.now.get() });
        }
    }

    /// A stream on an HTTP/2 connection to this peer that has room for one.
    pub fn take_http2(&self, peer: &Peer) -> Option<Http2Stream> {
        let mut peers = self.peers.borrow_mut();
        let list = &mut peers.get_mut(&peer.id)?.http2;
        list.retain(|connection| connection.client.is_open());
        let has_room = |connection: &&Rc<Http2Connection>| {
            connection.streams.get() < STREAMS_PER_CONNECTION.min(connection.client.most_streams())
        };
        list.iter().find(has_room).map(Http2Stream::new)
    }

    /// To be held while an HTTP/2 connection to this peer is opened; who has waited for it looks first whether
    /// there is one now.
    pub fn opening(&self, peer: &Arc<Peer>) -> Rc<Mutex<()>> {
        self.peers.borrow_mut().entry(peer.id).or_insert_with(|| PeerPool::new(peer)).opening.clone()
    }

    /// Shares a new HTTP/2 connection and takes its first stream, unless the peer has been told a client's address:
    /// then it is the only one.
    pub fn share_http2(&self, peer: &Arc<Peer>, client: Client) -> Http2Stream {
        let (last_used, waiting) = (Cell::new(Instant::now()), self.waiting(peer));
        let connection = Rc::new(Http2Connection { client, streams: Cell::default(), last_used, waiting });
        let stream = Http2Stream::new(&connection);
        if !peer.is_gone() && !peer.is_told_clients() {
            let mut peers = self.peers.borrow_mut();
            peers.entry(peer.id).or_insert_with(|| PeerPool::new(peer)).http2.push(connection);
        }
        stream
    }

    /// Forgets the HTTP/2 connection of a stream that failed; its other streams go on if they can.
    pub fn forget_http2(&self, peer: &Peer, stream: &Http2Stream) {
        if let Some(pool) = self.peers.borrow_mut().get_mut(&peer.id) {
            pool.http2.retain(|connection| !Rc::ptr_eq(connection, &stream.0));
        }
    }

    /// Closes connections that were unused for too long, have died, whose peer is gone or that another worker needs.
    pub fn sweep(&self) {
        let now = Instant::now();
        self.now.set(now);
        self.peers.borrow_mut().retain(|_, pool| {
            if pool.peer.is_gone() {
                return false;
            }
            pool.http1.retain(|idle| {
                let wanted = idle.link.slot.as_ref().is_some_and(Slot::is_claimed);
                !wanted && now - idle.since < self.idle_limit && idle.link.connection.is_reusable()
            });
            pool.http2.retain(|connection| {
                let unused =
                    connection.streams.get() == 0 && now - connection.last_used.get() >= self.idle_limit;
                !unused && connection.client.is_open()
            });
            let awaited = Rc::strong_count(&pool.opening) > 1 || pool.waiting.count.get() > 0;
            !pool.http1.is_empty() || !pool.http2.is_empty() || awaited
        });
    }

    /// Closes every connection that waits for a request.
    pub fn close_idle(&self) {
        self.peers.borrow_mut().values_mut().for_each(|pool| {
            pool.http1.clear();
            pool.http2.retain(|connection| connection.streams.get() > 0);
        });
    }

    /// Number of HTTP/1.1 connections that wait for a request.
    pub fn idle(&self) -> usize {
        self.peers.borrow().values().map(|pool| pool.http1.len()).sum()
    }
}

impl PeerPool {
    fn new(peer: &Arc<Peer>) -> Self {
        Self {
            peer: peer.clone(),
            http1: Vec::new(),
            http2: Vec::new(),
            opening: Rc::default(),
            waiting: Rc::default(),
        }
    }
}

impl LocalWait {
    /// Waits until a connection may have come back.
    pub async fn freed(&self) {
        self.count.set(self.count.get() + 1);
        let _counted = Counted(&self.count);
        self.freed.notified().await;
    }

    /// Says that one has come back.
    fn tell(&self) {
        if self.count.get() > 0 {
            self.freed.notify_one();
        }
    }
}

/// Ends the wait of a request that is dropped, too.
struct Counted<'a>(&'a Cell<usize>);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Http2Stream {
    fn new(connection: &Rc<Http2Connection>) -> Self {
        connection.streams.set(connection.streams.get() + 1);
        Self(connection.clone())
    }

    /// The connection on which it may be opened.
    pub fn client(&self) -> &Client {
        &self.0.client
    }
}

impl Drop for Http2Stream {
    fn drop(&mut self) {
        let connection = &self.0;
        connection.streams.set(connection.streams.get() - 1);
        connection.last_used.set(Instant::now());
        connection.waiting.tell();
    }
}
