//! Http2: serves the streams of one HTTP/2 connection.

use std::{cell::Cell, convert::Infallible, pin::pin, rc::Rc, time::Duration};

use futures_util::future::{Either, select};
use hyper::{Request, Response, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{sync::oneshot, task::JoinHandle};

use super::{
    body::{Http2Incoming, Incoming},
    exchange::{Client, Exchange},
    http::{refuse, serve},
    respond::Failure,
    responder::{Http2Responder, Responder},
};
use crate::{
    http1::{HeadLimits, RequestError, Stream},
    http2::{ChannelBody, LocalExecutor},
    message::{RequestHead, Version},
    model::Limits,
    runtime::drain::Phase,
};

/// Streams a client may reset before we looked at them, and those that its faults made us reset, before the
/// connection is closed.
const RESETS: usize = 50;
/// Bytes of answers that wait in one stream for the client's window.
const SEND_BUFFER: usize = 128 << 10;

/// Serves a connection until it ends.
pub async fn serve_connection(client: Rc<Client>, stream: Stream, limits: &Limits, age_limit: Duration) {
    let settings = &limits.http2;
    let mut builder = http2::Builder::new(LocalExecutor);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(settings.streams)
        .initial_stream_window_size(settings.stream_window_bytes)
        .initial_connection_window_size(settings.connection_window_bytes)
        .max_header_list_size(settings.header_list_bytes)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(RESETS)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(limits.keep_alive_idle)
        .keep_alive_timeout(limits.handshake_time)
        .auto_date_header(false);
    let active = Rc::new(Active::default());
    let worker = client.worker.clone();
    let service = service_fn({
        let active = active.clone();
        move |request| answer(client.clone(), active.clone(), request)
    });
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ending = async {
        let draining = pin!(worker.shared.drain.reached(Phase::Draining));
        let aged = pin!(tokio::time::sleep(age_limit));
        let idle = pin!(active.idle(&worker.deadlines, limits.keep_alive_idle));
        select(draining, select(aged, idle)).await;
    };
    match select(connection.as_mut(), pin!(ending)).await {
        Either::Left((result, _)) => log_end(result),
        Either::Right(_) => {
            connection.as_mut().graceful_shutdown();
            log_end(connection.await);
        }
    }
}

fn log_end(result: hyper::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(%error, "HTTP/2 connection of a client ended");
    }
}

/// Counts open streams, to tell when a connection is idle.
#[derive(Default)]
struct Active {
    streams: Cell<usize>,
    served: Cell<u64>,
}

impl Active {
    /// Ends when no stream was open for a while, or the worker wants idle connections closed.
    async fn idle(&self, deadlines: &crate::runtime::deadline::Deadlines, limit: Duration) {
        loop {
            let served = self.served.get();
            if self.streams.get() == 0 {
                let _ = deadlines.idle_within(limit, std::future::pending::<()>()).await;
            } else {
                let _ = deadlines.within(limit, std::future::pending::<()>()).await;
            }
            if self.streams.get() == 0 && self.served.get() == served {
                return;
            }
        }
    }
}

/// Ends the serving of a stream whose client is gone before the answer started.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn answer(
    client: Rc<Client>,
    active: Rc<Active>,
    request: Request<hyper::body::Incoming>,
) -> Result<Response<ChannelBody>, BrokenStream> {
    let (sender, receiver) = oneshot::channel();
    let worker = client.worker.clone();
    let task = worker.spawn("http2 stream", async move {
        active.streams.set(active.streams.get() + 1);
        let counted = Counted(active);
        serve_stream(&client, request, sender).await;
        drop(counted);
    });
    let mut guard = AbortOnDrop(task);
    let answer = receiver.await.map_err(|_| BrokenStream);
    if answer.is_ok() {
        // From here on the body says whether the client is still there.
        guard.0 = tokio::task::spawn_local(async {});
    }
    answer
}

struct Counted(Rc<Active>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get() - 1);
        self.0.served.set(self.0.served.get() + 1);
    }
}

/// The stream ended without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the stream ended without an answer")]
struct BrokenStream;

impl From<Infallible> for BrokenStream {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

async fn serve_stream(
    client: &Client,
    request: Request<hyper::body::Incoming>,
    sender: oneshot::Sender<Response<ChannelBody>>,
) {
    let (parts, body) = request.into_parts();
    let mut head = client.worker.take_request();
    let read = read_head(client, &parts, &mut head);
    let mut responder = Responder::Http2(Http2Responder { head: Some(sender) });
    let mut body = Incoming::Http2(Http2Incoming::new(body));
    let mut x = Exchange::new(client, head);
    let result = match read {
        Ok(()) => serve(&mut x, &mut body, &mut responder).await,
        Err(failure) => refuse(&mut x, &mut body, &mut responder, failure).await,
    };
    if let Err(error) = result {
        tracing::trace!(%error, "answer over HTTP/2 broke off");
    }
}

/// Reads a head as hyper gives it; what HTTP/2 itself forbids never gets here (RFC 9113 §8.2, §8.3).
fn read_head(client: &Client, parts: &http::request::Parts, head: &mut RequestHead) -> Result<(), Failure> {
    let live = client.worker.shared.live.load();
    let listener = live.listeners.get(client.listener).and_then(Option::as_ref).ok_or(Failure::NoRoute)?;
    let limits = &listener.head_limits;
    head.version = Version::Http2;
    head.set_method(parts.method.as_str().as_bytes());
    let target = parts.uri.path_and_query().map_or("*", |target| target.as_str()).as_bytes();
    let refused = |error| Err(Failure::Refused(error));
    if target.len() > limits.target_bytes {
        return refused(RequestError::TargetTooLong);
    }
    if parts.headers.len() > limits.fields {
        return refused(RequestError::TooManyFields);
    }
    if target == b"*" {
        head.set_path(target);
    } else if let Err(error) = head.set_origin(target, limits.reject_escaped_slash) {
        return refused(RequestError::BadPath(error));
    }
    read_fields(parts, limits, head)
}

/// `:authority` becomes `Host`; a `Host` beside it must say the same (RFC 9113 §8.3.1).
fn read_fields(
    parts: &http::request::Parts,
    limits: &HeadLimits,
    head: &mut RequestHead,
) -> Result<(), Failure> {
    let host = parts.headers.get(http::header::HOST).map(http::HeaderValue::as_bytes);
    let authority = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    if parts.headers.get_all(http::header::HOST).iter().count() > 1 {
        return Err(Failure::Refused(RequestError::SeveralHosts));
    }
    if authority.zip(host).is_some_and(|(authority, host)| !authority.eq_ignore_ascii_case(host)) {
        return Err(Failure::Refused(RequestError::HostDisagrees));
    }
    let authority = authority.or(host).ok_or(Failure::Refused(RequestError::NoHost))?;
    head.set_host(authority).map_err(|error| Failure::Refused(RequestError::BadHost(error)))?;
    head.fields.push(b"host", authority);
    for (name, value) in &parts.headers {
        let dropped =
            *name == http::header::HOST || (limits.drop_underscore_fields && name.as_str().contains('_'));
        if !dropped {
            head.fields.push(name.as_str().as_bytes(), value.as_bytes());
        }
    }
    Ok(())
}
