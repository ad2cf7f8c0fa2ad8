//! Upgrade: after a backend's 101 the two connections become one tunnel.

use std::{cell::Cell, pin::pin, time::Duration};

use futures_util::future::{Either, select};

use super::{
    body::{Incoming, Outgoing, Pace, PumpError, pump},
    exchange::Exchange,
    responder::Responder,
};
use crate::{
    http1::{BodyFraming, BodyState, BodyWriter},
    upstream::Http1Link,
};

/// Carries bytes both ways until both sides have ended, or one breaks or both are silent for too long.
pub async fn tunnel(
    x: &Exchange<'_>,
    idle: Duration,
    client: &mut Incoming<'_>,
    responder: &mut Responder<'_>,
    mut upstream: Http1Link,
) {
    let Responder::Http1(responder) = responder else { return };
    responder.keep_alive = false;
    if let Incoming::Http1(reader) = client {
        reader.begin(0, BodyFraming::UntilClose);
    }
    let mut state = BodyState::new(BodyFraming::UntilClose);
    let (reader, upstream_writer) = upstream.connection.split(&mut state);
    let client_writer = responder.writer;
    let up = async {
        let mut to = Outgoing::Http1(BodyWriter::new(upstream_writer, Vec::new(), BodyFraming::UntilClose));
        carry(x, idle, client, &mut to, &x.received).await && upstream_writer.shutdown().await.is_ok()
    };
    let down = async {
        let mut from = Incoming::Http1(reader);
        let mut to = Outgoing::Http1(BodyWriter::new(client_writer, Vec::new(), BodyFraming::UntilClose));
        carry(x, idle, &mut from, &mut to, &x.sent).await && client_writer.shutdown().await.is_ok()
    };
    // One side that ends well leaves the other to finish; one that breaks ends both.
    match select(pin!(up), pin!(down)).await {
        Either::Left((true, down)) => drop(down.await),
        Either::Right((true, up)) => drop(up.await),
        _ => {}
    }
}

/// Carries bytes one way; says whether that side ended well. Its silence does no harm while the other way carries
/// something: a client that only listens is no idle one.
async fn carry(
    x: &Exchange<'_>,
    idle: Duration,
    from: &mut Incoming<'_>,
    to: &mut Outgoing<'_>,
    moved: &Cell<u64>,
) -> bool {
    let pace = Pace { idle, min_rate_bytes: 0, stall: idle };
    loop {
        let before = (x.received.get(), x.sent.get());
        match pump(&x.worker().deadlines, from, to, pace, moved).await {
            Ok(()) => return true,
            Err(PumpError::ReadTimeout) if (x.received.get(), x.sent.get()) != before => {}
            Err(_) => return false,
        }
    }
}
