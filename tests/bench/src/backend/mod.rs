//! Backends: servers that cost as little as can be, so that the proxy is what is measured.

mod http1;
mod http2;

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    task,
};

pub use self::http1::field;
use crate::pause::pass;

/// Connections that may wait to be accepted.
const WAITING: u32 = 4096;
/// Pause after a connection could not be accepted.
const PAUSE: Duration = Duration::from_millis(10);

/// Where the backends listen.
#[derive(Clone, Copy, Debug)]
pub struct Backends {
    /// HTTP/1.1.
    pub http1: SocketAddr,
    /// HTTP/2 in clear text, by prior knowledge.
    pub http2: SocketAddr,
}

impl Backends {
    /// Starts them on this thread.
    ///
    /// # Errors
    /// If no port is free.
    pub fn start() -> io::Result<Self> {
        let answers = http1::Answers::new();
        let http1 = listen(move |stream| {
            let answers = answers.clone();
            async move {
                // Proxies close connections as they like.
                let _ = http1::serve(stream, &answers).await;
            }
        })?;
        let http2 = listen(|stream| async {
            let _ = http2::serve(stream).await;
        })?;
        Ok(Self { http1, http2 })
    }
}

/// Listens on a free port of loopback and serves each connection by a task of its own.
fn listen<F: Future<Output = ()> + 'static>(
    serve: impl Fn(TcpStream) -> F + 'static,
) -> io::Result<SocketAddr> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    let listener: TcpListener = socket.listen(WAITING)?;
    let address = listener.local_addr()?;
    task::spawn_local(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let _ = stream.set_nodelay(true);
                    task::spawn_local(serve(stream));
                }
                // No descriptors, as a rule; the load tells of what fails by it.
                Err(_) => pass(PAUSE).await,
            }
        }
    });
    Ok(address)
}
