//! Workers: threads that serve connections, each with a runtime, pools and buffers of its own.

use std::{cell::RefCell, io, rc::Rc, sync::Arc, thread::JoinHandle};

use tokio::{runtime::Builder, sync::mpsc::UnboundedReceiver, task, task::LocalSet};

use super::drain::Phase;
use crate::proxy::{Message, Shared, Worker, accept, serve_connection};

/// Sweeps between two looks at the pools: once a second.
const SWEEPS_PER_POOL_SWEEP: u32 = 10;

/// What one worker is started with.
pub struct Post {
    /// Number of the worker, from 0.
    pub index: usize,
    /// Its sockets, and connections that other workers give it.
    pub messages: UnboundedReceiver<Message>,
}

/// The accept loops of a worker.
type Accepting = Rc<RefCell<Vec<task::JoinHandle<()>>>>;

/// Starts a worker's thread; it ends when the engine has drained or is stopped.
///
/// # Errors
/// If the system gives no thread.
pub fn start(shared: Arc<Shared>, post: Post) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(format!("worker-{}", post.index)).spawn(move || run(shared, post))
}

fn run(shared: Arc<Shared>, post: Post) {
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, worker = post.index, "cannot start a worker");
            return;
        }
    };
    let local = LocalSet::new();
    let drain = shared.drain.clone();
    local.block_on(&runtime, async move {
        let worker = Rc::new(Worker::new(post.index, shared));
        worker.spawn("sweep", sweep(worker.clone()));
        worker.spawn("departures", close_departed(worker.clone()));
        let accepting = Accepting::default();
        worker.spawn("messages", follow(worker.clone(), accepting.clone(), post.messages));
        drain.reached(Phase::Draining).await;
        // They still take what the system has accepted.
        let accepting = accepting.take();
        for accepting in accepting {
            let _ = accepting.await;
        }
        tokio::select! {
            () = worker.connections_ended() => {}
            () = drain.reached(Phase::Stopped) => {}
        }
    });
    drop(local);
    // Names that are still being looked up hold nobody up.
    runtime.shutdown_background();
}

/// Keeps time: deadlines, the date, the access log, idle connections.
async fn sweep(worker: Rc<Worker>) {
    let mut ticks = 0;
    let tick = || {
        worker.log.flush();
        // An idle worker lets go of what is not served any more.
        let _ = worker.live();
        worker.make_room_for_others();
        worker.end_idle();
        ticks += 1;
        if ticks % SWEEPS_PER_POOL_SWEEP == 0 {
            worker.set_date();
            worker.pool.sweep();
            worker.edges.sweep();
        }
    };
    worker.deadlines.sweep(tick).await;
}

/// Closes idle connections to peers as soon as these are gone.
async fn close_departed(worker: Rc<Worker>) {
    let mut departures = worker.shared.registry.departures();
    while departures.changed().await.is_ok() {
        worker.pool.sweep();
    }
}

/// Does as the worker is told.
async fn follow(worker: Rc<Worker>, accepting: Accepting, mut messages: UnboundedReceiver<Message>) {
    while let Some(message) = messages.recv().await {
        match message {
            Message::Serve(handover) => {
                if let Ok(tcp) = tokio::net::TcpStream::from_std(handover.tcp) {
                    serve_connection(&worker, &handover.bound, tcp, handover.peer);
                }
            }
            Message::Listen(opening) => {
                let mut accepting = accepting.borrow_mut();
                accepting.retain(|accepting| !accepting.is_finished());
                accepting.push(worker.spawn("accept", accept(worker.clone(), opening)));
            }
        }
    }
}
