//! Sends a request to an endpoint over HTTP/1.1 and passes the answer on.

use std::{
    cell::Cell,
    future::poll_fn,
    pin::pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use super::{
    attempt::{Progress, Try, TryError, open},
    body::{Incoming, Outgoing, Pace, PumpError, pump},
    compressed::{self, Compressed},
    error_pages,
    exchange::Exchange,
    headers, http,
    respond::Failure,
    responder::{Responder, has_body},
    sending::Sending,
    shaped::Shaped,
    turn::{self, Turn},
    until::until,
    upgrade,
};
use crate::{
    http1::{
        BodyError, BodyFraming, BodyReader, BodyState, BodyWriter, Connection, HeadLimits, Persistence,
        ResponseStart, encode_request, parse_response,
    },
    message::{Known, RequestHead, ResponseHead},
    runtime::deadline::Deadlines,
    upstream::Http1Link,
};

/// How long a body that the client holds back (`Expect: 100-continue`) waits for the backend's word; one that does
/// not know of such waits would never give it (RFC 9110 §10.1.1).
const EXPECT_WAIT: Duration = Duration::from_secs(1);

/// Whether a request that asks for an upgrade may get it: HTTP/2 over an upgrade never (RFC 9113 §3.1).
pub fn may_upgrade(head: &RequestHead) -> bool {
    !head.fields.all(Known::Upgrade).any(|value| crate::message::lists(value, b"h2c"))
}

/// Sends the request over a connection to the peer, pooled or new, and passes the answer on.
///
/// # Errors
/// What failed and how far it had got.
pub async fn send(
    x: &mut Exchange<'_>,
    this: &Try<'_>,
    body: &mut Incoming<'_>,
    responder: &mut Responder<'_>,
) -> Result<(), TryError> {
    let pooled = if this.fresh { None } else { x.worker().pool.take(this.peer) };
    let turn = match pooled {
        Some(link) => Turn::Reuse(link),
        None => turn::http1(x, this).await?,
    };
    let reused = matches!(turn, Turn::Reuse(_));
    let mut link = match turn {
        Turn::Reuse(link) => {
            x.worker().shared.metrics.upstream.reused.inc();
            link
        }
        Turn::Open(slot) => {
            let (stream, open) = open(x, this).await?;
            // In a box, as it is handed on for every request.
            Box::new(Http1Link {
                connection: Connection::new(stream, x.worker().buffers.clone()),
                open,
                slot,
            })
        }
    };
    this.choice.begin();
    let answer = x.worker().take_response();
    let mut hop = Hop { x, this, reused, answer, answer_by: None };
    let result = hop.exchange(&mut link.connection, body, responder).await;
    let Hop { x, answer, .. } = hop;
    x.worker().give_response(answer);
    match result? {
        // Whether more comes, or its end, is seen when it is taken again.
        After::Reusable if link.connection.input().is_empty() => x.worker().pool.give(this.peer, link),
        After::Dropped { status, reusable } => {
            if reusable && link.connection.input().is_empty() {
                x.worker().pool.give(this.peer, link);
            }
            return Err(Try::dropped(status));
        }
        After::Replaced { status, reusable } => {
            if reusable && link.connection.input().is_empty() {
                x.worker().pool.give(this.peer, link);
            }
            return Err(Try::replaced(status));
        }
        After::Reusable | After::Closed => {}
        After::Tunnel => {
            // The answer to the request was the backend's, whatever becomes of the tunnel.
            let _ = Box::pin(upgrade::tunnel(x, this.plan.tunnel_idle, body, responder, link)).await;
        }
    }
    Ok(())
}

/// What can be done with the connection after the answer.
enum After {
    Reusable,
    Closed,
    /// The answer is not for the client, who is to get another one.
    Dropped {
        /// Its status.
        status: u16,
        /// Nothing of it is still under way.
        reusable: bool,
    },
    /// The answer is not for the client, who is to get the page of another backend.
    Replaced {
        /// Its status.
        status: u16,
        /// Nothing of it is still under way.
        reusable: bool,
    },
    /// The backend switched protocols and the client knows.
    Tunnel,
}

/// One request on one connection.
struct Hop<'a, 'c, 't> {
    x: &'a mut Exchange<'c>,
    this: &'a Try<'t>,
    reused: bool,
    answer: Box<ResponseHead>,
    /// When the final answer must have begun; set once the request is sent.
    answer_by: Option<AnswerBy>,
}

/// When an answer must have begun.
#[derive(Clone, Copy)]
struct AnswerBy {
    /// By the clock of the worker's deadlines.
    coarse: Duration,
    /// The moment itself, where time is counted out.
    exact: Option<Instant>,
}

impl Hop<'_, '_, '_> {
    async fn exchange(
        &mut self,
        connection: &mut Connection,
        body: &mut Incoming<'_>,
        responder: &mut Responder<'_>,
    ) -> Result<After, TryError> {
        let framing = request_framing(&self.x.head, body);
        let worker = self.x.worker().clone();
        let mut text = worker.buffers.take_text();
        let persistence = self.persistence(framing);
        encode_request(&self.x.head, framing, persistence, &mut text);
        let mut state = BodyState::default();
        let (mut reader, writer) = connection.split(&mut state);
        let received = self.x.received.clone();
        let mut out = Outgoing::Http1(BodyWriter::new(writer, text, framing));
        let pace = self.this.plan.request_pace;
        let wanted = &Cell::new(false);
        let held = body.awaits_greeting();
        let future = pin!(async {
            if held {
                hold(&worker.deadlines, &mut out, pace, wanted).await?;
            }
            let result = pump(&worker.deadlines, body, &mut out, pace, &received).await;
            worker.give_text(out);
            result
        });
        let mut sending = Sending::new(future);
        let start = self.answer_head(&mut sending, wanted, &mut reader, responder).await;
        self.x.received.set(received.get());
        let start = start.map_err(|error| error.unless_sent(writer.written().get() > 0))?;
        if self.answer.status == 101 {
            return self.switch(responder).await;
        }
        let goes_on = |start: ResponseStart| start.keep_alive && persistence != Persistence::Close;
        let (drops, status) = (self.this.drops(self.x, &self.answer), self.answer.status);
        if drops || error_pages::replaces(self.x, status) {
            // What is still under way of it is not waited for.
            let ended = matches!(sending.result(), Some(Ok(()))) && goes_on(start);
            let reusable = Incoming::Http1(reader).discard_arrived() && ended;
            if drops {
                return Ok(After::Dropped { status, reusable });
            }
            self.x.keep_challenges(&self.answer);
            return Ok(After::Replaced { status, reusable });
        }
        if !matches!(sending.result(), Some(Ok(()))) {
            // The answer came before the whole request was sent: what is left of it is sent while the answer
            // lasts, but the client's connection cannot go on behind it.
            responder.close_after();
        }
        if held && !wanted.get() && sending.result().is_none() {
            // The backend does without the body, and the client must not be asked for it in the middle of the answer.
            sending.abandon();
        }
        let passed = self.pass_on(&mut sending, (reader, start.body), responder).await;
        self.x.received.set(received.get());
        passed?;
        let clean = matches!(sending.result(), Some(Ok(()))) && goes_on(start);
        Ok(if clean { After::Reusable } else { After::Closed })
    }

    /// What is said of the connection. A backend that does not look for a body with this method would take it for
    /// another request (RFC 9110 §9.3.1), so it is told to read no further, and the connection is not used again.
    fn persistence(&self, body: BodyFraming) -> Persistence {
        match body.has_body() && !self.x.head.method.usually_has_body() {
            true => Persistence::Close,
            false if self.this.plan.upgrade => Persistence::Upgrade,
            false => Persistence::KeepAlive,
        }
    }

    /// Sends the request while waiting for the head of the final answer.
    async fn answer_head(
        &mut self,
        sending: &mut Sending<'_, impl Future<Output = Result<(), PumpError>>>,
        wanted: &Cell<bool>,
        reader: &mut BodyReader<'_>,
        responder: &mut Responder<'_>,
    ) -> Result<ResponseStart, TryError> {
        for _ in 0..=ResponseHead::MOST_INTERIM {
            let head = self.next_head(sending, reader, responder).await?;
            reader.begin(head.head_bytes, head.body);
            match self.answer.status {
                101 if !self.this.plan.upgrade => break,
                101 | 200..=999 => return Ok(head),
                100 => wanted.set(true),
                _ => {
                    headers::strip_interim(&mut self.answer);
                    let passed = responder.interim(self.x, &self.answer).await;
                    passed.map_err(|_| self.error(Failure::ClientClosed, Progress::Answered))?;
                }
            }
        }
        Err(self.error(Failure::UpstreamProtocol, Progress::Answered))
    }

    async fn next_head(
        &mut self,
        sending: &mut Sending<'_, impl Future<Output = Result<(), PumpError>>>,
        reader: &mut BodyReader<'_>,
        responder: &mut Responder<'_>,
    ) -> Result<ResponseStart, TryError> {
        let method = self.x.head.method;
        // While the request is being sent, its own limits hold.
        let early = poll_fn(|cx| {
            let sent = sending.poll(cx);
            if matches!(sending.result(), Some(Ok(()))) {
                return Poll::Ready(None);
            }
            match poll_head(cx, reader, method, &mut self.answer) {
                Poll::Ready(result) => Poll::Ready(Some(result)),
                Poll::Pending if sent => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
        let head = match early {
            Some(head) => head,
            None => {
                check_sent(sending.result()).map_err(|failure| self.error(failure, Progress::Answered))?;
                self.late_head(reader, responder).await?
            }
        };
        head.map_err(|error| match error {
            HeadError::Closed => self.error(Failure::UpstreamClosed, Progress::Sent),
            HeadError::Malformed => self.error(Failure::UpstreamProtocol, Progress::Answered),
        })
    }

    /// Waits for a head after the whole request has been sent.
    async fn late_head(
        &mut self,
        reader: &mut BodyReader<'_>,
        responder: &mut Responder<'_>,
    ) -> Result<Result<ResponseStart, HeadError>, TryError> {
        let method = self.x.head.method;
        self.this.choice.sent();
        let (this, deadlines) = (self.this, &self.x.worker().deadlines);
        let by = *self.answer_by.get_or_insert_with(|| AnswerBy {
            coarse: deadlines.now().saturating_add(this.answer_limit),
            exact: this.plan.exact_end(this.answer_limit),
        });
        let wait = poll_fn(|cx| match poll_head(cx, reader, method, &mut self.answer) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending => responder.poll_closed(cx).map(|()| None),
        });
        let wait = deadlines.within_looking(by.coarse.saturating_sub(deadlines.now()), wait);
        match until(by.exact, wait).await {
            Ok(Ok(Some(head))) => Ok(head),
            Ok(Ok(None)) => Err(self.error(Failure::ClientClosed, Progress::Answered)),
            Ok(Err(_)) | Err(_) => Err(self.error(Failure::RequestTimeout, Progress::Sent)),
        }
    }

    /// Passes the final answer on, and what is left of the request.
    async fn pass_on(
        &mut self,
        sending: &mut Sending<'_, impl Future<Output = Result<(), PumpError>>>,
        (reader, framing): (BodyReader<'_>, BodyFraming),
        responder: &mut Responder<'_>,
    ) -> Result<(), TryError> {
        self.x.status = self.answer.status;
        headers::towards_client(self.x, &mut self.answer);
        self.this.choice.answered(self.this.peer, &mut self.answer);
        http::filter_response(self.x, &mut self.answer);
        let has_body = has_body(self.x.head.method, self.answer.status);
        let framing = if has_body { framing } else { BodyFraming::None };
        let (compressor, framing) = compressed::begin(self.x, &mut self.answer, framing);
        let started = responder.start(self.x, &self.answer, framing).await;
        let mut out = started.map_err(|_| self.error(Failure::ClientClosed, Progress::Answered))?;
        let worker = self.x.worker().clone();
        let mut from = Shaped::apply(self.x, Compressed::apply(compressor, Incoming::Http1(reader)));
        let result = {
            let pace = self.this.plan.answer_pace;
            let mut passing = pin!(pump(&worker.deadlines, &mut from, &mut out, pace, &self.x.sent));
            poll_fn(|cx| {
                let sent = sending.poll(cx);
                match passing.as_mut().poll(cx) {
                    // A client that goes away shall not keep the backend busy until the next byte for it.
                    Poll::Pending if sent => responder.poll_closed(cx).map(|()| Err(PumpError::gone())),
                    result => result,
                }
            })
            .await
        };
        worker.give_text(out);
        result.map_err(|error| {
            let (failure, reason) = broken_answer(&error);
            self.x.reason = Some(reason);
            self.error(failure, Progress::Answered)
        })
    }

    /// Passes a 101 on; the tunnel follows.
    async fn switch(&mut self, responder: &mut Responder<'_>) -> Result<After, TryError> {
        self.x.status = 101;
        headers::towards_client(self.x, &mut self.answer);
        let gone = |hop: &Self| hop.error(Failure::ClientClosed, Progress::Answered);
        let mut out =
            responder.start(self.x, &self.answer, BodyFraming::None).await.map_err(|_| gone(self))?;
        let flushed = self.x.worker().deadlines.within(self.this.plan.request_pace.stall, out.flush()).await;
        if !matches!(flushed, Ok(Ok(()))) {
            return Err(gone(self));
        }
        self.x.worker().give_text(out);
        Ok(After::Tunnel)
    }

    fn error(&self, failure: Failure, progress: Progress) -> TryError {
        TryError { failure, progress, reused: self.reused }
    }
}

/// Sends the head alone and waits until the backend wants the body, or has had time enough to say so.
async fn hold(
    deadlines: &Deadlines,
    out: &mut Outgoing<'_>,
    pace: Pace,
    wanted: &Cell<bool>,
) -> Result<(), PumpError> {
    match deadlines.within(pace.stall, out.flush()).await {
        Ok(flushed) => flushed.map_err(PumpError::Write)?,
        Err(_) => return Err(PumpError::WriteTimeout),
    }
    // Polled again whenever something comes from the backend.
    let word = poll_fn(|_| if wanted.get() { Poll::Ready(()) } else { Poll::Pending });
    let _either_way = deadlines.within(EXPECT_WAIT, word).await;
    Ok(())
}

/// Whether sending failed on the client's side, so that no answer can help. If the backend took no more, it may
/// still answer.
pub fn check_sent(sent: Option<&Result<(), PumpError>>) -> Result<(), Failure> {
    match sent {
        Some(Err(PumpError::Read(BodyError::Chunk(_)))) => Err(Failure::ClientBody),
        Some(Err(PumpError::Read(BodyError::TooLarge))) => Err(Failure::BodyTooLarge),
        Some(Err(PumpError::Read(_))) => Err(Failure::ClientClosed),
        Some(Err(PumpError::ReadTimeout)) => Err(Failure::ClientBodyTimeout),
        Some(Err(PumpError::WriteTimeout)) => Err(Failure::RequestTimeout),
        Some(Err(PumpError::Write(_)) | Ok(())) | None => Ok(()),
    }
}

/// What to say of an answer that broke off after it had started.
pub fn broken_answer(error: &PumpError) -> (Failure, &'static str) {
    match error {
        PumpError::Read(_) => (Failure::UpstreamClosed, "upstream_broken"),
        PumpError::ReadTimeout => (Failure::RequestTimeout, "upstream_idle"),
        PumpError::Write(_) => (Failure::ClientClosed, "client_closed"),
        PumpError::WriteTimeout => (Failure::ClientClosed, "client_stalled"),
    }
}

enum HeadError {
    Closed,
    Malformed,
}

/// Limits of an answer's head: more generous than those of a request, as backends are ours.
const ANSWER_LIMITS: HeadLimits = HeadLimits {
    head_bytes: 64 << 10,
    fields: 256,
    target_bytes: 0,
    drop_underscore_fields: false,
    reject_escaped_slash: false,
};

fn poll_head(
    cx: &mut Context<'_>,
    reader: &mut BodyReader<'_>,
    method: crate::message::Method,
    answer: &mut ResponseHead,
) -> Poll<Result<ResponseStart, HeadError>> {
    loop {
        if !reader.input().is_empty() {
            match parse_response(reader.input(), &ANSWER_LIMITS, method, answer) {
                Ok(Some(start)) => return Poll::Ready(Ok(start)),
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(%error, "malformed answer");
                    return Poll::Ready(Err(HeadError::Malformed));
                }
            }
        }
        let begun = !reader.input().is_empty();
        match ready!(reader.poll_fill(cx)) {
            Ok(count) if count > 0 => {}
            _ if begun => return Poll::Ready(Err(HeadError::Malformed)),
            _ => return Poll::Ready(Err(HeadError::Closed)),
        }
    }
}

/// How the body of a request is framed towards the backend.
fn request_framing(head: &RequestHead, body: &Incoming<'_>) -> BodyFraming {
    if body.is_done() {
        // A length of 0 that the client gave is passed on.
        let given = head.fields.contains(Known::ContentLength);
        return if given { BodyFraming::Length(0) } else { BodyFraming::None };
    }
    headers::content_length(&head.fields).map_or(BodyFraming::Chunked, BodyFraming::Length)
}
