//! Detect: finds out what a client speaks and hands its connection to whoever serves that.

use std::{future::poll_fn, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::{io::ReadBuf, net::TcpStream};

use super::{
    bound::Bound,
    exchange::Client,
    handshake::{Shaken, shake},
    http1, http2,
    shared::Shared,
    tcp,
    worker::Worker,
};
use crate::{
    http1::{Connection, Socket, Stream, proxy_protocol},
    http2::PREFACE,
    model::{Listener, ListenerProtocol},
};

/// Most bytes of a PROXY protocol header.
const PROXY_HEADER_BYTES: usize = 8 << 10;

/// Serves a connection from its first byte to its last; says why it ended.
pub async fn serve(
    worker: Rc<Worker>,
    bound: Arc<Bound>,
    settings: Arc<Listener>,
    tcp: TcpStream,
    peer: SocketAddr,
) -> &'static str {
    let limits = &settings.limits;
    let mut socket = Socket::new(tcp);
    let mut address = peer;
    if settings.proxy_protocol {
        let header = Box::pin(read_proxy_header(&mut socket));
        match worker.deadlines.within(limits.head_time, header).await {
            Ok(Ok(Some(source))) => address = source,
            Ok(Ok(None)) => {}
            Ok(Err(error)) => {
                tracing::debug!(%peer, %error, "no usable PROXY protocol header");
                return "proxy_protocol";
            }
            Err(_) => return "proxy_protocol",
        }
    }
    let age_limit = with_jitter(limits.connection_age, worker.random());
    let mut client = Client::new(worker, bound, address);
    match &settings.protocol {
        ListenerProtocol::Http => serve_plain(client, &settings, socket, age_limit).await,
        ListenerProtocol::Https => {
            // Before the match, which would keep the memory of the handshake for as long as a tunnel lasts.
            let shaken = Box::pin(shake(&client, limits.handshake_time, socket)).await;
            let (stream, tls, is_http2) = match shaken {
                Shaken::Here(stream, tls, is_http2) => (stream, tls, is_http2),
                Shaken::Beyond(passed) => return Box::pin(tcp::pass(&client, limits, passed)).await,
                Shaken::Failed => return "handshake",
            };
            client.tls = Some(tls);
            if is_http2 {
                return Box::pin(http2::serve_connection(Rc::new(client), stream, limits, age_limit)).await;
            }
            let connection = Connection::new(stream, client.worker.buffers.clone());
            http1::serve_connection(&client, connection, limits.keep_alive_idle, age_limit).await;
            "done"
        }
        ListenerProtocol::Tcp(_) => Box::pin(tcp::serve(&client, limits, socket)).await,
    }
}

async fn serve_plain(
    client: Client,
    settings: &Listener,
    socket: Socket,
    age_limit: Duration,
) -> &'static str {
    let limits = &settings.limits;
    let mut connection = Connection::new(Stream::Plain(socket), client.worker.buffers.clone());
    let deadlines = &client.worker.deadlines;
    match deadlines.idle_within(limits.keep_alive_idle, client.bound.index, connection.fill()).await {
        Ok(Ok(count)) if count > 0 => {}
        Ok(_) => return "done",
        Err(_) => return "idle",
    }
    if connection.input()[0] == PREFACE[0] {
        let more = async {
            while is_part_of_preface(connection.input())
                && connection.fill().await.is_ok_and(|count| count > 0)
            {}
        };
        if deadlines.within(limits.head_time, more).await.is_err() {
            return "idle";
        }
    }
    if is_no_http(connection.input()) {
        return "not_http";
    }
    if connection.input().starts_with(PREFACE) {
        let (Stream::Plain(mut socket), ahead) = connection.into_parts() else { return "done" };
        socket.put_back(&ahead);
        let stream = Stream::Plain(socket);
        return Box::pin(http2::serve_connection(Rc::new(client), stream, limits, age_limit)).await;
    }
    http1::serve_connection(&client, connection, limits.keep_alive_idle, age_limit).await;
    "done"
}

/// Whether these bytes may become the preface of HTTP/2 and are not all of it yet.
fn is_part_of_preface(input: &[u8]) -> bool {
    input.len() < PREFACE.len() && PREFACE.starts_with(input)
}

/// Whether the first line has no slash, which every version of HTTP has in its version or target: who sent it would
/// not understand an answer.
fn is_no_http(input: &[u8]) -> bool {
    let line = memchr::memchr(b'\n', input).map_or(&b""[..], |end| &input[..end]);
    !line.trim_ascii().is_empty() && !line.contains(&b'/')
}

/// Up to a tenth more, so that connections that began together do not end together.
fn with_jitter(limit: Duration, random: u64) -> Duration {
    limit + limit / 10 * (random % 1024) as u32 / 1024
}

/// Reads the header that a load balancer puts in front; `None` if it speaks for itself.
async fn read_proxy_header(socket: &mut Socket) -> std::io::Result<Option<SocketAddr>> {
    use std::io::{Error, ErrorKind};
    let mut bytes = Vec::with_capacity(256);
    loop {
        let mut piece = [0; 512];
        let mut room = ReadBuf::new(&mut piece);
        poll_fn(|cx| tokio::io::AsyncRead::poll_read(std::pin::Pin::new(&mut *socket), cx, &mut room))
            .await?;
        if room.filled().is_empty() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(room.filled());
        match proxy_protocol::parse(&bytes) {
            Ok(Some((consumed, proxied))) => {
                socket.put_back(&bytes[consumed..]);
                return Ok(match proxied {
                    proxy_protocol::Proxied::Local => None,
                    proxy_protocol::Proxied::Addresses { source, .. } => Some(source),
                });
            }
            Ok(None) if bytes.len() < PROXY_HEADER_BYTES => {}
            Ok(None) => return Err(ErrorKind::InvalidData.into()),
            Err(error) => return Err(Error::new(ErrorKind::InvalidData, error)),
        }
    }
}

/// Chooses certificates by SNI from what is live at the moment of the handshake.
pub struct LiveResolver {
    shared: std::sync::Weak<Shared>,
    listener: usize,
}

impl LiveResolver {
    /// A resolver for the listener of this index.
    pub fn new(shared: std::sync::Weak<Shared>, listener: usize) -> Self {
        Self { shared, listener }
    }
}

impl std::fmt::Debug for LiveResolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LiveResolver(listener {})", self.listener)
    }
}

impl ResolvesServerCert for LiveResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let shared = self.shared.upgrade()?;
        let live = shared.live.load();
        let listener = live.listeners.get(self.listener)?.as_ref()?;
        let by_name = hello.server_name().and_then(|name| {
            let id = listener.table.find_certificate(name.to_ascii_lowercase().as_bytes())?;
            live.certificates.get(id)
        });
        Some(by_name.unwrap_or(&listener.default_certificate).clone())
    }
}
