//! Bound: one listener in operation, from its binding until the last connection that it accepted has ended.

use std::{
    convert::Infallible,
    net::TcpListener,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
};

use rustls::ServerConfig;
use tokio::sync::Notify;

use crate::runtime::metrics::ListenerMetrics;

/// A listener in operation, which all workers share. It outlives its sockets: connections keep it.
pub struct Bound {
    /// Its place among the [listeners of what is live](super::Live::listeners). No other listener takes it while
    /// anybody holds this.
    pub index: usize,
    /// Its counters.
    pub metrics: Arc<ListenerMetrics>,
    /// Its TLS settings, if it speaks TLS.
    pub tls: Option<Arc<ServerConfig>>,
    /// Its open connections.
    pub connections: AtomicUsize,
    leaving: AtomicBool,
    left: Notify,
}

/// One worker's own socket of a listener.
pub struct Opening {
    /// The listener.
    pub bound: Arc<Bound>,
    /// The socket, which does not block.
    pub socket: TcpListener,
    /// Whether another process may listen on the same address.
    pub shared: bool,
    /// To be dropped after the socket: once all are, the address is free.
    pub open: mpsc::Sender<Infallible>,
}

impl Bound {
    /// A listener without connections.
    pub fn new(index: usize, metrics: Arc<ListenerMetrics>, tls: Option<Arc<ServerConfig>>) -> Arc<Self> {
        let (connections, leaving, left) = Default::default();
        Arc::new(Self { index, metrics, tls, connections, leaving, left })
    }

    /// Accepts no more; connections end after the request that they serve.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Release);
        self.left.notify_waiters();
    }

    /// Whether connections shall close after the request they serve; costs one atomic load.
    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    /// Waits until it leaves.
    pub async fn left(&self) {
        // Made before the look, so that a word in between is not missed.
        let left = pin!(self.left.notified());
        if !self.is_leaving() {
            left.await;
        }
    }
}
