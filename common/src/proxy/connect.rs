//! Connect: answers `CONNECT` with a tunnel to a backend of the route (RFC 9110 §9.3.6).

use std::{future::poll_fn, task::Poll};

use super::{
    body::Incoming,
    carry::carry,
    exchange::Exchange,
    reach::{Reached, reach},
    respond::{Failure, add_own_fields},
    responder::Responder,
    upgrade,
};
use crate::{
    http1::{BodyFraming, Connection},
    http2::{Broken, Http2Tunnel},
    message::ResponseHead,
    model::Listener,
    upstream::Http1Link,
};

/// Connects to a backend of the route that was found for the target, answers 200 and carries bytes both ways until
/// both sides have ended, one breaks or both are silent for too long. Where the target itself points is never asked.
///
/// # Errors
/// What the client is to be told, unless the answer has started.
pub async fn serve(
    x: &mut Exchange<'_>,
    listener: &Listener,
    body: &mut Incoming<'_>,
    responder: &mut Responder<'_>,
) -> Result<(), Failure> {
    if !body.is_done() {
        // Content has no meaning here; it could be taken for what the tunnel carries.
        return Err(Failure::ClientBody);
    }
    let reached = reach(x, responder).await?;
    x.status = 200;
    let mut head = x.worker().take_response();
    head.status = x.status;
    add_own_fields(x, &mut head);
    let started = start(x, &head, responder).await;
    x.worker().give_response(head);
    started?;
    let idle = listener.limits.tunnel_idle;
    let result = match responder {
        Responder::Http1(_) => through_http1(x, idle, (body, responder), reached).await,
        Responder::Http2(answer) => match answer.tunnel.take() {
            Some(tunnel) => through_http2(x, idle, tunnel, reached).await,
            None => Err("tunnel_broken"),
        },
        // Nobody asks for a tunnel.
        Responder::Nobody | Responder::Fields(_) => Err("tunnel_broken"),
    };
    x.reason = result.err();
    Ok(())
}

/// Answers that the tunnel is there; no framing, as what follows is no content (RFC 9112 §6.3).
async fn start(x: &Exchange<'_>, head: &ResponseHead, responder: &mut Responder<'_>) -> Result<(), Failure> {
    let write = async {
        let mut out = responder.start(x, head, BodyFraming::None).await.map_err(|_| Failure::ClientClosed)?;
        out.flush().await.map_err(|_| Failure::ClientClosed)?;
        x.worker().give_text(out);
        Ok(())
    };
    x.worker().deadlines.within(x.write_stall(), write).await.unwrap_or(Err(Failure::ClientClosed))
}

async fn through_http1(
    x: &Exchange<'_>,
    idle: std::time::Duration,
    (body, responder): (&mut Incoming<'_>, &mut Responder<'_>),
    reached: Reached,
) -> Result<(), &'static str> {
    let Reached { stream, open, busy: _busy, limits: (_entered, slot) } = reached;
    let link =
        Box::new(Http1Link { connection: Connection::new(stream, x.worker().buffers.clone()), open, slot });
    Box::pin(upgrade::tunnel(x, idle, body, responder, link)).await
}

async fn through_http2(
    x: &Exchange<'_>,
    idle: std::time::Duration,
    mut near: Http2Tunnel,
    reached: Reached,
) -> Result<(), &'static str> {
    let Reached { stream: mut far, open: _open, busy: _busy, limits: _limits } = reached;
    let stream = near.stream().clone();
    let mut carrying =
        Box::pin(carry(&x.worker().deadlines, idle, (&mut near, &mut far), (&x.received, &x.sent)));
    poll_fn(|cx| match carrying.as_mut().poll(cx) {
        Poll::Pending => match stream.poll_broken(cx) {
            // What the client sent before its connection ended is still carried.
            Poll::Ready(Broken::Closed) if !stream.is_end() => Poll::Pending,
            Poll::Ready(_) => Poll::Ready(Err("tunnel_broken")),
            Poll::Pending => Poll::Pending,
        },
        done => done,
    })
    .await
}
