//! Small services on loopback: one that says what it saw, a WebSocket echo and a gRPC greeter.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, stream};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{
    body::{Body, Frame, Incoming},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;

/// What the WebSocket service says first.
pub const WELCOME: &str = "welcome to the chat";
/// What the greeter answers: a gRPC message (flag and length) with field 1 of a protobuf message, `hello`.
pub const GREETING: &[u8] = b"\0\0\0\0\x07\x0a\x05hello";

/// What a service speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// HTTP/1.1; it answers with its name and what it was asked.
    Http,
    /// WebSocket; it greets and sends back what it gets.
    WebSocket,
    /// gRPC over HTTP/2 in clear text; it answers every call with [`GREETING`].
    Grpc,
}

/// A service of the quickstart.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    /// Name of its Service object.
    pub name: &'static str,
    /// Name of the port.
    pub port: &'static str,
    /// What it speaks.
    pub speaks: Speaks,
}

/// All of them.
pub const SERVICES: [Service; 6] = [
    Service { name: "shop", port: "http", speaks: Speaks::Http },
    Service { name: "api-v1", port: "http", speaks: Speaks::Http },
    Service { name: "api-v2", port: "http", speaks: Speaks::Http },
    Service { name: "fallback", port: "http", speaks: Speaks::Http },
    Service { name: "chat", port: "http", speaks: Speaks::WebSocket },
    Service { name: "greeter", port: "grpc", speaks: Speaks::Grpc },
];

impl Service {
    /// Starts it on a free port of loopback, within the runtime that this is called in and for as long as that
    /// lives.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn start(self) -> std::io::Result<SocketAddr> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => drop(tokio::spawn(self.serve(stream))),
                    // Too many open files; others will close some.
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        });
        Ok(address)
    }

    /// Serves a connection. How it ends concerns nobody.
    async fn serve(self, stream: TcpStream) {
        match self.speaks {
            Speaks::Http => {
                let service =
                    service_fn(move |request| async move { Ok::<_, Infallible>(self.say(&request)) });
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            }
            Speaks::WebSocket => drop(echo(stream).await),
            Speaks::Grpc => {
                let service = service_fn(|request| async { Ok::<_, Infallible>(greet(request).await) });
                let connection =
                    http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
                let _ = connection.await;
            }
        }
    }

    /// `shop: GET /cart for shop.example over http`.
    fn say(self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let field =
            |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("?");
        let (host, scheme) = (field("host"), field("x-forwarded-proto"));
        let text =
            format!("{}: {} {} for {host} over {scheme}\n", self.name, request.method(), request.uri());
        let mut response = Response::new(Full::new(Bytes::from(text)));
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, plain);
        response
    }
}

async fn echo(stream: TcpStream) -> Result<(), tokio_tungstenite::tungstenite::Error> {
    let mut socket = tokio_tungstenite::accept_async(stream).await?;
    socket.send(Message::text(WELCOME)).await?;
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}

async fn greet(request: Request<Incoming>) -> Response<impl Body<Data = Bytes, Error = Infallible>> {
    // Read to its end, as a real one would; a client that goes away gets no answer anyway.
    let _ = request.into_body().collect().await;
    let trailers = HeaderMap::from_iter([(
        header::HeaderName::from_static("grpc-status"),
        HeaderValue::from_static("0"),
    )]);
    let frames = [Frame::data(Bytes::from_static(GREETING)), Frame::trailers(trailers)];
    let mut response = Response::new(StreamBody::new(stream::iter(frames.map(Ok))));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}
