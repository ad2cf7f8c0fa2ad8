//! Http2: serves the streams of one HTTP/2 connection.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    pin::pin,
    rc::Rc,
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{
    FutureExt, StreamExt,
    future::{LocalBoxFuture, select},
    stream::FuturesUnordered,
};
use h2::{
    Ping, PingPong, Reason, RecvStream,
    server::{Builder, Connection, SendResponse},
};
use http::request::Parts;
use tokio::sync::Notify;

use super::{
    body::Incoming,
    exchange::{Client, Exchange},
    headers::content_length,
    http::{refuse, serve},
    respond::Failure,
    responder::{Http2Answer, Http2Responder, Responder},
    spreading::crowded,
};
use crate::{
    http1::{FramingError, HeadLimits, RequestError, Stream},
    http2::{Guard, Http2Incoming, Http2Tunnel, Traffic},
    message::{Fields, Known, Method, RequestHead, Version},
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

/// How often within a time of silence it is looked whether it lasts.
const LOOKS: u32 = 4;

/// What ends a connection beside its client.
enum Event {
    /// It shall take no further streams.
    Leave,
    /// Its client is gone, or does as if it were.
    Stuck,
}

/// Serves a connection until it ends; says why it ended.
pub async fn serve_connection(
    client: Rc<Client>,
    stream: Stream,
    limits: &Limits,
    age_limit: Duration,
) -> &'static str {
    let (stream, traffic) = Guard::new(stream);
    let streams = Streams { client, active: Rc::default() };
    let is_moved = Cell::new(false);
    // A set, as it polls only those of them that were woken: the connection itself is polled for every request.
    let mut events: FuturesUnordered<LocalBoxFuture<'_, Event>> = FuturesUnordered::new();
    events.push(leave(&streams, limits, age_limit, &is_moved).map(|()| Event::Leave).boxed_local());
    let handshake = builder(limits).handshake(stream);
    let mut connection = tokio::select! {
        biased;
        opened = handshake => match opened {
            Ok(connection) => connection,
            Err(error) => return ended(Err(error), &traffic, &is_moved),
        },
        _ = events.next() => return "done",
    };
    let deadlines = &streams.client.worker.deadlines;
    if let Some(pings) = connection.ping_pong() {
        events.push(silent(deadlines, pings, &traffic, limits).map(|()| Event::Stuck).boxed_local());
    }
    loop {
        tokio::select! {
            biased;
            result = streams.accept(&mut connection) => return ended(result, &traffic, &is_moved),
            Some(event) = events.next() => match event {
                Event::Leave => {
                    connection.graceful_shutdown();
                    let stuck = stuck(deadlines, &streams.active, &traffic, limits.handshake_time);
                    events.push(stuck.map(|()| Event::Stuck).boxed_local());
                }
                Event::Stuck => {
                    connection.abrupt_shutdown(Reason::NO_ERROR);
                    // It is told as far as that needs no waiting.
                    let _ = streams.accept(&mut connection).now_or_never();
                    return "stuck";
                }
            },
        }
    }
}

/// Why a connection has ended.
fn ended(result: Result<(), h2::Error>, traffic: &Traffic, is_moved: &Cell<bool>) -> &'static str {
    if let Err(error) = result {
        tracing::debug!(%error, "HTTP/2 connection of a client ended");
    }
    match (traffic.is_flooded(), is_moved.get()) {
        (true, _) => "flood",
        (false, true) => "moved",
        (false, false) => "done",
    }
}

fn builder(limits: &Limits) -> Builder {
    let settings = &limits.http2;
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(settings.streams)
        .initial_window_size(settings.stream_window_bytes)
        .initial_connection_window_size(settings.connection_window_bytes)
        .max_header_list_size(settings.header_list_bytes)
        .max_pending_accept_reset_streams(UNSEEN_RESETS)
        .max_local_error_reset_streams(Some(OWN_RESETS))
        .max_send_buffer_size(SEND_BUFFER);
    builder
}

/// Ends when a connection shall take no further streams: the engine drains, its listener leaves, it is old, idle or
/// better placed on another worker.
async fn leave(streams: &Streams, limits: &Limits, age_limit: Duration, is_moved: &Cell<bool>) {
    let Client { worker, bound, .. } = &*streams.client;
    let active = &streams.active;
    let crowded = async {
        crowded(worker, || active.streams.get()).await;
        is_moved.set(true);
    };
    let draining = pin!(worker.shared.drain.reached(Phase::Draining));
    let aged = pin!(tokio::time::sleep(age_limit));
    let left = pin!(bound.left());
    let idle = pin!(active.idle(&worker.deadlines, limits.keep_alive_idle, bound.index));
    select(select(draining, left), select(select(aged, pin!(crowded)), idle)).await;
}

/// Ends when a connection that was told to end has no stream left and its client has taken nothing for a while:
/// it never answers the GOAWAY, or leaves the rest of an answer lying.
async fn stuck(deadlines: &Deadlines, active: &Active, traffic: &Traffic, limit: Duration) {
    loop {
        let written = traffic.written();
        let _ = deadlines.within(limit, std::future::pending::<()>()).await;
        if active.streams.get() == 0 && traffic.written() == written {
            return;
        }
    }
}

/// Ends when a client that has said nothing for a while does not answer a PING (RFC 9113 §6.7): it is gone, although
/// its connection did not end.
async fn silent(deadlines: &Deadlines, mut pings: PingPong, traffic: &Traffic, limits: &Limits) {
    let mut quiet = 0;
    loop {
        let read = traffic.read();
        let _ = deadlines.within(limits.keep_alive_idle / LOOKS, std::future::pending::<()>()).await;
        quiet = if traffic.read() == read { quiet + 1 } else { 0 };
        if quiet >= LOOKS {
            let pong = deadlines.within(limits.handshake_time, pings.ping(Ping::opaque())).await;
            if !matches!(pong, Ok(Ok(_))) {
                return;
            }
            quiet = 0;
        }
    }
}

/// What the streams of a connection have in common.
struct Streams {
    client: Rc<Client>,
    active: Rc<Active>,
}

impl Streams {
    /// Serves each stream in a task of its own, until the connection ends. May be dropped and begun anew.
    async fn accept(&self, connection: &mut Connection<Guard<Stream>, Bytes>) -> Result<(), h2::Error> {
        while let Some(stream) = connection.accept().await {
            let (request, answer) = stream?;
            self.begin(request, answer);
        }
        Ok(())
    }

    fn begin(&self, request: http::Request<RecvStream>, answer: SendResponse<Bytes>) {
        let (client, worker) = (self.client.clone(), &self.client.worker);
        let (parts, body) = request.into_parts();
        let mut head = worker.take_request();
        let read = read_head(&client, &parts, &mut head);
        let counted = Counted::new(self.active.clone());
        // On the heap at once: a task moves what it runs several times.
        worker.spawn(
            "http2 stream",
            Box::pin(async move {
                serve_stream(&client, (head, read), body, answer).await;
                drop(counted);
            }),
        );
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

struct Counted(Rc<Active>);

impl Counted {
    fn new(active: Rc<Active>) -> Self {
        active.streams.set(active.streams.get() + 1);
        if active.streams.get() == 1 {
            active.turned.notify_one();
        }
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

async fn serve_stream(
    client: &Client,
    (head, read): (Box<RequestHead>, Result<(), Failure>),
    body: RecvStream,
    answer: SendResponse<Bytes>,
) {
    let answer = Http2Answer { stream: RefCell::new(answer), started: Cell::new(false) };
    let (tunnel, mut body) = match head.method {
        Method::Connect => (Some(Http2Tunnel::new(body)), Incoming::Taken(Fields::default())),
        _ => (None, Incoming::Http2(Http2Incoming::new(body))),
    };
    let mut responder = Responder::Http2(Http2Responder { stream: &answer, tunnel });
    let mut x = Exchange::new(client, head);
    let mut serving = pin!(async {
        match read {
            Ok(()) => serve(&mut x, &mut body, &mut responder).await,
            Err(failure) => refuse(&mut x, &mut body, &mut responder, failure).await,
        }
    });
    let result = poll_fn(|cx| match serving.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        // From there on the body says whether the client is still there.
        Poll::Pending if answer.started.get() => Poll::Pending,
        Poll::Pending => answer.stream.borrow_mut().poll_reset(cx).map(|_| None),
    });
    if let Some(Err(error)) = result.await {
        tracing::trace!(%error, "answer over HTTP/2 broke off");
        answer.stream.borrow_mut().send_reset(Reason::INTERNAL_ERROR);
    }
}

/// Reads a head as `h2` gives it; what HTTP/2 itself forbids never gets here (RFC 9113 §8.2, §8.3).
fn read_head(client: &Client, parts: &Parts, head: &mut RequestHead) -> Result<(), Failure> {
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
fn read_fields(parts: &Parts, limits: &HeadLimits, head: &mut RequestHead) -> Result<(), Failure> {
    let refused = |error| Err(Failure::Refused(error));
    let authority = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    let host = || parts.headers.get(http::header::HOST).map(http::HeaderValue::as_bytes);
    let authority = authority.or_else(host).ok_or(Failure::Refused(RequestError::NoHost))?;
    head.set_host(authority).map_err(|error| Failure::Refused(RequestError::BadHost(error)))?;
    head.fields.push_known(Known::Host, authority);
    let (mut hosts, mut agrees, mut lengths, mut has_cookies) = (0, true, 0, false);
    for (name, value) in &parts.headers {
        let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
        match Known::of(name) {
            Known::Other if limits.drop_underscore_fields && name.contains(&b'_') => {}
            Known::Other => head.fields.push(name, value),
            Known::Cookie => has_cookies = true,
            Known::Host => {
                hosts += 1;
                agrees &= authority.eq_ignore_ascii_case(value);
            }
            known => {
                lengths += usize::from(known == Known::ContentLength);
                head.fields.push_known(known, value);
            }
        }
    }
    if hosts > 1 {
        return refused(RequestError::SeveralHosts);
    }
    if lengths > 1 {
        return refused(RequestError::Framing(FramingError::SeveralContentLengths));
    }
    if !agrees {
        return refused(RequestError::HostDisagrees);
    }
    if head.method == Method::Connect && content_length(&head.fields).is_some_and(|length| length > 0) {
        // It could be taken for what the tunnel carries.
        return Err(Failure::ClientBody);
    }
    if has_cookies {
        join_cookies(parts, head);
    }
    Ok(())
}

/// HTTP/2 may cut a cookie into several fields, which have to be one again for whoever does not know of that
/// (RFC 9113 §8.2.3).
fn join_cookies(parts: &Parts, head: &mut RequestHead) {
    let crumbs = parts.headers.get_all(http::header::COOKIE);
    head.fields.push_known_with(Known::Cookie, |out| {
        for (index, crumb) in crumbs.iter().enumerate() {
            out.extend_from_slice(if index == 0 { b"" } else { b"; " });
            out.extend_from_slice(crumb.as_bytes());
        }
    });
}
