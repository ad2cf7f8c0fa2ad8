//! Sends a request to an endpoint over HTTP/2 and passes the answer on, trailers included.

use std::{cell::Cell, future::poll_fn, pin::pin, task::Poll, time::Duration};

use super::{
    attempt::{Progress, Try, TryError, open},
    body::{Incoming, Outgoing, Pace, PumpError, pump},
    compressed::{self, Compressed},
    error_pages,
    exchange::Exchange,
    grpc_timeout, headers, http as stage,
    respond::Failure,
    responder::{Responder, has_body},
    send_http1::{broken_answer, check_sent},
    sending::Sending,
    shaped::Shaped,
    turn::{self, Turn},
    until::until,
};
use crate::{
    http1::BodyFraming,
    http2::{Broken, Connection, Handle, HeadWriter, Http2Incoming, Http2Outgoing, Reason, Settings},
    message::{Known, KnownSet, Method, ResponseHead, Scheme, Version},
    runtime::deadline::Elapsed,
    upstream::{Http2Stream, Slot},
};

/// What backends are told: heads may be larger than those of requests, as backends are ours.
const SETTINGS: Settings = Settings {
    streams: 0,
    stream_window_bytes: 1 << 20,
    connection_window_bytes: 4 << 20,
    header_list_bytes: 64 << 10,
};

/// A connection whose peer says nothing for this long may be dead. A shorter limit says something of the answer alone.
const DEAD: Duration = Duration::from_secs(1);
/// Longest time in which a client takes trailers that tell it that its time is over.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Sends the request on a stream to the peer, of a shared or a new connection, and passes the answer on.
///
/// # Errors
/// What failed and how far it had got.
pub async fn send(
    x: &mut Exchange<'_>,
    this: &Try<'_>,
    body: &mut Incoming<'_>,
    responder: &mut Responder<'_>,
) -> Result<(), TryError> {
    let (stream, reused) = stream(x, this).await?;
    this.choice.begin();
    let error = |failure, progress| TryError { failure, progress, reused };
    let length = if body.is_done() { Some(0) } else { headers::content_length(&x.head.fields) };
    let worker = x.worker().clone();
    let received = x.received.clone();
    let is_whole = length == Some(0);
    let is_head = x.head.method == Method::Head;
    let sent = stream.client().send(worker.take_response(), (is_head, is_whole), |out| {
        write_head(x, this, length, out);
    });
    let asked = sent.map_err(|broken| {
        tracing::debug!(error = %broken, "no HTTP/2 request could be sent");
        if broken != Broken::Full {
            worker.pool.forget_http2(this.peer, &stream);
        }
        error(Failure::UpstreamClosed, Progress::Nothing)
    })?;
    let mut out = Outgoing::Http2(Http2Outgoing::new(asked.clone(), is_whole));
    // Once the answer has begun, either side may be silent for as long as the other lasts: streams of gRPC are.
    let pace = Pace { idle: Duration::MAX, min_rate_bytes: 0, stall: this.plan.request_pace.stall };
    let future = pin!(pump(&worker.deadlines, body, &mut out, pace, &received));
    let mut sending = Sending::new(future);
    let answer = answer_head((x, this), (&asked, &received), &mut sending, responder).await;
    x.received.set(received.get());
    let head = match answer {
        Ok(Ok(head)) => head,
        Ok(Err(broken)) => {
            tracing::debug!(error = %broken, "HTTP/2 request failed");
            let progress = progress(broken);
            let failure = match broken {
                Broken::Own(_) => Failure::UpstreamProtocol,
                _ => Failure::UpstreamClosed,
            };
            if matches!(broken, Broken::Reset(_) | Broken::Own(_)) {
                // The connection is well: this says nothing of how long it had been idle.
                return Err(TryError { failure, progress, reused: false });
            }
            worker.pool.forget_http2(this.peer, &stream);
            return Err(error(failure, progress));
        }
        Err(failure) => {
            let is_late = failure == Failure::RequestTimeout;
            if is_late && this.answer_limit >= DEAD {
                // It may be the connection that is dead; those who are on it may wait, new ones need not.
                worker.pool.forget_http2(this.peer, &stream);
            }
            return Err(error(failure, if is_late { Progress::Sent } else { Progress::Answered }));
        }
    };
    if this.drops(x, &head) {
        let status = head.status;
        worker.give_response(head);
        return Err(Try::dropped(status));
    }
    if error_pages::replaces(x, head.status) {
        let status = head.status;
        x.keep_challenges(&head);
        worker.give_response(head);
        return Err(Try::replaced(status));
    }
    if sending.result().is_none() {
        responder.close_after();
    }
    let passed = pass_on(x, this, (head, asked), responder, &mut sending).await;
    x.received.set(received.get());
    passed.map_err(|failure| error(failure, Progress::Answered))
}

/// How far a request had got whose stream failed. One that the peer says it never looked at is as good as not
/// sent (RFC 9113 §8.7): it refused the stream, or went away before it.
fn progress(broken: Broken) -> Progress {
    match broken {
        Broken::Reset(Reason::REFUSED_STREAM) | Broken::Unseen | Broken::Full => Progress::Nothing,
        Broken::Reset(_) | Broken::Closed => Progress::Sent,
        // It has answered, only not well.
        Broken::Own(_) => Progress::Answered,
    }
}

/// A stream of a connection that has room for one, or else of a new one. Requests that come while a connection is
/// being opened wait for it.
async fn stream(x: &Exchange<'_>, this: &Try<'_>) -> Result<(Http2Stream, bool), TryError> {
    let worker = x.worker();
    let shared = || worker.pool.take_http2(this.peer);
    let reuse = |stream| {
        worker.shared.metrics.upstream.reused.inc();
        Ok((stream, true))
    };
    if let Some(stream) = (!this.fresh).then(shared).flatten() {
        return reuse(stream);
    }
    let slot = match turn::http2(x, this).await? {
        Turn::Reuse(stream) => return reuse(stream),
        Turn::Open(slot) => slot,
    };
    if this.peer.is_told_clients() {
        // Nobody else can use it, so nobody waits for it.
        return Ok((connect(x, this, slot).await?, false));
    }
    let opening = worker.pool.opening(this.peer);
    // Whoever has to wait finds one that is new enough for anybody.
    let first = opening.try_lock().is_ok();
    let Ok(_opening) = worker.deadlines.within(this.connect_timeout, opening.lock()).await else {
        return Err(TryError {
            failure: Failure::ConnectTimeout,
            progress: Progress::Nothing,
            reused: false,
        });
    };
    match (!(first && this.fresh)).then(shared).flatten() {
        Some(stream) => reuse(stream),
        None => Ok((connect(x, this, slot).await?, false)),
    }
}

async fn connect(x: &Exchange<'_>, this: &Try<'_>, slot: Option<Slot>) -> Result<Http2Stream, TryError> {
    let (stream, open) = open(x, this).await?;
    let (client, mut connection) = Connection::client(stream, SETTINGS);
    x.worker().spawn("upstream http2", async move {
        // No backend sends us requests.
        let ended = poll_fn(|cx| connection.poll(cx, &mut |_, _| {})).await;
        if let Err(error) = ended {
            tracing::debug!(%error, "HTTP/2 connection to an endpoint ended");
        }
        drop((open, slot));
    });
    Ok(x.worker().pool.share_http2(this.peer, client))
}

/// The head of an answer, or what became of the stream.
type Answered = Result<Box<ResponseHead>, Broken>;

/// Sends the request while waiting for the head of the final answer, and passes interim ones on. While the request is
/// being sent its own limits hold, and those of the answer afterwards. An error is what the client is to be told.
async fn answer_head(
    (x, this): (&Exchange<'_>, &Try<'_>),
    (asked, received): (&Handle, &Cell<u64>),
    sending: &mut Sending<'_, impl Future<Output = Result<(), PumpError>>>,
    responder: &mut Responder<'_>,
) -> Result<Answered, Failure> {
    if let Some(answer) = early_head((x, this), (asked, received), sending, responder).await? {
        return Ok(answer);
    }
    check_sent(sending.result())?;
    this.choice.sent();
    let deadlines = &x.worker().deadlines;
    let by = deadlines.now().saturating_add(this.answer_limit);
    let exact = this.plan.exact_end(this.answer_limit);
    loop {
        let answer = poll_fn(|cx| match asked.poll_answer(cx) {
            Poll::Ready(answer) => Poll::Ready(Ok(answer)),
            Poll::Pending => responder.poll_closed(cx).map(|()| Err(Failure::ClientClosed)),
        });
        let answer = until(exact, deadlines.within_looking(by.saturating_sub(deadlines.now()), answer));
        let answer = until(this.plan.deadline, answer).await.map_err(|_| Failure::Deadline)?;
        match answer.unwrap_or(Err(Elapsed::Limit)).unwrap_or(Err(Failure::RequestTimeout))? {
            Ok(head) if is_interim(&head) => pass_interim(x, head, responder).await?,
            answer => return Ok(answer),
        }
    }
}

/// The same as long as the request is being sent; nothing once that has ended.
async fn early_head(
    (x, this): (&Exchange<'_>, &Try<'_>),
    (asked, received): (&Handle, &Cell<u64>),
    sending: &mut Sending<'_, impl Future<Output = Result<(), PumpError>>>,
    responder: &mut Responder<'_>,
) -> Result<Option<Answered>, Failure> {
    let deadlines = &x.worker().deadlines;
    let Pace { idle, min_rate_bytes, .. } = this.plan.request_pace;
    let mut waited = Duration::ZERO;
    let (mut before, mut look) = (received.get(), deadlines.now().saturating_add(idle));
    loop {
        let early = poll_fn(|cx| {
            let sent = sending.poll(cx);
            match asked.poll_answer(cx) {
                Poll::Ready(answer) => Poll::Ready(Some(answer)),
                Poll::Pending if sent => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        });
        let early = deadlines.within(look.saturating_sub(deadlines.now()), early);
        match until(this.plan.deadline, early).await.map_err(|_| Failure::Deadline)? {
            Ok(Some(Ok(head))) if is_interim(&head) => pass_interim(x, head, responder).await?,
            Ok(answer) => return Ok(answer),
            Err(_) => {
                waited += idle;
                let slow = received.get() < min_rate_bytes.saturating_mul(waited.as_secs());
                if received.get() == before || slow {
                    return Err(Failure::ClientBodyTimeout);
                }
                (before, look) = (received.get(), deadlines.now().saturating_add(idle));
            }
        }
    }
}

fn is_interim(head: &ResponseHead) -> bool {
    head.status < 200
}

/// Passes an interim answer on. That is never given up in the middle, as an answer has to follow it.
async fn pass_interim(
    x: &Exchange<'_>,
    mut head: Box<ResponseHead>,
    responder: &mut Responder<'_>,
) -> Result<(), Failure> {
    headers::strip_interim(&mut head);
    let passed = responder.interim(x, &head).await;
    passed.map_err(|_| Failure::ClientClosed)
}

async fn pass_on(
    x: &mut Exchange<'_>,
    this: &Try<'_>,
    (mut head, body): (Box<ResponseHead>, Handle),
    responder: &mut Responder<'_>,
    sending: &mut Sending<'_, impl Future<Output = Result<(), PumpError>>>,
) -> Result<(), Failure> {
    let worker = x.worker().clone();
    x.status = head.status;
    headers::towards_client(x, &mut head);
    this.choice.answered(this.peer, &mut head);
    stage::filter_response(x, &mut head);
    let from = Incoming::Http2(Http2Incoming::new(body));
    let framing = match (has_body(x.head.method, head.status), headers::content_length(&head.fields)) {
        (false, _) => BodyFraming::None,
        (true, Some(length)) => BodyFraming::Length(length),
        // Where it ended with its head it shall do so again: clients of gRPC tell that apart from empty content.
        (true, None) if from.is_done() && x.head.version == Version::Http2 => BodyFraming::None,
        (true, None) => BodyFraming::Chunked,
    };
    let (compressor, framing) = compressed::begin(x, &mut head, framing);
    let started = responder.start(x, &head, framing).await;
    worker.give_response(head);
    let mut out = started.map_err(|_| Failure::ClientClosed)?;
    let mut from = Shaped::apply(x, Compressed::apply(compressor, from));
    let result = {
        let mut passing = pin!(pump(&worker.deadlines, &mut from, &mut out, this.plan.answer_pace, &x.sent));
        let both = poll_fn(|cx| {
            let sent = sending.poll(cx);
            match passing.as_mut().poll(cx) {
                // A client that goes away shall not keep the backend busy until the next byte for it.
                Poll::Pending if sent => responder.poll_closed(cx).map(|()| Err(PumpError::gone())),
                result => result,
            }
        });
        until(this.plan.deadline, both).await
    };
    let Ok(result) = result else { return end_late(x, out, framing).await };
    worker.give_text(out);
    result.map_err(|error| {
        let (failure, reason) = broken_answer(&error);
        x.reason = Some(reason);
        failure
    })
}

/// Ends an answer in the middle of which the client's time is over: in trailers if there can be any.
async fn end_late(x: &mut Exchange<'_>, mut out: Outgoing<'_>, framing: BodyFraming) -> Result<(), Failure> {
    x.reason = Some(Failure::Deadline.reason());
    if !matches!((&out, framing), (Outgoing::Http2(_), BodyFraming::Chunked)) {
        return Err(Failure::Deadline);
    }
    let trailers = grpc_timeout::trailers();
    let ended = x.worker().deadlines.within(LAST_WORDS, out.finish(&trailers)).await;
    ended.is_ok_and(|ended| ended.is_ok()).then_some(()).ok_or(Failure::Deadline)
}

/// Writes the head of the request; `Host` becomes `:authority`. `length` is what is known of its body.
fn write_head(x: &Exchange<'_>, this: &Try<'_>, length: Option<u64>, out: &mut HeadWriter<'_>) {
    // `te: trailers` is the only hop-by-hop field left, and HTTP/2 allows it (RFC 9113 §8.2.2).
    const LEFT_OUT: KnownSet =
        KnownSet::HOP_BY_HOP.without(KnownSet::of(&[Known::Te])).with(KnownSet::of(&[Known::Host]));
    let scheme = if this.peer.tls.is_some() { Scheme::Https } else { Scheme::Http };
    // A filter may have changed the host; without any the field holds the address.
    let authority = x.head.fields.get(Known::Host).unwrap_or_default();
    let method = x.head.method_name();
    match x.head.query() {
        None => out.request(method, scheme.as_str(), authority, x.head.path()),
        Some(query) => {
            let mut target = x.worker().buffers.take_text();
            target.extend_from_slice(x.head.path());
            target.push(b'?');
            push_query(&mut target, query);
            out.request(method, scheme.as_str(), authority, &target);
            x.worker().buffers.give_text(target);
        }
    }
    out.fields(&x.head.fields, LEFT_OUT);
    if length == Some(0) && announces_nothing(x.head.method) && !x.head.fields.contains(Known::ContentLength)
    {
        out.length(0);
    }
}

/// Whether a request with this method that has no body says so (RFC 9110 §8.6): those do whose content means something.
fn announces_nothing(method: Method) -> bool {
    !matches!(method, Method::Get | Method::Head | Method::Delete | Method::Connect)
}

/// HTTP/1.1 clients send bytes in a query that are none of a URI; escaped they mean the same.
fn push_query(path: &mut Vec<u8>, query: &[u8]) {
    for byte in query {
        match byte {
            b'"' | b'<' | b'>' | 0..=0x20 | 0x7f.. => path.extend(format!("%{byte:02X}").bytes()),
            byte => path.push(*byte),
        }
    }
}
