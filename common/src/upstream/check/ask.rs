//! Asking: one question to one endpoint on a connection of its own, and everything that may be wrong with the answer.

use std::io;

use futures_util::FutureExt;
use tokio::io::AsyncWriteExt;

use super::{
    grpc::{self, MessageError},
    http1, http2,
};
use crate::{
    http1::{ResponseError, Stream},
    model::{BackendProtocol, HealthCheck, HealthCheckKind},
    upstream::{ConnectError, Peer, connect},
};

/// Who we say we are.
pub(super) const USER_AGENT: &str = "selvedge-health";
/// Largest head of an answer, interim ones included, and largest answer of gRPC.
pub(super) const MOST_BYTES: usize = 64 << 10;

/// Why an answer is not a good one.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// There is no connection to ask on.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// It took too long.
    #[error("no answer in time")]
    Timeout,
    /// The connection ended.
    #[error("closed without an answer: {0}")]
    Closed(#[from] io::Error),
    /// The answer is not HTTP/1.1.
    #[error("the answer is not valid: {0}")]
    Response(#[from] ResponseError),
    /// HTTP/2 failed.
    #[error("HTTP/2 failed: {0}")]
    Http2(#[from] h2::Error),
    /// The status is none of the good ones.
    #[error("status {0}")]
    Status(u16),
    /// The call of gRPC failed.
    #[error("gRPC status {0}")]
    GrpcStatus(u32),
    /// What gRPC carried is no answer to the question.
    #[error("the answer is not valid: {0}")]
    Message(#[from] MessageError),
    /// The service does not serve; its status as the protocol numbers it.
    #[error("the service is not serving (status {0})")]
    NotServing(u64),
    /// The question cannot be sent as the check has it.
    #[error("path or host of the check cannot be sent")]
    Unsendable,
}

impl Fault {
    /// The machine-readable reason.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Connect(ConnectError::Tls(_)) => "tls",
            Self::Connect(ConnectError::Shortage(_)) => "shortage",
            Self::Connect(ConnectError::Timeout) | Self::Timeout => "timeout",
            Self::Connect(_) => "connect",
            Self::Closed(_) => "closed",
            Self::Response(_) | Self::Http2(_) | Self::Message(_) => "protocol",
            Self::Status(_) => "status",
            Self::GrpcStatus(_) => "grpc_status",
            Self::NotServing(_) => "not_serving",
            Self::Unsendable => "unsendable",
        }
    }

    /// Whether it says anything of the endpoint.
    pub(super) fn blames(&self) -> bool {
        !matches!(self, Self::Connect(ConnectError::Shortage(_)) | Self::Unsendable)
    }
}

/// Asks a peer.
///
/// # Errors
/// Why the answer is not a good one, a missing one included.
pub(super) async fn ask(check: &HealthCheck, peer: &Peer) -> Result<(), Fault> {
    let asking = async {
        let stream = connect(peer, check.timeout).await?;
        converse(check, peer, stream).await
    };
    tokio::time::timeout(check.timeout, asking).await.unwrap_or(Err(Fault::Timeout))
}

async fn converse(check: &HealthCheck, peer: &Peer, stream: Stream) -> Result<(), Fault> {
    let status = match &check.kind {
        HealthCheckKind::Tcp => {
            close(stream);
            return Ok(());
        }
        HealthCheckKind::Grpc { service } => return grpc::ask(stream, peer, service).await,
        HealthCheckKind::Http { path, host, .. } => {
            let place = Place::new(peer, path, host.as_deref())?;
            match peer.protocol {
                BackendProtocol::Http1 => http1::ask(stream, &place).await?,
                BackendProtocol::Http2 => http2::ask(stream, &place).await?,
            }
        }
    };
    if check.kind.is_good(status) { Ok(()) } else { Err(Fault::Status(status)) }
}

/// Says goodbye as far as that needs no waiting.
pub(super) fn close(mut stream: Stream) {
    let _ = stream.shutdown().now_or_never();
}

/// What a request of HTTP is for.
pub(super) struct Place<'a> {
    pub(super) is_tls: bool,
    pub(super) path: &'a str,
    pub(super) host: String,
}

impl<'a> Place<'a> {
    /// The place of this path; without a host it is that of the address.
    ///
    /// # Errors
    /// If a request that says so would be read as something else.
    pub(super) fn new(peer: &Peer, path: &'a str, host: Option<&str>) -> Result<Self, Fault> {
        let is_plain = |text: &str| text.bytes().all(|byte| matches!(byte, 0x21..=0x7e) && byte != b'#');
        let host = host.map_or_else(|| peer.address.to_string(), str::to_owned);
        let is_authority = host.parse::<http::uri::Authority>().is_ok() && !host.contains('@');
        match path.starts_with('/') && is_plain(path) && is_authority {
            true => Ok(Self { is_tls: peer.tls.is_some(), path, host }),
            false => Err(Fault::Unsendable),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;

    use super::*;
    use crate::model::Backend;

    #[test]
    fn what_cannot_be_sent_is_the_fault_of_no_endpoint() {
        let backend = Backend::default();
        let peer =
            Peer::new(([192, 0, 2, 1], 80).into(), (&"shop".into(), &backend, &None), Weak::new(), None);
        let rows = [
            ("/", None, Some("192.0.2.1:80")),
            ("/healthz?deep=1", Some("shop.example"), Some("shop.example")),
            ("/", Some("shop.example:81"), Some("shop.example:81")),
            ("", None, None),
            ("healthz", None, None),
            ("/a b", None, None),
            ("/a\r\nx: y", None, None),
            ("/a#b", None, None),
            ("/\u{e4}", None, None),
            ("/", Some(""), None),
            ("/", Some("a\r\nx: y"), None),
            ("/", Some("me@a"), None),
            ("/", Some("a/b"), None),
        ];
        for (path, host, wanted) in rows {
            let place = Place::new(&peer, path, host);
            assert_eq!(place.as_ref().ok().map(|place| &*place.host), wanted, "{path:?} {host:?}");
            assert!(place.err().is_none_or(|fault| !fault.blames()), "{path:?} {host:?}");
        }
    }
}
