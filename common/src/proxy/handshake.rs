//! Handshake: how TLS of a client begins, and whether it ends here or at an endpoint of the host that it names.

use std::{io, sync::Arc, time::Duration};

use rustls::ServerConfig;
use rustls_pki_types::UnixTime;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{
    client_tls::LiveVerification,
    exchange::{Client, ClientTls},
    hello::Hello,
    live::LiveRoute,
};
use crate::{
    http1::{Socket, Stream},
    routing::Passthrough,
};

/// What became of how a client began.
pub enum Shaken {
    /// TLS ends here; with what it says of the connection, and whether HTTP/2 is spoken.
    Here(Stream, ClientTls, bool),
    /// It ends at an endpoint.
    Beyond(Passed),
    /// Nothing; the client has been told.
    Failed,
}

/// A connection whose TLS does not end here, with all that its client has sent.
pub struct Passed {
    /// The connection.
    pub socket: Socket,
    /// The name in SNI.
    pub name: String,
    /// Where it goes.
    pub to: Passthrough<LiveRoute>,
}

/// How TLS began, before it is looked at closer.
enum Begun {
    Here(Box<TlsStream<Socket>>, Option<Arc<LiveVerification>>),
    Beyond(Passed),
}

/// Shakes hands within this time, or finds out that an endpoint shall.
pub async fn shake(client: &Client, limit: Duration, socket: Socket) -> Shaken {
    let metrics = &client.bound.metrics;
    let Some(tls) = client.bound.tls.clone() else { return Shaken::Failed };
    let (verifies, passes) = looks(client);
    let accepting = async {
        match verifies || passes {
            false => Ok(Begun::Here(Box::new(TlsAcceptor::from(tls).accept(socket).await?), None)),
            true => begin(client, tls, (socket, passes)).await,
        }
    };
    let (stream, verification) = match client.worker.deadlines.within(limit, accepting).await {
        Ok(Ok(Begun::Here(stream, verification))) => (stream, verification),
        Ok(Ok(Begun::Beyond(passed))) => return Shaken::Beyond(passed),
        Ok(Err(error)) => {
            tracing::debug!(client = %client.address, %error, "TLS handshake failed");
            metrics.handshake_failed("failed");
            return Shaken::Failed;
        }
        Err(_) => {
            metrics.handshake_failed("timeout");
            return Shaken::Failed;
        }
    };
    metrics.handshake();
    let (_, session) = stream.get_ref();
    let server_name = session.server_name().map(|name| name.to_ascii_lowercase().into_boxed_str());
    let is_http2 = session.alpn_protocol() == Some(b"h2");
    let version = match session.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "TLSv1.3",
    };
    let shown = verification
        .map(|verification| Box::new(verification.look_at(session.peer_certificates(), UnixTime::now())));
    let tls = ClientTls { server_name, version, shown };
    Shaken::Here(Stream::TlsServer(stream), tls, is_http2)
}

/// Whether it depends on the name that a client sends how it is verified, and where its TLS ends. Where neither does
/// nobody looks at the name first.
fn looks(client: &Client) -> (bool, bool) {
    let live = client.worker.live();
    let Some(listener) = client.listener(&live) else { return (false, false) };
    (listener.table.verifies_clients(), listener.table.passes_tls_through())
}

/// Begins with a look at the name: a host may hand its connections on, or ask its clients for a certificate.
async fn begin(
    client: &Client,
    usual: Arc<ServerConfig>,
    (socket, passes): (Socket, bool),
) -> io::Result<Begun> {
    let hello = Hello::read(socket, passes).await?;
    let name = hello.server_name();
    let (to, wanted) = {
        let live = client.worker.live();
        let table = client.listener(&live).map(|listener| &listener.table);
        (
            table.and_then(|table| table.find_passthrough(name.as_bytes()).cloned()),
            table.and_then(|table| table.find_verification(name.as_bytes()).cloned()),
        )
    };
    if let Some(to) = to {
        return Ok(Begun::Beyond(Passed { socket: hello.give_back()?, name, to }));
    }
    let Some(wanted) = wanted else {
        let stream = hello.handshake().into_stream(usual).await?;
        return Ok(Begun::Here(Box::new(stream), None));
    };
    let verifiers = &client.worker.shared.verifiers;
    let verification = verifiers.get((client.bound.index, &usual), &wanted).map_err(io::Error::other)?;
    let stream = hello.handshake().into_stream(verification.settings.clone()).await?;
    Ok(Begun::Here(Box::new(stream), Some(verification)))
}
