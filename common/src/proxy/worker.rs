//! What the connections of one worker share: buffers, pools, deadlines and a little memory.

use std::{
    cell::{Cell, RefCell},
    hash::{BuildHasher, RandomState},
    ops::Deref,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant, SystemTime},
};

use futures_util::FutureExt;
use tokio::task::JoinHandle;

use super::{
    body::Outgoing,
    bound::Bound,
    http1::DRAIN_IDLE,
    identity::{WorkerEdges, WorkerTokens},
    live::Live,
    passwords::WorkerPasswords,
    shared::Shared,
};
use crate::{
    http1::Buffers,
    message::{RequestHead, ResponseHead},
    runtime::{access_log::WorkerLog, deadline::Deadlines, spawn::PanicWatch},
    upstream::Pool,
};

/// Heads that a worker keeps for the next requests.
const KEPT_HEADS: usize = 64;

/// Idle connections of clients closed when the system is short of something.
const SHED: usize = 32;
/// How often a draining worker looks whether its connections have ended.
const DRAIN_LOOK: Duration = Duration::from_millis(20);

/// The state of one worker; it never leaves its thread.
pub struct Worker {
    /// Number of the worker, from 0.
    pub index: usize,
    /// What all workers share.
    pub shared: Arc<Shared>,
    /// What was published last, as far as the worker knows, and which that was.
    live: RefCell<(u64, Rc<KeptLive>)>,
    /// Limits in time.
    pub deadlines: Deadlines,
    /// Memory for bytes on their way.
    pub buffers: Rc<Buffers>,
    /// Connections to endpoints.
    pub pool: Pool,
    /// When a connection was last asked to be opened anew on another worker.
    pub sent_away: Cell<Option<Instant>>,
    /// Copies of requests that are under way to mirrors.
    pub copies: Cell<usize>,
    /// Connections of HTTP/1.1 that wait with the room of their last request.
    pub kept_rooms: Cell<usize>,
    /// Access log.
    pub log: WorkerLog,
    /// What is known of tokens.
    pub tokens: WorkerTokens,
    /// Passwords that were right.
    pub passwords: WorkerPasswords,
    /// Counters of edges of the call graph.
    pub edges: WorkerEdges,
    #[expect(clippy::vec_box, reason = "heads are handed on as one pointer")]
    requests: RefCell<Vec<Box<RequestHead>>>,
    #[expect(clippy::vec_box, reason = "heads are handed on as one pointer")]
    responses: RefCell<Vec<Box<ResponseHead>>>,
    random: Cell<u64>,
    date: RefCell<String>,
    /// Listeners that have left while connections of theirs may be open here.
    leaving: RefCell<Vec<Arc<Bound>>>,
}

/// The live state as one worker keeps it: counted there alone.
pub struct KeptLive(Arc<Live>);

impl Deref for KeptLive {
    type Target = Live;

    fn deref(&self) -> &Live {
        &self.0
    }
}

impl Worker {
    /// The state of a worker that has served nothing yet.
    pub fn new(index: usize, shared: Arc<Shared>) -> Self {
        let log = shared.access_log.worker();
        let worker = Self {
            index,
            live: RefCell::new((shared.published(), Rc::new(KeptLive(shared.live.load_full())))),
            deadlines: Deadlines::default(),
            buffers: Rc::default(),
            pool: Pool::new(shared.settings.upstream_idle),
            sent_away: Cell::new(None),
            copies: Cell::new(0),
            kept_rooms: Cell::new(0),
            log,
            tokens: WorkerTokens::default(),
            passwords: WorkerPasswords::default(),
            edges: WorkerEdges::default(),
            requests: RefCell::default(),
            responses: RefCell::default(),
            random: Cell::new(RandomState::new().hash_one(index) | 1),
            date: RefCell::default(),
            leaving: RefCell::default(),
            shared,
        };
        worker.set_date();
        worker
    }

    /// What new requests are served with. Looked at for every request, so without a count that all workers share; not
    /// to be held while anything is waited for.
    pub fn live(&self) -> Rc<KeptLive> {
        let published = self.shared.published();
        let mut kept = self.live.borrow_mut();
        if kept.0 != published {
            // What was published in between is seen now, and looked at again next time.
            *kept = (published, Rc::new(KeptLive(self.shared.live.load_full())));
        }
        kept.1.clone()
    }

    /// A number that nobody can foresee cheaply; not for secrets (xorshift64*).
    pub fn random(&self) -> u64 {
        let mut x = self.random.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.random.set(x);
        x.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// The value of a `Date` field (RFC 9110 §6.6.1), at most a tick old.
    pub fn date(&self) -> std::cell::Ref<'_, String> {
        self.date.borrow()
    }

    /// Gives back the memory that a message was written from.
    pub fn give_text(&self, out: Outgoing<'_>) {
        if let Outgoing::Http1(writer) = out {
            self.buffers.give_text(writer.into_text());
        }
    }

    /// Runs a task on this worker. A panic ends that task alone, and is counted and logged.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + 'static) -> JoinHandle<()> {
        let watch = PanicWatch::new(name, &self.shared.metrics);
        // `map` rather than an `async` block, which would hold the task twice.
        tokio::task::spawn_local(task.map(move |()| drop(watch)))
    }

    /// Closes connections that wait for a request, on both sides, as the system is short of descriptors or memory.
    /// Says how many of clients they are.
    pub fn shed(&self) -> usize {
        self.pool.close_idle();
        self.deadlines.expire_idle(SHED)
    }

    /// Closes the connection that has waited longest for a request, to make room for a new one. If none waits here,
    /// the other workers are asked to close one each: that helps the next connection, not this one.
    pub fn make_room(&self) -> bool {
        let made = self.deadlines.expire_idle(1) > 0;
        if !made {
            for (index, wanted) in self.shared.room_wanted.iter().enumerate() {
                if index != self.index {
                    wanted.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        made
    }

    /// Closes as many waiting connections as other workers have asked for.
    pub fn make_room_for_others(&self) {
        let wanted = &self.shared.room_wanted[self.index];
        if wanted.load(Ordering::Relaxed) > 0 {
            self.deadlines.expire_idle(wanted.swap(0, Ordering::Relaxed));
        }
    }

    /// Lets the connections of a listener that has left end.
    pub fn see_off(&self, bound: Arc<Bound>) {
        self.leaving.borrow_mut().push(bound);
    }

    /// Closes connections that have waited a little for a request and shall end.
    pub fn end_idle(&self) {
        if self.shared.drain.is_draining() {
            self.deadlines.expire_idle_for(DRAIN_IDLE);
        }
        self.leaving.borrow_mut().retain(|bound| {
            self.deadlines.expire_idle_of(bound.index, DRAIN_IDLE);
            bound.connections.load(Ordering::Relaxed) > 0
        });
    }

    /// Waits until no connection from a client is open on this worker.
    pub async fn connections_ended(&self) {
        while self.shared.workers[self.index].connections.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(DRAIN_LOOK).await;
        }
    }

    /// Brings the date up to now.
    pub fn set_date(&self) {
        *self.date.borrow_mut() = httpdate::fmt_http_date(SystemTime::now());
    }

    /// A cleared request head.
    pub fn take_request(&self) -> Box<RequestHead> {
        self.requests.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes a request head back.
    pub fn give_request(&self, mut head: Box<RequestHead>) {
        let mut list = self.requests.borrow_mut();
        if list.len() < KEPT_HEADS {
            head.clear();
            list.push(head);
        }
    }

    /// A cleared response head.
    pub fn take_response(&self) -> Box<ResponseHead> {
        self.responses.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes a response head back.
    pub fn give_response(&self, mut head: Box<ResponseHead>) {
        let mut list = self.responses.borrow_mut();
        if list.len() < KEPT_HEADS {
            head.clear();
            list.push(head);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::LocalSet;

    use super::*;
    use crate::{
        proxy::ProxySettings,
        runtime::{access_log::AccessLog, metrics::Metrics},
    };

    #[tokio::test]
    async fn a_panic_in_one_connection_ends_it_alone_and_is_counted() {
        let metrics = Metrics::new();
        let settings = ProxySettings {
            upstream_idle: Duration::from_secs(60),
            connections: 10,
            requests: 0,
            spread_every: Duration::ZERO,
            reason_field: true,
        };
        let shared = Shared::new(settings, (metrics.clone(), AccessLog::off()), Vec::new());
        let worker = Rc::new(Worker::new(0, shared));
        let run = async {
            let broken = worker.spawn("connection", async { panic!("as the test wants") });
            let sound = worker.spawn("connection", tokio::task::yield_now());
            (broken.await, sound.await)
        };
        let (broken, sound) = LocalSet::new().run_until(run).await;
        assert!(broken.unwrap_err().is_panic() && sound.is_ok());
        assert_eq!(metrics.panics.get(), 1);
    }
}
