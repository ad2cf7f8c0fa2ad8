//! Tcp: carries the bytes of a connection that speaks no HTTP, or TLS that ends behind us, to a backend and back.

use super::{
    body::Incoming,
    exchange::{Client, Exchange},
    handshake::Passed,
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
const TCP: &[u8] = b"TCP";
/// The same for TLS that does not end here.
const TLS: &[u8] = b"TLS";
/// What a request from an address that may not come is answered, and why.
const ADDRESS_DENIED: (u16, &str) = (403, "address_denied");

/// Serves a connection until both sides have ended, one breaks or both are silent for too long; says why it ended.
///
/// Its record has the status that `CONNECT` would have had: 200 if an endpoint was reached. When its listener leaves it
/// goes on: it has no request after which it could end. While the engine drains it may last up to the deadline.
pub async fn serve(client: &Client, limits: &Limits, socket: Socket) -> &'static str {
    let mut x = begin(client, &socket, TCP);
    let live = client.worker.live();
    let route = client.listener(&live).and_then(|listener| listener.tcp.clone());
    drop(live);
    match route {
        Some(route) => x.set_route(route),
        None => return refuse(&mut x, socket, told(Failure::NoRoute)),
    }
    tunnel(&mut x, limits, socket).await
}

/// The same for a connection under TLS whose host hands it on as it is. It goes on when the host does so no more.
pub async fn pass(client: &Client, limits: &Limits, passed: Passed) -> &'static str {
    let Passed { socket, name, to } = passed;
    let mut x = begin(client, &socket, TLS);
    x.head.set_authority(name.as_bytes(), name.as_bytes());
    x.brings_tls = true;
    x.set_route(to.route);
    match to.settings.lets_in(client.address.ip()) {
        true => tunnel(&mut x, limits, socket).await,
        false => refuse(&mut x, socket, ADDRESS_DENIED),
    }
}

fn begin<'c>(client: &'c Client, socket: &Socket, method: &[u8]) -> Exchange<'c> {
    let mut head = client.worker.take_request();
    head.version = Version::None;
    head.set_method(method);
    if let Ok(local) = socket.tcp().local_addr() {
        head.set_target(local.to_string().as_bytes());
    }
    Exchange::new(client, head)
}

async fn tunnel(x: &mut Exchange<'_>, limits: &Limits, socket: Socket) -> &'static str {
    let reached = match connect(x).await {
        Ok(reached) => reached,
        Err(failure) => return refuse(x, socket, told(failure)),
    };
    x.status = 200;
    let mut near = Connection::new(Stream::Plain(socket), x.worker().buffers.clone());
    let Err(reason) = carry(x, limits, &mut near, reached).await else { return "done" };
    x.reason = Some(reason);
    // A plain end would look as if all had been said.
    near.reset_on_drop();
    reason
}

async fn connect(x: &mut Exchange<'_>) -> Result<Reached, Failure> {
    shedding::admit(x)?;
    reach(x, &mut Responder::Nobody).await
}

fn told(failure: Failure) -> (u16, &'static str) {
    (failure.status(), failure.reason())
}

/// Resets a connection that leads nowhere; its record says why.
fn refuse(x: &mut Exchange<'_>, socket: Socket, (status, reason): (u16, &'static str)) -> &'static str {
    (x.status, x.reason) = (status, Some(reason));
    let near = Connection::new(Stream::Plain(socket), x.worker().buffers.clone());
    near.reset_on_drop();
    reason
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
