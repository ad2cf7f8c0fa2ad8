//! Http1: serves the requests of one HTTP/1.1 connection, one after the other.

use std::{
    cell::Cell,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    body::Incoming,
    exchange::{Client, Exchange},
    http::{refuse, serve},
    respond::Failure,
    responder::{Http1Responder, Responder},
};
use crate::{
    http1::{BodyState, Connection, HeadLimits, RequestError, RequestStart, parse_request},
    message::RequestHead,
    model::Listener,
    runtime::deadline::Elapsed,
};

/// Most bytes of method and target in the record of a head that was refused.
const QUOTED_BYTES: usize = 256;
/// Longest time that a connection which is about to close is still read, so that the client sees the answer.
const LINGER: Duration = Duration::from_secs(2);

/// How long a connection may be silent while the engine drains or its listener leaves. Clients that are at it send their next request
/// within this time and are told to close; one that is closed in that moment would lose a request.
pub const DRAIN_IDLE: Duration = Duration::from_secs(1);

/// How long the room for serving a request is kept for the next one. Clients that send one request after the other find it
/// there; of the others only what waits for the next one stays in memory.
const ROOM_KEPT: Duration = Duration::from_millis(250);
/// Connections of a worker that keep their room at once; further ones give it up with each request, so that a crowd that
/// comes at once and falls silent leaves little behind.
const MOST_ROOMS: usize = 256;

/// Why no request could be read.
enum NoRequest {
    /// The connection ended.
    Ended,
    /// The head came too slowly.
    Timeout,
    /// The head is not acceptable.
    Refused(RequestError),
}

/// Serves a connection until it ends; it may be idle for so long at first, and later as its listener says. Bytes that
/// were read ahead are in its input already.
pub async fn serve_connection(
    client: &Client,
    mut connection: Connection,
    mut idle: Duration,
    age_limit: Duration,
) {
    let oldest = Instant::now() + age_limit;
    while !connection.input().is_empty() || has_more(client, idle, &mut connection).await == Ok(true) {
        // On the heap: a connection that waits shall not keep room for all that serving a request takes.
        match Box::pin(serve_row(client, &mut connection, &mut idle, oldest)).await {
            Next::Request => {}
            Next::Close => return Box::pin(linger(client, connection)).await,
            Next::Abort => return,
        }
    }
}

/// Waits for the first bytes of the next request, as long as the connection may be idle; `false` if it has ended.
async fn has_more(client: &Client, idle: Duration, connection: &mut Connection) -> Result<bool, Elapsed> {
    let idle = if client.is_ending() { idle.min(DRAIN_IDLE) } else { idle };
    let deadlines = &client.worker.deadlines;
    let filled = deadlines.idle_within(idle, client.bound.index, connection.fill()).await?;
    Ok(matches!(filled, Ok(1..)))
}

/// Serves requests of which the first has begun to arrive, for as long as the next one follows soon.
async fn serve_row(
    client: &Client,
    connection: &mut Connection,
    idle: &mut Duration,
    oldest: Instant,
) -> Next {
    loop {
        // As the listener says now, which may have changed while the connection waited.
        let Some(reading) = reading(client) else { return Next::Abort };
        *idle = reading.settings.limits.keep_alive_idle;
        match serve_next(client, reading, connection, oldest).await {
            Next::Request => {}
            last => return last,
        }
        // A client with many requests on one connection does not keep others from being served.
        tokio::task::consume_budget().await;
        if connection.input().is_empty() {
            let Some(_kept) = KeptRoom::of(&client.worker.kept_rooms) else { return Next::Request };
            match has_more(client, ROOM_KEPT.min(*idle), connection).await {
                Ok(true) => {}
                Err(Elapsed::Limit) if *idle > ROOM_KEPT => {
                    *idle -= ROOM_KEPT;
                    return Next::Request;
                }
                Ok(false) | Err(_) => return Next::Abort,
            }
        }
    }
}

/// The room of a connection that waits, counted as long as it is kept.
struct KeptRoom<'w>(&'w Cell<usize>);

impl<'w> KeptRoom<'w> {
    fn of(count: &'w Cell<usize>) -> Option<Self> {
        let kept = count.get();
        count.set(kept + 1);
        // Dropped at once if there are too many.
        Some(Self(count)).filter(|_| kept < MOST_ROOMS)
    }
}

impl Drop for KeptRoom<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Serves a request of which something has arrived.
async fn serve_next(client: &Client, reading: Reading, connection: &mut Connection, oldest: Instant) -> Next {
    let mut head = client.worker.take_request();
    let start = match read_head(client, &reading, connection, &mut head).await {
        Ok(start) => start,
        Err(no_request) => return refuse_head(client, connection, head, no_request).await,
    };
    let mut x = Exchange::new(client, head);
    let last = client.is_ending() || x.start() >= oldest;
    serve_request(&mut x, connection, start, last).await
}

/// What follows an answer.
enum Next {
    Request,
    Close,
    Abort,
}

/// What a head is read with. The table is left where it is: a connection may wait long for its next request.
struct Reading {
    settings: Arc<Listener>,
    limits: HeadLimits,
}

fn reading(client: &Client) -> Option<Reading> {
    let live = client.worker.live();
    let listener = client.listener(&live)?;
    Some(Reading { settings: listener.settings.clone(), limits: listener.head_limits })
}

async fn read_head(
    client: &Client,
    reading: &Reading,
    connection: &mut Connection,
    head: &mut RequestHead,
) -> Result<RequestStart, NoRequest> {
    let rest = async {
        loop {
            if let Some(start) =
                parse_request(connection.input(), &reading.limits, head).map_err(NoRequest::Refused)?
            {
                connection.consume(start.head_bytes);
                return Ok(start);
            }
            match connection.fill().await {
                Ok(count) if count > 0 => {}
                _ => return Err(NoRequest::Ended),
            }
        }
    };
    let limit = reading.settings.limits.head_time;
    client.worker.deadlines.within(limit, rest).await.unwrap_or(Err(NoRequest::Timeout))
}

async fn serve_request(
    x: &mut Exchange<'_>,
    connection: &mut Connection,
    start: RequestStart,
    last: bool,
) -> Next {
    let mut state = BodyState::new(start.body);
    let (mut reader, writer) = connection.split(&mut state);
    if start.expect_continue && !reader.is_done() {
        reader.greet();
    }
    let mut body = Incoming::Http1(reader);
    let keep_alive = start.keep_alive && !last;
    let mut responder = Responder::Http1(Http1Responder::new(writer, keep_alive));
    let result = serve(x, &mut body, &mut responder).await;
    let Responder::Http1(responder) = responder else { return Next::Abort };
    match (result, responder.keep_alive && body.is_done()) {
        (Err(_), _) => {
            if responder.until_close {
                // A plain end would make the answer look complete (RFC 9112 §8).
                connection.reset_on_drop();
            }
            Next::Abort
        }
        (Ok(()), true) => Next::Request,
        (Ok(()), false) => Next::Close,
    }
}

/// Answers a head that is not acceptable, if there is anything to answer.
async fn refuse_head(
    client: &Client,
    connection: &mut Connection,
    mut head: Box<RequestHead>,
    no_request: NoRequest,
) -> Next {
    let failure = match no_request {
        NoRequest::Ended => {
            client.worker.give_request(head);
            return Next::Abort;
        }
        NoRequest::Timeout => Failure::HeadTimeout,
        NoRequest::Refused(error) => Failure::Refused(error),
    };
    quote(&mut head, connection.input());
    let mut state = BodyState::default();
    let (reader, writer) = connection.split(&mut state);
    let mut responder = Responder::Http1(Http1Responder::new(writer, false));
    let mut x = Exchange::new(client, head);
    let mut body = Incoming::Http1(reader);
    match refuse(&mut x, &mut body, &mut responder, failure).await {
        Ok(()) => Next::Close,
        Err(_) => Next::Abort,
    }
}

/// Puts the beginning of what came into the head, as method and target: nothing is served for it, but its record
/// shall say what was refused.
fn quote(head: &mut RequestHead, input: &[u8]) {
    head.clear();
    let line =
        input.split(|byte| matches!(byte, b'\r' | b'\n')).find(|line| !line.is_empty()).unwrap_or_default();
    let (method, rest) = line.split_at(line.iter().position(|byte| *byte == b' ').unwrap_or(line.len()));
    let target = rest.trim_ascii_start().split(|byte| *byte == b' ').next().unwrap_or_default();
    head.set_method(&method[..method.len().min(QUOTED_BYTES)]);
    head.set_target(&target[..target.len().min(QUOTED_BYTES)]);
}

/// Closes a connection so that the client can still read the answer: ends our side and reads a little of what is
/// still under way, as closing with unread bytes would reset the connection (RFC 9112 §9.6). Time alone limits it:
/// a client in the middle of an upload looks at the answer only when it has sent a good deal more.
async fn linger(client: &Client, mut connection: Connection) {
    let rest = async {
        if connection.writer().shutdown().await.is_err() {
            return;
        }
        connection.consume(connection.input().len());
        while let Ok(count @ 1..) = connection.fill().await {
            connection.consume(count);
        }
    };
    // Whatever comes of it, the connection is closed.
    let _ = client.worker.deadlines.within(LINGER, rest).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_rooms_are_kept_than_may_be() {
        let count = Cell::new(0);
        for _ in 0..2 {
            let mut kept: Vec<_> = std::iter::from_fn(|| KeptRoom::of(&count)).take(MOST_ROOMS + 1).collect();
            assert_eq!((kept.len(), count.get()), (MOST_ROOMS, MOST_ROOMS));
            kept.pop();
            assert!(KeptRoom::of(&count).is_some());
        }
        assert_eq!(count.get(), 0);
    }
}
