//! Tcp: carries the bytes of a connection that speaks no HTTP to a backend and back.

use super::{
    body::Incoming,
    exchange::{Client, Exchange},
    reach::{Reached, reach},
    respond::Failure,
    responder::Responder,
    shedding,
    upgrade::join,
};
use crate::{
    http1::{BodyFraming, BodyState, Connection, Socket, Stream},
    message::Version,
    model::Limits,
};

/// What stands in place of a method in the record of a TCP connection.
const METHOD: &[u8] = b"TCP";

/// Serves a connection until both sides have ended, one breaks or both are silent for too long; says why it ended.
///
/// Its record has the status that `CONNECT` would have had: 200 if an endpoint was reached. When its listener leaves it
/// goes on: it has no request after which it could end. While the engine drains it may last up to the deadline.
pub async fn serve(client: &Client, limits: &Limits, socket: Socket) -> &'static str {
    let local = socket.tcp().local_addr();
    let mut head = client.worker.take_request();
    head.version = Version::None;
    head.set_method(METHOD);
    if let Ok(local) = local {
        head.set_target(local.to_string().as_bytes());
    }
    let mut x = Exchange::new(client, head);
    let mut near = Connection::new(Stream::Plain(socket), client.worker.buffers.clone());
    let result = match connect(&mut x).await {
        Ok(reached) => {
            x.status = 200;
            carry(&x, limits, &mut near, reached).await
        }
        Err(failure) => {
            x.status = failure.status();
            Err(failure.reason())
        }
    };
    let Err(reason) = result else { return "done" };
    x.reason = Some(reason);
    // A plain end would look as if all had been said.
    near.reset_on_drop();
    reason
}

async fn connect(x: &mut Exchange<'_>) -> Result<Reached, Failure> {
    let live = x.worker().live();
    let route = x.client.listener(&live).and_then(|listener| listener.tcp.clone());
    drop(live);
    x.set_route(route.ok_or(Failure::NoRoute)?);
    shedding::admit(x)?;
    reach(x, &mut Responder::Nobody).await
}

async fn carry(
    x: &Exchange<'_>,
    limits: &Limits,
    near: &mut Connection,
    reached: Reached,
) -> Result<(), &'static str> {
    let Reached { stream, open: _open, busy: _busy, limits: _limits } = reached;
    let mut far = Connection::new(stream, x.worker().buffers.clone());
    let mut state = BodyState::new(BodyFraming::UntilClose);
    let (reader, writer) = near.split(&mut state);
    let result = join(x, limits.tunnel_idle, (&mut Incoming::Http1(reader), writer), &mut far).await;
    if result.is_err() {
        far.reset_on_drop();
    }
    result
}
