//! Upgrade: two connections become one tunnel, after a backend's 101 or our answer to `CONNECT`.

use std::{cell::Cell, pin::pin, time::Duration};

use futures_util::future::{Either, select};

use super::{
    body::{Incoming, Outgoing, Pace, PumpError, pump},
    exchange::Exchange,
    responder::Responder,
};
use crate::{
    http1::{BodyFraming, BodyState, BodyWriter, Connection, Writer},
    upstream::{Http1Link, give_up_after},
};

/// One side broke off.
const BROKEN: &str = "tunnel_broken";

/// Carries bytes both ways between a client whose answer has started and a backend.
///
/// # Errors
/// As [`join`].
pub async fn tunnel(
    x: &Exchange<'_>,
    idle: Duration,
    client: &mut Incoming<'_>,
    responder: &mut Responder<'_>,
    mut upstream: Box<Http1Link>,
) -> Result<(), &'static str> {
    let Responder::Http1(responder) = responder else { return Ok(()) };
    responder.keep_alive = false;
    if let Incoming::Http1(reader) = client {
        reader.begin(0, BodyFraming::UntilClose);
    }
    // Who is busy with what came through a tunnel may not read on for a long time.
    give_up_after(&upstream.connection.tcp(), None);
    join(x, idle, (client, responder.writer), &mut upstream.connection).await
}

/// Carries bytes both ways until both sides have ended, or one breaks or both are silent for too long.
///
/// # Errors
/// The reason why it did not end well.
pub async fn join(
    x: &Exchange<'_>,
    idle: Duration,
    (client, client_writer): (&mut Incoming<'_>, Writer<'_>),
    upstream: &mut Connection,
) -> Result<(), &'static str> {
    let mut state = BodyState::new(BodyFraming::UntilClose);
    let (reader, upstream_writer) = upstream.split(&mut state);
    let up = async {
        let mut to = Outgoing::Http1(BodyWriter::new(upstream_writer, Vec::new(), BodyFraming::UntilClose));
        carry(x, idle, client, &mut to, &x.received).await?;
        upstream_writer.shutdown().await.map_err(|_| BROKEN)
    };
    let down = async {
        let mut from = Incoming::Http1(reader);
        let mut to = Outgoing::Http1(BodyWriter::new(client_writer, Vec::new(), BodyFraming::UntilClose));
        carry(x, idle, &mut from, &mut to, &x.sent).await?;
        client_writer.shutdown().await.map_err(|_| BROKEN)
    };
    // One side that ends well leaves the other to finish; one that breaks ends both.
    match select(pin!(up), pin!(down)).await {
        Either::Left((Ok(()), down)) => down.await,
        Either::Right((Ok(()), up)) => up.await,
        Either::Left((broken, _)) | Either::Right((broken, _)) => broken,
    }
}

/// Carries bytes one way; says why that side did not end well. Its silence does no harm while the other way carries
/// something: a client that only listens is no idle one.
async fn carry(
    x: &Exchange<'_>,
    idle: Duration,
    from: &mut Incoming<'_>,
    to: &mut Outgoing<'_>,
    moved: &Cell<u64>,
) -> Result<(), &'static str> {
    let pace = Pace { idle, min_rate_bytes: 0, stall: idle };
    loop {
        let before = (x.received.get(), x.sent.get());
        match pump(&x.worker().deadlines, from, to, pace, moved).await {
            Ok(()) => return Ok(()),
            Err(PumpError::ReadTimeout) if (x.received.get(), x.sent.get()) != before => {}
            Err(PumpError::ReadTimeout | PumpError::WriteTimeout) => return Err("tunnel_idle"),
            Err(PumpError::Read(_) | PumpError::Write(_)) => return Err(BROKEN),
        }
    }
}
