//! Accept: takes connections from clients, as many as the limits allow, and keeps workers even.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use tokio::net::{TcpListener, TcpStream};

use super::{
    bound::{Bound, Opening},
    detect,
    shared::Shared,
    spreading::better_worker,
    worker::Worker,
};
use crate::{model::Listener, runtime::drain::Phase};

/// Pause after the system was short of descriptors or memory, so that the loop does not spin.
const SHORTAGE_PAUSE: Duration = Duration::from_millis(50);
/// A shortage is logged once in this time.
const SHORTAGE_TOLD: Duration = Duration::from_secs(1);

/// How long a socket whose address another process shares is still served when no new client comes to it any more, so
/// that those that are about to be connected are. Handshakes of TCP take one way there and back.
const LAST_HANDSHAKES: Duration = Duration::from_millis(200);

/// What a worker is told.
pub enum Message {
    /// Serve a connection that another worker has accepted.
    Serve(Handover),
    /// Accept connections on one more socket.
    Listen(Opening),
}

/// A connection that another worker shall serve.
pub struct Handover {
    /// The listener that accepted it.
    pub bound: Arc<Bound>,
    /// The connection.
    pub tcp: std::net::TcpStream,
    /// Address of the client.
    pub peer: SocketAddr,
}

/// Accepts connections on one listener from the first snapshot on until it leaves or the engine drains.
pub async fn accept(worker: Rc<Worker>, opening: Opening) {
    let Opening { bound, socket, shared, open } = opening;
    match TcpListener::from_std(socket) {
        Ok(socket) => accept_on(&worker, &bound, socket, shared).await,
        Err(error) => tracing::error!(%error, "cannot listen"),
    }
    drop(open);
    if bound.is_leaving() {
        worker.see_off(bound);
    }
}

async fn accept_on(worker: &Rc<Worker>, bound: &Arc<Bound>, socket: TcpListener, shared: bool) {
    let drain = worker.shared.drain.clone();
    let accepting = async {
        worker.shared.opened().await;
        accept_all(worker, bound, &socket).await;
    };
    tokio::select! {
        () = accepting => {}
        () = drain.reached(Phase::Draining) => {}
        () = bound.left() => {}
    }
    if shared && turn_away(&socket).is_ok() {
        let last = accept_all(worker, bound, &socket);
        let _ = tokio::time::timeout(LAST_HANDSHAKES, last).await;
    }
    // Clients whose connection the system has taken already would see it reset.
    while let Some(Ok((tcp, peer))) = socket.accept().now_or_never() {
        place(worker, bound, tcp, peer);
    }
}

async fn accept_all(worker: &Rc<Worker>, bound: &Arc<Bound>, socket: &TcpListener) {
    let mut told = None;
    loop {
        match socket.accept().await {
            Ok((tcp, peer)) => place(worker, bound, tcp, peer),
            Err(error) => pause_after(worker, &error, &mut told).await,
        }
    }
}

/// Leaves clients that begin to connect without an answer. They try again within a second and come to whoever listens
/// then. Without this the system would go on shaking hands for a socket that is about to be closed, while another
/// process shares its address, and those clients would see their connection reset.
#[cfg(target_os = "linux")]
fn turn_away(socket: &TcpListener) -> io::Result<()> {
    use socket2::{SockFilter, SockRef};
    /// Where TCP has its flags (RFC 9293 §3.1), and SYN alone among SYN and ACK.
    const FLAGS: u32 = 13;
    const SYN_AND_ACK: u32 = 0x12;
    const SYN: u32 = 0x02;
    let program = [
        // Load the byte with the flags, and keep two of them.
        SockFilter::new(0x30, 0, 0, FLAGS),
        SockFilter::new(0x54, 0, 0, SYN_AND_ACK),
        // Unless this is the first segment of a client go on to the last step.
        SockFilter::new(0x15, 0, 1, SYN),
        // Drop it; let it pass.
        SockFilter::new(0x06, 0, 0, 0),
        SockFilter::new(0x06, 0, 0, u32::MAX),
    ];
    SockRef::from(socket).attach_filter(&program)
}

/// Other systems have nothing of the kind.
#[cfg(not(target_os = "linux"))]
fn turn_away(_: &TcpListener) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// After a failed accept: a client that gave up is nothing; a shortage wants idle connections closed and a pause.
async fn pause_after(worker: &Worker, error: &io::Error, told: &mut Option<Instant>) {
    let gave_up = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    );
    if gave_up {
        return;
    }
    let shed = worker.shed();
    if told.is_none_or(|told| told.elapsed() >= SHORTAGE_TOLD) {
        *told = Some(Instant::now());
        tracing::error!(%error, shed, "cannot accept connections; closed idle ones and will try again");
    }
    tokio::time::sleep(SHORTAGE_PAUSE).await;
}

/// Serves a connection here, or hands it to a worker that has clearly less to do.
fn place(worker: &Rc<Worker>, bound: &Arc<Bound>, tcp: TcpStream, peer: SocketAddr) {
    // A worker that drains may have ended before it takes over.
    let may_hand_over = !worker.shared.drain.is_draining();
    match better_worker(&worker.shared, worker.index) {
        Some(index) if may_hand_over => {
            if let Ok(tcp) = tcp.into_std() {
                worker.shared.hand_over(index, Handover { bound: bound.clone(), tcp, peer });
            }
        }
        _ => serve_connection(worker, bound, tcp, peer),
    }
}

/// Serves an accepted connection in a task of its own, if the limits allow one more.
pub fn serve_connection(worker: &Rc<Worker>, bound: &Arc<Bound>, tcp: TcpStream, peer: SocketAddr) {
    let live = worker.live();
    let Some(live) = live.listeners.get(bound.index).and_then(Option::as_ref) else { return };
    let settings = live.settings.clone();
    let Some(counted) = admit(worker, bound, &settings, peer.ip()) else {
        return;
    };
    // Nagle's algorithm only delays what is written at once anyway; without it the connection works as well.
    let _ = tcp.set_nodelay(true);
    let (this, bound) = (worker.clone(), bound.clone());
    worker.spawn("connection", async move {
        let reason = detect::serve(this, bound, settings, tcp, peer).await;
        counted.bound.metrics.closed(reason);
        drop(counted);
    });
}

/// Counts a connection in, unless that would exceed a limit even after an idle one has been closed.
fn admit(worker: &Rc<Worker>, bound: &Arc<Bound>, settings: &Listener, source: IpAddr) -> Option<Counted> {
    let shared = &worker.shared;
    let limits = &settings.limits;
    let counted =
        Counted::new(shared, bound, worker.index, (limits.connections_per_source > 0).then_some(source));
    let full = || {
        let of_listener = bound.connections.load(Ordering::Relaxed);
        of_listener > limits.connections as usize || shared.connections() > shared.settings.connections
    };
    bound.metrics.accepted();
    let too_many =
        counted.of_source > limits.connections_per_source as usize || (full() && !worker.make_room());
    if too_many {
        bound.metrics.closed("limit");
        return None;
    }
    Some(counted)
}

/// A connection that is counted as open while this lives.
struct Counted {
    shared: Arc<Shared>,
    bound: Arc<Bound>,
    worker: usize,
    source: Option<IpAddr>,
    of_source: usize,
}

impl Counted {
    fn new(shared: &Arc<Shared>, bound: &Arc<Bound>, worker: usize, source: Option<IpAddr>) -> Self {
        bound.connections.fetch_add(1, Ordering::Relaxed);
        shared.workers[worker].connections.fetch_add(1, Ordering::Relaxed);
        let of_source = source.map_or(0, |source| shared.sources.enter(source));
        Self { shared: shared.clone(), bound: bound.clone(), worker, source, of_source }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.bound.connections.fetch_sub(1, Ordering::Relaxed);
        self.shared.workers[self.worker].connections.fetch_sub(1, Ordering::Relaxed);
        if let Some(source) = self.source {
            self.shared.sources.leave(source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Size of what an `async fn` of five parameters keeps while it waits.
    fn state<A, B, C, D, E, F: Future>(_: impl Fn(A, B, C, D, E) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_idle_connection_takes_little_memory() {
        let bytes = state(detect::serve);
        assert!(bytes <= 1600, "{bytes} bytes; box what is rarely used");
    }
}
