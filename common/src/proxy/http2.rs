//! Http2: serves the streams of one HTTP/2 connection.

use std::{cell::Cell, future::poll_fn, pin::pin, rc::Rc, task::Poll, time::Duration};

use futures_util::{
    FutureExt, StreamExt,
    future::{LocalBoxFuture, select},
    stream::FuturesUnordered,
};
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
    http1::{FramingError, RequestError, Stream},
    http2::{
        Block, Connection, ConnectionError, Handle, Http2Incoming, Http2Tunnel, Reason, Settings, Traffic,
        Watch,
    },
    message::{Fields, Known, Method, RequestHead, Version},
    model::{Http2Limits, Limits},
    runtime::{deadline::Deadlines, drain::Phase},
};

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
    let mut connection = Connection::server(stream, settings(&limits.http2));
    let watch = connection.watch();
    let streams = Streams { client, active: Rc::default() };
    let is_moved = Cell::new(false);
    let deadlines = &streams.client.worker.deadlines;
    // A set, as it polls only those of them that were woken: the connection itself is polled for every request.
    let mut events: FuturesUnordered<LocalBoxFuture<'_, Event>> = FuturesUnordered::new();
    events.push(leave(&streams, limits, age_limit, &is_moved).map(|()| Event::Leave).boxed_local());
    events.push(silent(deadlines, &watch, limits).map(|()| Event::Stuck).boxed_local());
    loop {
        tokio::select! {
            biased;
            result = streams.accept(&mut connection) => return ended(result, watch.traffic(), &is_moved),
            Some(event) = events.next() => match event {
                Event::Leave => {
                    watch.leave();
                    let stuck = stuck(deadlines, &streams.active, watch.traffic(), limits.handshake_time);
                    events.push(stuck.map(|()| Event::Stuck).boxed_local());
                }
                Event::Stuck => {
                    connection.abort();
                    return "stuck";
                }
            },
        }
    }
}

/// Why a connection has ended.
fn ended(result: Result<(), ConnectionError>, traffic: &Traffic, is_moved: &Cell<bool>) -> &'static str {
    if let Err(error) = result {
        tracing::debug!(%error, "HTTP/2 connection of a client ended");
    }
    match (traffic.is_flooded(), is_moved.get()) {
        (true, _) => "flood",
        (false, true) => "moved",
        (false, false) => "done",
    }
}

fn settings(limits: &Http2Limits) -> Settings {
    Settings {
        streams: limits.streams,
        stream_window_bytes: limits.stream_window_bytes,
        connection_window_bytes: limits.connection_window_bytes,
        header_list_bytes: limits.header_list_bytes,
    }
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
    let moved = || (traffic.read(), traffic.written());
    loop {
        let before = moved();
        let _ = deadlines.within(limit, std::future::pending::<()>()).await;
        if active.streams.get() == 0 && moved() == before {
            return;
        }
    }
}

/// Ends when a client that has said nothing for a while does not answer a PING (RFC 9113 §6.7): it is gone, although
/// its connection did not end.
async fn silent(deadlines: &Deadlines, watch: &Watch, limits: &Limits) {
    let traffic = watch.traffic();
    let mut quiet = 0;
    loop {
        let before = (traffic.read(), traffic.written());
        let _ = deadlines.within(limits.keep_alive_idle / LOOKS, std::future::pending::<()>()).await;
        quiet = if (traffic.read(), traffic.written()) == before { quiet + 1 } else { 0 };
        if quiet >= LOOKS {
            if deadlines.within(limits.handshake_time, watch.ping()).await.is_err() {
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
    async fn accept(&self, connection: &mut Connection<Stream>) -> Result<(), ConnectionError> {
        poll_fn(|cx| connection.poll(cx, &mut |block, stream| self.begin(block, stream))).await
    }

    fn begin(&self, block: &mut Block, stream: Handle) {
        let (client, worker) = (self.client.clone(), &self.client.worker);
        let mut head = worker.take_request();
        let read = read_head(&client, block, &mut head);
        let counted = Counted::new(self.active.clone());
        // On the heap at once: a task moves what it runs several times.
        worker.spawn(
            "http2 stream",
            Box::pin(async move {
                serve_stream(&client, (head, read), stream).await;
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
    stream: Handle,
) {
    let (tunnel, mut body) = match head.method {
        Method::Connect => (Some(Http2Tunnel::new(stream.clone())), Incoming::Taken(Fields::default())),
        _ => (None, Incoming::Http2(Http2Incoming::new(stream.clone()))),
    };
    let answer = Http2Answer { stream, started: Cell::new(false) };
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
        Poll::Pending => answer.stream.poll_broken(cx).map(|_| None),
    });
    if let Some(Err(error)) = result.await {
        tracing::trace!(%error, "answer over HTTP/2 broke off");
        answer.stream.reset(Reason::INTERNAL_ERROR);
    }
}

/// Reads a head; what HTTP/2 itself forbids never gets here (RFC 9113 §8.2, §8.3).
fn read_head(client: &Client, block: &mut Block, head: &mut RequestHead) -> Result<(), Failure> {
    let refused = |error| Err(Failure::Refused(error));
    let live = client.worker.live();
    let listener = client.listener(&live).ok_or(Failure::NoRoute)?;
    let limits = &listener.head_limits;
    std::mem::swap(&mut head.fields, &mut block.fields);
    head.version = Version::Http2;
    head.https_scheme = block.is_https();
    head.set_method(block.method());
    if block.is_too_large {
        return refused(RequestError::HeadTooLarge);
    }
    let target = block.path();
    if target.len() > limits.target_bytes {
        return refused(RequestError::TargetTooLong);
    }
    if block.count > usize::from(listener.settings.limits.http2.fields) {
        return refused(RequestError::TooManyFields);
    }
    let authority = block.authority().ok_or(Failure::Refused(RequestError::NoHost))?;
    if head.method == Method::Connect {
        head.set_target(authority);
    } else if target == b"*" {
        head.set_path(target);
    } else if let Err(error) = head.set_origin(target, limits.reject_escaped_slash) {
        return refused(RequestError::BadPath(error));
    }
    head.set_host(authority).map_err(|error| Failure::Refused(RequestError::BadHost(error)))?;
    if block.has_underscore && limits.drop_underscore_fields {
        head.fields.retain(|known, name, _| known != Known::Other || !name.contains(&b'_'));
    }
    check_fields(block, head)
}

/// A `Host` beside `:authority` must say the same (RFC 9113 §8.3.1).
fn check_fields(block: &Block, head: &RequestHead) -> Result<(), Failure> {
    let refused = |error| Err(Failure::Refused(error));
    if block.hosts > 1 {
        return refused(RequestError::SeveralHosts);
    }
    if block.lengths > 1 {
        return refused(RequestError::Framing(FramingError::SeveralContentLengths));
    }
    if !block.hosts_agree {
        return refused(RequestError::HostDisagrees);
    }
    if head.method == Method::Connect && content_length(&head.fields).is_some_and(|length| length > 0) {
        // It could be taken for what the tunnel carries.
        return Err(Failure::ClientBody);
    }
    Ok(())
}
