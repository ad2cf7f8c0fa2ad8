//! Http2: serves the streams of one HTTP/2 connection.

use std::{cell::Cell, pin::pin, rc::Rc, time::Duration};

use futures_util::future::{Either, select};
use hyper::{Request, Response, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    sync::{Notify, oneshot},
    task::JoinHandle,
};

use super::{
    body::{Http2Incoming, Incoming},
    exchange::{Client, Exchange},
    http::{refuse, serve},
    respond::Failure,
    responder::{Http2Responder, Responder},
    spreading::crowded,
};
use crate::{
    http1::{FramingError, HeadLimits, RequestError, Stream},
    http2::{ChannelBody, Guard, StreamExecutor, Traffic},
    message::{Method, RequestHead, Version},
    model::Limits,
    runtime::{deadline::Deadlines, drain::Phase},
};

/// Streams that a client may reset before we looked at them, before the connection is closed.
const UNSEEN_RESETS: usize = 50;
/// Streams that a client's faults may make us reset or refuse, before the connection is closed. Among them are
/// those that it opens before it knows how many it may.
const OWN_RESETS: usize = 200;
/// Bytes of an answer that wait for the client's window, at most, before no more are made.
const SEND_BUFFER: usize = 64 << 10;

/// Serves a connection until it ends; says why it ended.
pub async fn serve_connection(
    client: Rc<Client>,
    stream: Stream,
    limits: &Limits,
    age_limit: Duration,
) -> &'static str {
    let (worker, bound) = (client.worker.clone(), client.bound.clone());
    let executor = StreamExecutor::default();
    let active = Rc::new(Active::default());
    let (stream, traffic) = Guard::new(stream);
    let service = service_fn({
        let (active, executor) = (active.clone(), executor.clone());
        move |request| answer(client.clone(), active.clone(), executor.announce(), request)
    });
    let builder = builder(limits, executor.clone());
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let is_moved = Cell::new(false);
    let ending = async {
        let crowded = async {
            crowded(&worker, || active.streams.get()).await;
            is_moved.set(true);
        };
        let draining = pin!(worker.shared.drain.reached(Phase::Draining));
        let aged = pin!(tokio::time::sleep(age_limit));
        let left = pin!(bound.left());
        let idle = pin!(active.idle(&worker.deadlines, limits.keep_alive_idle, bound.index));
        select(select(draining, left), select(select(aged, pin!(crowded)), idle)).await;
    };
    let result = match select(connection.as_mut(), pin!(ending)).await {
        Either::Left((result, _)) => result,
        Either::Right(_) => {
            connection.as_mut().graceful_shutdown();
            let stuck = pin!(stuck(&worker.deadlines, &executor, &traffic, limits.handshake_time));
            match select(connection, stuck).await {
                Either::Left((result, _)) => result,
                Either::Right(_) => return "stuck",
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "HTTP/2 connection of a client ended");
    }
    match (traffic.is_flooded(), is_moved.get()) {
        (true, _) => "flood",
        (false, true) => "moved",
        (false, false) => "done",
    }
}

fn builder(limits: &Limits, executor: StreamExecutor) -> http2::Builder<StreamExecutor> {
    let settings = &limits.http2;
    let mut builder = http2::Builder::new(executor);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(settings.streams)
        .initial_stream_window_size(settings.stream_window_bytes)
        .initial_connection_window_size(settings.connection_window_bytes)
        .max_header_list_size(settings.header_list_bytes)
        .max_pending_accept_reset_streams(UNSEEN_RESETS)
        .max_local_error_reset_streams(OWN_RESETS)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(limits.keep_alive_idle)
        .keep_alive_timeout(limits.handshake_time)
        .auto_date_header(false);
    builder
}

/// Ends when a connection that was told to end has no stream left and its client has taken nothing for a while:
/// it never answers the GOAWAY, or leaves the rest of an answer lying.
async fn stuck(deadlines: &Deadlines, streams: &StreamExecutor, traffic: &Traffic, limit: Duration) {
    loop {
        let written = traffic.written();
        let _ = deadlines.within(limit, std::future::pending::<()>()).await;
        if streams.open() == 0 && traffic.written() == written {
            return;
        }
    }
}

/// Counts open streams, to tell when a connection is idle.
#[derive(Default)]
struct Active {
    streams: Cell<usize>,
    /// Told when the first stream opens and when the last one ends.
    turned: Notify,
}

impl Active {
    /// Ends when no stream was open for a while, or the worker wants idle connections closed.
    async fn idle(&self, deadlines: &Deadlines, limit: Duration, listener: usize) {
        loop {
            if self.streams.get() > 0 {
                self.turned.notified().await;
                continue;
            }
            // Only while no stream is open does the connection count as idle for those who look for room.
            let waited = deadlines.idle_within(limit, listener, self.turned.notified()).await;
            if waited.is_err() && self.streams.get() == 0 {
                return;
            }
        }
    }
}

/// Ends the serving of a stream whose client is gone before the answer started.
struct AbortOnDrop(Option<JoinHandle<()>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

async fn answer(
    client: Rc<Client>,
    active: Rc<Active>,
    stream: crate::http2::Stream,
    request: Request<hyper::body::Incoming>,
) -> Result<Response<ChannelBody>, BrokenStream> {
    let (sender, receiver) = oneshot::channel();
    let worker = client.worker.clone();
    let task = worker.spawn("http2 stream", async move {
        let counted = Counted::new(active);
        serve_stream(&client, request, sender).await;
        drop(counted);
    });
    let mut guard = AbortOnDrop(Some(task));
    let answer = receiver.await.map_err(|_| BrokenStream)?;
    // From here on the body says whether the client is still there.
    guard.0 = None;
    stream.ends_with(answer.body().breakage());
    Ok(answer)
}

struct Counted(Rc<Active>);

impl Counted {
    fn new(active: Rc<Active>) -> Self {
        active.streams.set(active.streams.get() + 1);
        active.turned.notify_one();
        Self(active)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get() - 1);
        if self.0.streams.get() == 0 {
            self.0.turned.notify_one();
        }
    }
}

/// The stream ended without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the stream ended without an answer")]
struct BrokenStream;

async fn serve_stream(
    client: &Client,
    mut request: Request<hyper::body::Incoming>,
    sender: oneshot::Sender<Response<ChannelBody>>,
) {
    let tunnel = (request.method() == http::Method::CONNECT).then(|| hyper::upgrade::on(&mut request));
    let (parts, body) = request.into_parts();
    let mut head = client.worker.take_request();
    let read = read_head(client, &parts, &mut head);
    let mut responder = Responder::Http2(Http2Responder { head: Some(sender), tunnel });
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
    let live = client.worker.live();
    let listener = client.listener(&live).ok_or(Failure::NoRoute)?;
    let limits = &listener.head_limits;
    head.version = Version::Http2;
    head.https_scheme = parts.uri.scheme() == Some(&http::uri::Scheme::HTTPS);
    head.set_method(parts.method.as_str().as_bytes());
    let target = parts.uri.path_and_query().map_or("*", |target| target.as_str()).as_bytes();
    let refused = |error| Err(Failure::Refused(error));
    if target.len() > limits.target_bytes {
        return refused(RequestError::TargetTooLong);
    }
    if parts.headers.len() > usize::from(listener.settings.limits.http2.fields) {
        return refused(RequestError::TooManyFields);
    }
    if let Some(authority) = parts.uri.authority().filter(|_| head.method == Method::Connect) {
        head.set_target(authority.as_str().as_bytes());
    } else if target == b"*" {
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
    let refused = |error| Err(Failure::Refused(error));
    let count = |name| parts.headers.get_all(name).iter().count();
    let host = parts.headers.get(http::header::HOST).map(http::HeaderValue::as_bytes);
    let authority = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    if count(http::header::HOST) > 1 {
        return refused(RequestError::SeveralHosts);
    }
    if count(http::header::CONTENT_LENGTH) > 1 {
        return refused(RequestError::Framing(FramingError::SeveralContentLengths));
    }
    if authority.zip(host).is_some_and(|(authority, host)| !authority.eq_ignore_ascii_case(host)) {
        return refused(RequestError::HostDisagrees);
    }
    let authority = authority.or(host).ok_or(Failure::Refused(RequestError::NoHost))?;
    head.set_host(authority).map_err(|error| Failure::Refused(RequestError::BadHost(error)))?;
    head.fields.push(b"host", authority);
    for (name, value) in &parts.headers {
        let dropped = matches!(*name, http::header::HOST | http::header::COOKIE)
            || (limits.drop_underscore_fields && name.as_str().contains('_'));
        if !dropped {
            head.fields.push(name.as_str().as_bytes(), value.as_bytes());
        }
    }
    join_cookies(parts, head);
    Ok(())
}

/// HTTP/2 may cut a cookie into several fields, which have to be one again for whoever does not know of that
/// (RFC 9113 §8.2.3).
fn join_cookies(parts: &http::request::Parts, head: &mut RequestHead) {
    let crumbs = parts.headers.get_all(http::header::COOKIE);
    if crumbs.iter().next().is_none() {
        return;
    }
    head.fields.push_with(b"cookie", |out| {
        for (index, crumb) in crumbs.iter().enumerate() {
            out.extend_from_slice(if index == 0 { b"" } else { b"; " });
            out.extend_from_slice(crumb.as_bytes());
        }
    });
}
