//! The connection to a collector: OTLP over gRPC or HTTP, one request at a time, opened anew when it breaks.

use std::{io, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::otlp;
use crate::{
    model::{BackendProtocol, BackendTls, Collector, OtlpProtocol, Trust},
    protobuf,
    runtime::{metrics::Metrics, spawn::spawn},
    upstream::tls,
};

/// Most bytes of an answer; it holds a number and a sentence.
const MOST_ANSWER_BYTES: usize = 64 << 10;
/// The method of gRPC that takes spans.
const GRPC_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// What we call ourselves.
const USER_AGENT: &str = concat!("selvedge/", env!("CARGO_PKG_VERSION"));

/// Why spans were not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    /// The collector cannot be connected to.
    #[error("cannot connect: {0}")]
    Connect(#[from] io::Error),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(#[from] hyper::Error),
    /// The answer cannot be read.
    #[error("the answer cannot be read: {0}")]
    Answer(Box<dyn std::error::Error + Send + Sync>),
    /// It answered that it does not take them.
    #[error("it answered {what}")]
    Refused {
        /// What it answered.
        what: String,
        /// Whether it may take them later.
        again: bool,
    },
    /// It took too long.
    #[error("it took too long")]
    Timeout,
}

impl SendError {
    /// Whether the same spans may be taken at another try.
    pub(super) fn is_worth_another_try(&self) -> bool {
        !matches!(self, Self::Refused { again: false, .. })
    }
}

/// A stream to a collector.
trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Wire for S {}

/// An open connection.
enum Open {
    Grpc(http2::SendRequest<Full<Bytes>>),
    Http(http1::SendRequest<Full<Bytes>>),
}

/// A collector with the connection to it.
pub(super) struct Connection {
    collector: Collector,
    metrics: Arc<Metrics>,
    open: Option<Open>,
}

impl Connection {
    pub(super) fn new(collector: Collector, metrics: Arc<Metrics>) -> Self {
        Self { collector, metrics, open: None }
    }

    /// Sends spans and waits until they are taken; says how many were not. A connection that failed, or on which this
    /// was given up, is not used again.
    pub(super) async fn send(&mut self, message: &Bytes) -> Result<u64, SendError> {
        let open = self.open.take().filter(|open| !open.is_closed());
        let mut open = match open {
            Some(open) => open,
            None => self.connect().await?,
        };
        let (status, fields, answer) = match &mut open {
            Open::Grpc(sender) => {
                sender.ready().await?;
                let request = self.request(GRPC_PATH, "application/grpc", protobuf::framed(message))?;
                whole(sender.send_request(request).await?).await?
            }
            Open::Http(sender) => {
                sender.ready().await?;
                let request =
                    self.request(&self.collector.path, "application/x-protobuf", message.clone())?;
                whole(sender.send_request(request).await?).await?
            }
        };
        self.open = Some(open);
        match self.collector.protocol {
            OtlpProtocol::Grpc => {
                judge_grpc(status, &fields).map(|()| otlp::rejected(otlp::unframed(&answer)))
            }
            OtlpProtocol::Http => judge_http(status).map(|()| otlp::rejected(&answer)),
        }
    }

    async fn connect(&self) -> Result<Open, SendError> {
        let stream = self.wire().await?;
        let io = TokioIo::new(stream);
        const TASK: &str = "span connection";
        match self.collector.protocol {
            OtlpProtocol::Grpc => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
                // How it ends is seen by the request on it.
                spawn(TASK, &self.metrics, async { drop(connection.await) });
                Ok(Open::Grpc(sender))
            }
            OtlpProtocol::Http => {
                let (sender, connection) = http1::handshake(io).await?;
                spawn(TASK, &self.metrics, async { drop(connection.await) });
                Ok(Open::Http(sender))
            }
        }
    }

    async fn wire(&self) -> io::Result<Box<dyn Wire>> {
        let Collector { protocol, secure, host, port, .. } = &self.collector;
        let tcp = TcpStream::connect((&**host, *port)).await?;
        tcp.set_nodelay(true)?;
        if !secure {
            return Ok(Box::new(tcp));
        }
        let protocol = match protocol {
            OtlpProtocol::Grpc => BackendProtocol::Http2,
            OtlpProtocol::Http => BackendProtocol::Http1,
        };
        let trust = BackendTls { trust: Trust::System, ..BackendTls::default() };
        let settings = tls::settings(&trust, protocol);
        let name = ServerName::try_from(host.to_string()).map_err(io::Error::other)?;
        Ok(Box::new(TlsConnector::from(settings).connect(name, tcp).await?))
    }

    fn request(&self, path: &str, content: &str, body: Bytes) -> Result<Request<Full<Bytes>>, SendError> {
        let Collector { protocol, secure, .. } = &self.collector;
        let authority = self.collector.authority();
        let scheme = if *secure { "https" } else { "http" };
        let request = Request::post(match protocol {
            OtlpProtocol::Grpc => format!("{scheme}://{authority}{path}"),
            OtlpProtocol::Http => path.to_owned(),
        });
        let request = request.header(header::CONTENT_TYPE, content).header(header::USER_AGENT, USER_AGENT);
        let request = match protocol {
            OtlpProtocol::Grpc => request.header(header::TE, "trailers"),
            OtlpProtocol::Http => request.header(header::HOST, authority),
        };
        request.body(Full::new(body)).map_err(|error| SendError::Answer(error.into()))
    }
}

impl Open {
    fn is_closed(&self) -> bool {
        match self {
            Self::Grpc(sender) => sender.is_closed(),
            Self::Http(sender) => sender.is_closed(),
        }
    }
}

/// Reads an answer to its end: status, fields with trailers, body.
async fn whole(answer: Response<Incoming>) -> Result<(u16, HeaderMap, Bytes), SendError> {
    let (head, body) = answer.into_parts();
    let collected = Limited::new(body, MOST_ANSWER_BYTES).collect().await.map_err(SendError::Answer)?;
    let mut fields = head.headers;
    if let Some(trailers) = collected.trailers() {
        fields.extend(trailers.clone());
    }
    Ok((head.status.as_u16(), fields, collected.to_bytes()))
}

/// What a status of gRPC means for the next try, as the definition of OTLP has it.
fn judge_grpc(status: u16, fields: &HeaderMap) -> Result<(), SendError> {
    let code = fields.get("grpc-status").and_then(|code| code.to_str().ok()?.parse::<u8>().ok());
    match code {
        Some(0) if status == 200 => Ok(()),
        // CANCELLED, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, ABORTED, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS
        Some(code) => {
            let again = matches!(code, 1 | 4 | 8 | 10 | 11 | 14 | 15);
            Err(SendError::Refused { what: format!("grpc-status {code}"), again })
        }
        None => judge_http(status).and_then(|()| {
            let what = format!("status {status} without grpc-status; is it a collector that speaks gRPC?");
            Err(SendError::Refused { what, again: false })
        }),
    }
}

/// The same of a status of HTTP.
fn judge_http(status: u16) -> Result<(), SendError> {
    match status {
        200..=299 => Ok(()),
        _ => {
            let again = matches!(status, 429 | 502 | 503 | 504);
            Err(SendError::Refused { what: format!("status {status}"), again })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether an answer is one that took the spans, and whether another try is worth it if not.
    fn judged(result: Result<(), SendError>) -> (bool, bool) {
        (result.is_ok(), result.is_err_and(|error| error.is_worth_another_try()))
    }

    #[test]
    fn some_refusals_are_for_now_and_some_for_good() {
        for (status, wanted) in
            [(200, (true, false)), (400, (false, false)), (404, (false, false)), (503, (false, true))]
        {
            assert_eq!(judged(judge_http(status)), wanted, "{status}");
        }
        for (code, wanted) in [
            ("0", (true, false)),
            ("3", (false, false)),
            ("12", (false, false)),
            ("14", (false, true)),
            ("nonsense", (false, false)),
        ] {
            let fields = HeaderMap::from_iter([(
                http::HeaderName::from_static("grpc-status"),
                http::HeaderValue::from_static(code),
            )]);
            assert_eq!(judged(judge_grpc(200, &fields)), wanted, "{code}");
        }
        assert_eq!(judged(judge_grpc(503, &HeaderMap::new())), (false, true));
    }
}
