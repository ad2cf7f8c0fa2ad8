//! Workers: threads that serve connections, each with a runtime, pools and buffers of its own.

use std::{io, net::TcpListener, rc::Rc, sync::Arc, thread::JoinHandle};

use tokio::{runtime::Builder, sync::mpsc::UnboundedReceiver, task::LocalSet};

use super::drain::Phase;
use crate::proxy::{DRAIN_IDLE, Handover, Shared, Worker, accept, serve_connection};

/// Sweeps between two looks at the pools: once a second.
const SWEEPS_PER_POOL_SWEEP: u32 = 10;

/// What one worker is started with.
pub struct Post {
    /// Number of the worker, from 0.
    pub index: usize,
    /// Its own socket for each listener.
    pub sockets: Vec<TcpListener>,
    /// Connections that other workers give it.
    pub handovers: UnboundedReceiver<Handover>,
}

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
        worker.spawn("handovers", take_over(worker.clone(), post.handovers));
        let mut accepting = Vec::new();
        for (index, socket) in post.sockets.into_iter().enumerate() {
            match tokio::net::TcpListener::from_std(socket) {
                Ok(socket) => accepting.push(worker.spawn("accept", accept(worker.clone(), index, socket))),
                Err(error) => tracing::error!(%error, "cannot listen"),
            }
        }
        drain.reached(Phase::Draining).await;
        // They still take what the system has accepted.
        for accepting in accepting {
            let _ = accepting.await;
        }
        tokio::select! {
            () = worker.connections_ended() => {}
            () = drain.reached(Phase::Stopped) => {}
        }
    });
}

/// Keeps time: deadlines, the date, the access log, idle connections.
async fn sweep(worker: Rc<Worker>) {
    let mut ticks = 0;
    let tick = || {
        worker.log.flush();
        worker.make_room_for_others();
        if worker.shared.drain.is_draining() {
            worker.deadlines.expire_idle_for(DRAIN_IDLE);
        }
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

async fn take_over(worker: Rc<Worker>, mut handovers: UnboundedReceiver<Handover>) {
    while let Some(Handover { listener, tcp, peer }) = handovers.recv().await {
        if let Ok(tcp) = tokio::net::TcpStream::from_std(tcp) {
            serve_connection(&worker, listener, tcp, peer);
        }
    }
}
