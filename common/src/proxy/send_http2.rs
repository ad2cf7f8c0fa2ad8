//! Sends a request to an endpoint over HTTP/2 and passes the answer on, trailers included.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use http::{HeaderName, HeaderValue, Request, Uri};
use hyper_util::rt::{TokioIo, TokioTimer};

use super::{
    body::{Http2Incoming, Incoming, Outgoing, PumpError, pump},
    exchange::Exchange,
    forward::{Progress, Try, TryError, open},
    headers, http as stage,
    respond::Failure,
    responder::{Responder, has_body},
    send_http1::broken_answer,
    sending::Sending,
};
use crate::{
    http1::BodyFraming,
    http2::{ChannelBody, LocalExecutor, channel},
    message::{Known, ResponseHead},
    upstream::Http2Stream,
};

/// Flow-control window of a stream towards a backend.
const STREAM_WINDOW: u32 = 1 << 20;
/// Flow-control window of a connection towards a backend.
const CONNECTION_WINDOW: u32 = 4 << 20;
/// How often a connection with open streams is asked whether it is alive, and how long it may take to say so.
const PING: Duration = Duration::from_secs(20);

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
    let shared = if this.fresh { None } else { x.worker().pool.take_http2(this.peer) };
    let reused = shared.is_some();
    let mut stream = match shared {
        Some(stream) => {
            x.worker().shared.metrics.upstream.reused.inc();
            stream
        }
        None => connect(x, this).await?,
    };
    let error = |failure, progress| TryError { failure, progress, reused };
    let ready = x.worker().deadlines.within(this.backend.connect_timeout, stream.sender.ready()).await;
    if !matches!(ready, Ok(Ok(()))) {
        x.worker().pool.forget_http2(this.peer, &stream);
        return Err(error(Failure::UpstreamClosed, Progress::Nothing));
    }
    let length = if body.is_done() { Some(0) } else { content_length(x) };
    let (sender, outgoing) = channel(length);
    let request =
        request(x, this, outgoing).map_err(|_| error(Failure::UpstreamProtocol, Progress::Answered))?;
    let worker = x.worker().clone();
    let received = x.received.clone();
    let answering = stream.sender.send_request(request);
    let mut out = Outgoing::Http2(sender);
    let future = pin!(pump(&worker.deadlines, body, &mut out, this.plan.request_pace, &received));
    let mut sending = Sending::new(future);
    let answer = first_answer(answering, &mut sending, responder);
    let answer = worker.deadlines.within(this.answer_limit, answer).await;
    x.received.set(received.get());
    let answer = match answer {
        Ok(Some(Ok(answer))) => answer,
        Ok(Some(Err(broken))) => {
            tracing::debug!(error = %broken, "HTTP/2 request failed");
            if stream.sender.is_closed() {
                worker.pool.forget_http2(this.peer, &stream);
            }
            // Only a stream that the peer says it never looked at is as good as not sent (RFC 9113 §8.7).
            let progress = if broken.is_canceled() { Progress::Nothing } else { Progress::Sent };
            return Err(error(Failure::UpstreamClosed, progress));
        }
        Ok(None) => return Err(error(Failure::ClientClosed, Progress::Answered)),
        Err(_) => return Err(error(Failure::RequestTimeout, Progress::Answered)),
    };
    if sending.result().is_none() {
        responder.close_after();
    }
    let passed = pass_on(x, this, answer, responder, &mut sending).await;
    x.received.set(received.get());
    passed.map_err(|failure| error(failure, Progress::Answered))
}

async fn connect(x: &Exchange<'_>, this: &Try<'_>) -> Result<Http2Stream, TryError> {
    let (stream, _) = open(x, this).await?.into_parts();
    let handshake = hyper::client::conn::http2::Builder::new(LocalExecutor)
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .handshake(TokioIo::new(stream));
    let opened = x.worker().deadlines.within(this.backend.connect_timeout, handshake).await;
    let Ok(Ok((sender, connection))) = opened else {
        return Err(TryError { failure: Failure::Connect, progress: Progress::Nothing, reused: false });
    };
    x.worker().spawn("upstream http2", async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "HTTP/2 connection to an endpoint ended");
        }
    });
    Ok(x.worker().pool.share_http2(this.peer, sender))
}

/// Sends the request while waiting for the head of the answer; `None` if the client goes away meanwhile.
async fn first_answer<T>(
    answering: impl Future<Output = T>,
    sending: &mut Sending<'_, impl Future<Output = Result<(), PumpError>>>,
    responder: &mut Responder<'_>,
) -> Option<T> {
    let mut answering = pin!(answering);
    poll_fn(|cx| {
        let sent = sending.poll(cx);
        if let Poll::Ready(answer) = answering.as_mut().poll(cx) {
            return Poll::Ready(Some(answer));
        }
        match sent {
            true => responder.poll_closed(cx).map(|()| None),
            false => Poll::Pending,
        }
    })
    .await
}

async fn pass_on(
    x: &mut Exchange<'_>,
    this: &Try<'_>,
    answer: http::Response<hyper::body::Incoming>,
    responder: &mut Responder<'_>,
    sending: &mut Sending<'_, impl Future<Output = Result<(), PumpError>>>,
) -> Result<(), Failure> {
    let worker = x.worker().clone();
    let mut head = worker.take_response();
    let body = read_answer(answer, &mut head);
    x.status = head.status;
    headers::towards_client(x, &mut head);
    stage::filter_response(x, &mut head);
    let framing = match (has_body(x.head.method, head.status), content_length_of(&head)) {
        (false, _) => BodyFraming::None,
        (true, Some(length)) => BodyFraming::Length(length),
        (true, None) => BodyFraming::Chunked,
    };
    let started = responder.start(x, &head, framing).await;
    worker.give_response(head);
    let mut out = started.map_err(|_| Failure::ClientClosed)?;
    let mut from = Incoming::Http2(Http2Incoming::new(body));
    let result = {
        let mut passing = pin!(pump(&worker.deadlines, &mut from, &mut out, this.plan.answer_pace, &x.sent));
        poll_fn(|cx| {
            sending.poll(cx);
            passing.as_mut().poll(cx)
        })
        .await
    };
    worker.give_text(out);
    result.map_err(|error| {
        let (failure, reason) = broken_answer(&error);
        x.reason = Some(reason);
        failure
    })
}

/// The request in hyper's form; `Host` becomes `:authority`.
fn request(x: &Exchange<'_>, this: &Try<'_>, body: ChannelBody) -> Result<Request<ChannelBody>, http::Error> {
    let scheme = if this.peer.tls.is_some() { "https" } else { "http" };
    let authority = match x.head.authority() {
        [] => this.peer.address.to_string().into_bytes(),
        authority => authority.to_vec(),
    };
    let mut path = x.head.path().to_vec();
    if let Some(query) = x.head.query() {
        path.push(b'?');
        path.extend_from_slice(query);
    }
    let uri = Uri::builder().scheme(scheme).authority(&authority[..]).path_and_query(path).build()?;
    let mut request = Request::builder().method(x.head.method_name()).uri(uri).body(body)?;
    let map = request.headers_mut();
    for (known, name, value) in x.head.fields.iter_known() {
        // `te: trailers` is the only hop-by-hop field left, and HTTP/2 allows it (RFC 9113 §8.2.2).
        if known == Known::Host || (known.is_hop_by_hop() && known != Known::Te) {
            continue;
        }
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            map.append(name, value);
        }
    }
    Ok(request)
}

fn read_answer(
    answer: http::Response<hyper::body::Incoming>,
    head: &mut ResponseHead,
) -> hyper::body::Incoming {
    let (parts, body) = answer.into_parts();
    head.status = parts.status.as_u16();
    head.version = crate::message::Version::Http2;
    for (name, value) in &parts.headers {
        head.fields.push(name.as_ref(), value.as_bytes());
    }
    body
}

fn content_length(x: &Exchange<'_>) -> Option<u64> {
    std::str::from_utf8(x.head.fields.get(Known::ContentLength)?).ok()?.parse().ok()
}

fn content_length_of(head: &ResponseHead) -> Option<u64> {
    std::str::from_utf8(head.fields.get(Known::ContentLength)?).ok()?.parse().ok()
}
