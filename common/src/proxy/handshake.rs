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
    let depends = Depends::of(client);
    let accepting = async {
        match depends.anything() {
            false => Ok(Begun::Here(Box::new(TlsAcceptor::from(tls).accept(socket).await?), None)),
            true => begin(client, tls, (socket, depends)).await,
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

/// What depends on the name that a client sends. Where nothing does nobody looks at it first.
#[derive(Clone, Copy, Default)]
struct Depends {
    /// Whether it is verified.
    verified: bool,
    /// Whether its TLS ends at an endpoint.
    passed: bool,
    /// Whether it is refused.
    refused: bool,
}

impl Depends {
    fn of(client: &Client) -> Self {
        let live = client.worker.live();
        let Some(listener) = client.listener(&live) else { return Self::default() };
        Self {
            verified: listener.table.verifies_clients(),
            passed: listener.table.passes_tls_through(),
            refused: listener.settings.refuse_unknown_names,
        }
    }

    fn anything(self) -> bool {
        self.verified || self.passed || self.refused
    }
}

/// Begins with a look at the name: a host may hand its connections on, or ask its clients for a certificate, and there
/// may be none.
async fn begin(
    client: &Client,
    usual: Arc<ServerConfig>,
    (socket, depends): (Socket, Depends),
) -> io::Result<Begun> {
    let hello = Hello::read(socket, depends.passed).await?;
    let name = hello.server_name();
    let (to, wanted, is_known) = {
        let live = client.worker.live();
        let table = client.listener(&live).map(|listener| &listener.table);
        (
            table.and_then(|table| table.find_passthrough(name.as_bytes()).cloned()),
            table.and_then(|table| table.find_verification(name.as_bytes()).cloned()),
            table.is_some_and(|table| table.knows(name.as_bytes())),
        )
    };
    if depends.refused && !is_known {
        return hello.refuse().await;
    }
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
