//! The admin address: health, readiness, metrics and the snapshot, over HTTP on a listener of its own.

use std::{convert::Infallible, future::Future, io, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesUnordered};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::metrics;

/// Connections served at once. When all are taken they are closed for the next one: whoever holds them on purpose
/// shall not keep probes out.
const MOST_CONNECTIONS: usize = 64;
/// Longest wait for a request head, the silence between two requests included.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// Age at which a connection is asked to end; it is cut off after as long again.
const CONNECTION_AGE: Duration = Duration::from_secs(60);
/// Longest wait for running answers when the listener shuts down.
const SHUTDOWN_TIME: Duration = Duration::from_secs(1);
/// Pause after a failed accept, so that a lack of descriptors does not keep the thread busy.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const PLAIN: &str = "text/plain; charset=utf-8";
const INDEX: &str = "Selvedge admin\n\n\
    /healthz   the process runs\n\
    /readyz    it serves; 503 says why not\n\
    /metrics   metrics for Prometheus\n\
    /snapshot  what is being served, as JSON\n\
    /graph     who calls whom, as JSON, where callers are told apart\n";

/// What the admin address shows.
pub trait AdminState: Send + Sync {
    /// Whether clients should be sent here; otherwise why not, in a few words for people.
    fn ready(&self) -> Result<(), String>;
    /// The text of [`Metrics::encode`](metrics::Metrics::encode).
    fn metrics(&self) -> String;
    /// The snapshot in effect, without secrets.
    fn snapshot(&self) -> serde_json::Value;
    /// Who calls whom, a [`Graph`](super::graph::Graph) as JSON; `None` if nobody finds that out.
    fn graph(&self) -> Option<serde_json::Value> {
        None
    }
}

/// Serves the admin address until `shutdown` is done; then ends what is running, within a second.
///
/// All connections run in the caller's task; dropping the future closes them.
pub async fn serve(listener: TcpListener, state: Arc<dyn AdminState>, shutdown: impl Future<Output = ()>) {
    let (stop, stopping) = watch::channel(());
    let mut connections = FuturesUnordered::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(()) = connections.next() => {}
            accepted = accept(&listener) => match accepted {
                Ok(stream) => {
                    if connections.len() >= MOST_CONNECTIONS {
                        tracing::warn!("admin address: all connections were taken; closed them for a new one");
                        connections.clear();
                    }
                    connections.push(connection(stream, state.clone(), stopping.clone()));
                }
                Err(error) => tracing::warn!(%error, "admin address: accept failed"),
            },
        }
    }
    drop((listener, stop));
    let ended = async { while connections.next().await.is_some() {} };
    // Whoever has not ended by now is dropped with the connections.
    let _ = tokio::time::timeout(SHUTDOWN_TIME, ended).await;
}

async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    match listener.accept().await {
        Ok((stream, _)) => Ok(stream),
        Err(error) => {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            Err(error)
        }
    }
}

/// Serves one connection. How it ends concerns nobody.
async fn connection(stream: TcpStream, state: Arc<dyn AdminState>, mut stopping: watch::Receiver<()>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = answer(request.method(), request.uri().path(), &*state);
        async move { Ok::<_, Infallible>(response) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .serve_connection(TokioIo::new(stream), service)
    );
    let aged = async {
        tokio::select! {
            _ = stopping.changed() => {}
            () = tokio::time::sleep(CONNECTION_AGE) => {}
        }
    };
    tokio::select! {
        _ = connection.as_mut() => return,
        () = aged => connection.as_mut().graceful_shutdown(),
    }
    let _ = tokio::time::timeout(CONNECTION_AGE, connection).await;
}

fn answer(method: &Method, path: &str, state: &dyn AdminState) -> Response<Full<Bytes>> {
    let page: fn(&dyn AdminState) -> Response<Full<Bytes>> = match path {
        "/" => |_| respond(StatusCode::OK, PLAIN, INDEX),
        "/healthz" => |_| respond(StatusCode::OK, PLAIN, "ok\n"),
        "/readyz" => |state| match state.ready() {
            Ok(()) => respond(StatusCode::OK, PLAIN, "ready\n"),
            Err(reason) => respond(StatusCode::SERVICE_UNAVAILABLE, PLAIN, format!("{reason}\n")),
        },
        "/metrics" => |state| respond(StatusCode::OK, metrics::CONTENT_TYPE, state.metrics()),
        "/snapshot" => |state| respond(StatusCode::OK, "application/json", state.snapshot().to_string()),
        "/graph" => |state| match state.graph() {
            Some(graph) => respond(StatusCode::OK, "application/json", graph.to_string()),
            None => respond(StatusCode::NOT_FOUND, PLAIN, "callers are not told apart here\n"),
        },
        _ => return respond(StatusCode::NOT_FOUND, PLAIN, "not found; / lists what there is\n"),
    };
    if method != Method::GET && method != Method::HEAD {
        let mut response = respond(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET and HEAD\n");
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    page(state)
}

fn respond(status: StatusCode, media_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests;
