//! HTTP/2 on both sides of the proxy: clients by hyper, and origins by hyper in threads of their own.

use std::{
    convert::Infallible,
    future::Future,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    client::conn::http2::SendRequest,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
};
use tokio_rustls::TlsAcceptor;

use crate::tls;

/// No answer that a test waits for takes this long.
const PATIENCE: Duration = Duration::from_secs(20);

/// A body that either side sends; its error breaks it off.
pub type Body = UnsyncBoxBody<Bytes, Broken>;

/// A body that breaks off.
#[derive(Debug)]
pub struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("broken off")
    }
}

impl std::error::Error for Broken {}

/// A body that is there as a whole.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// A body that a test sends piece by piece; dropping the sender ends it.
pub fn pieces() -> (mpsc::Sender<Result<Frame<Bytes>, Broken>>, Body) {
    let (sender, mut receiver) = mpsc::channel(1);
    let stream = futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx));
    (sender, StreamBody::new(stream).boxed_unsync())
}

/// Trailers of a gRPC answer.
pub fn grpc_trailers(status: &'static str) -> Frame<Bytes> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static(status));
    Frame::trailers(trailers)
}

/// An answer as a client saw it, whole.
#[derive(Debug)]
pub struct Whole {
    /// Status and fields.
    pub head: http::response::Parts,
    /// Body.
    pub body: Bytes,
    /// Trailer fields.
    pub trailers: HeaderMap,
}

impl Whole {
    /// The status code.
    pub fn status(&self) -> u16 {
        self.head.status.as_u16()
    }

    /// The value of a field, empty if there is none.
    pub fn field(&self, name: &str) -> &str {
        self.head.headers.get(name).map_or("", |value| value.to_str().expect("values are text"))
    }
}

/// A client's connection.
#[derive(Clone)]
pub struct Http2Client {
    sender: SendRequest<Body>,
}

impl Http2Client {
    /// Connects by prior knowledge.
    pub async fn connect(address: SocketAddr) -> Self {
        let tcp = tokio::net::TcpStream::connect(address).await.expect("the proxy accepts connections");
        tcp.set_nodelay(true).expect("TCP has this option");
        Self::over(tcp).await
    }

    /// Speaks HTTP/2 on an open stream.
    pub async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .expect("the proxy speaks HTTP/2");
        tokio::spawn(connection);
        Self { sender }
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// # Errors
    /// When the stream or the connection breaks.
    pub async fn send(&mut self, request: Request<Body>) -> hyper::Result<Response<Incoming>> {
        let answer = self.sender.send_request(request);
        tokio::time::timeout(PATIENCE, answer).await.expect("an answer comes")
    }

    /// Sends a request and waits for the whole answer.
    ///
    /// # Errors
    /// When the stream or the connection breaks.
    pub async fn try_whole(&mut self, request: Request<Body>) -> hyper::Result<Whole> {
        whole(self.send(request).await?).await
    }

    /// Sends a request and waits for the whole answer.
    pub async fn whole(&mut self, request: Request<Body>) -> Whole {
        self.try_whole(request).await.expect("an answer comes whole")
    }

    /// Sends a GET.
    pub async fn get(&mut self, uri: &str) -> Whole {
        self.whole(get(uri)).await
    }

    /// Whether the connection takes no more requests.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Waits until the connection takes no more requests.
    pub async fn closed(&self) {
        eventually(|| self.is_closed()).await;
    }
}

/// A GET for this URI, with scheme and authority.
pub fn get(uri: &str) -> Request<Body> {
    Request::get(uri).body(full("")).expect("a test's URI is valid")
}

/// Reads an answer to its end.
///
/// # Errors
/// When it breaks off.
pub async fn whole(answer: Response<Incoming>) -> hyper::Result<Whole> {
    let (head, body) = answer.into_parts();
    let collected = tokio::time::timeout(PATIENCE, body.collect()).await.expect("an answer ends")?;
    let trailers = collected.trailers().cloned().unwrap_or_default();
    Ok(Whole { head, body: collected.to_bytes(), trailers })
}

/// Waits until something is so; panics if that takes too long.
pub async fn eventually(mut check: impl FnMut() -> bool) {
    let looking = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(2));
        while !check() {
            ticks.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.expect("what a test waits for happens");
}

/// A running origin that speaks HTTP/2; it goes on in its thread until the process ends.
#[derive(Clone)]
pub struct Http2Origin {
    /// Where it listens.
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
}

impl Http2Origin {
    /// An origin that speaks HTTP/2 by prior knowledge and allows this many streams on a connection.
    pub fn start<F>(streams: u32, answer: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Response<Body>> + 'static,
    {
        Self::on(streams, None, answer)
    }

    /// An origin under TLS.
    pub fn secure<F>(answer: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Response<Body>> + 'static,
    {
        Self::under(tls::server_settings(&["h2"]), answer)
    }

    /// The same with these settings.
    pub fn under<F>(
        settings: Arc<ServerConfig>,
        answer: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Response<Body>> + 'static,
    {
        Self::on(100, Some(TlsAcceptor::from(settings)), answer)
    }

    fn on<F>(
        streams: u32,
        tls: Option<TlsAcceptor>,
        answer: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Response<Body>> + 'static,
    {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has free ports");
        listener.set_nonblocking(true).expect("sockets can be so");
        let address = listener.local_addr().expect("a bound socket has an address");
        let origin = Self { address, connections: Arc::default(), open: Arc::default() };
        let (this, answer) = (origin.clone(), Arc::new(answer));
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let accepting = this.accept(listener, tls, streams, answer);
            tokio::task::LocalSet::new().block_on(&runtime.expect("the system gives a runtime"), accepting);
        });
        origin
    }

    async fn accept<F>(
        self,
        listener: TcpListener,
        tls: Option<TlsAcceptor>,
        streams: u32,
        answer: Arc<impl Fn(Request<Incoming>) -> F + 'static>,
    ) where
        F: Future<Output = Response<Body>> + 'static,
    {
        let listener = tokio::net::TcpListener::from_std(listener).expect("it is a listener");
        while let Ok((tcp, _)) = listener.accept().await {
            self.connections.fetch_add(1, Ordering::SeqCst);
            self.open.fetch_add(1, Ordering::SeqCst);
            let (open, answer, tls) = (self.open.clone(), answer.clone(), tls.clone());
            tokio::task::spawn_local(async move {
                match tls {
                    None => serve(tcp, streams, answer).await,
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(tcp).await {
                            serve(stream, streams, answer).await;
                        }
                    }
                }
                open.fetch_sub(1, Ordering::SeqCst);
            });
        }
    }

    /// Number of connections accepted so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Number of connections open now.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

async fn serve<F>(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    streams: u32,
    answer: Arc<impl Fn(Request<Incoming>) -> F + 'static>,
) where
    F: Future<Output = Response<Body>> + 'static,
{
    let service = service_fn(move |request| {
        let answer = answer(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let mut builder = hyper::server::conn::http2::Builder::new(Local);
    let builder = builder.max_concurrent_streams(streams);
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

/// Runs hyper's tasks on the origin's thread.
#[derive(Clone)]
struct Local;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}
