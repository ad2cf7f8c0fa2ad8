//! Respond: the only place where a failure becomes a status, and where the proxy makes answers of its own.

use std::borrow::Cow;

use super::{
    exchange::Exchange,
    grpc, http,
    responder::{Responder, ResponderError, has_body},
    timing,
};
use crate::{
    filter::{Reply, ReplyBody, ReplyKind},
    http1::{BodyFraming, RequestError},
    message::{Known, Method, ResponseHead, Version},
    model::InvalidBackend,
};

/// Why a request was not answered by a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The request itself is not acceptable.
    Refused(RequestError),
    /// The request head came too slowly.
    HeadTimeout,
    /// The token by which the caller says who it is is not valid.
    BadToken,
    /// `CONNECT`, or `OPTIONS *`, which no backend is asked for.
    NotProxied,
    /// SNI and Host belong to different certificates.
    Misdirected,
    /// No rule matches and there is no default backend.
    NoRoute,
    /// The route's reference to a backend does not resolve.
    InvalidBackend(InvalidBackend),
    /// All backends of the route have weight 0.
    NoWeight,
    /// The backend has no endpoint to send to.
    NoEndpoint,
    /// An endpoint could not be connected to.
    Connect,
    /// The system has no descriptor or memory left for a connection to an endpoint.
    Shortage,
    /// As much is going on, towards the backend or in the whole process, as the limits allow.
    Overload,
    /// An endpoint did not accept the connection in time.
    ConnectTimeout,
    /// The connection to the endpoint ended before an answer.
    UpstreamClosed,
    /// The answer of the endpoint is malformed.
    UpstreamProtocol,
    /// The endpoint did not answer in time.
    RequestTimeout,
    /// The time that a client of gRPC gave is over.
    Deadline,
    /// The answer had this status, which was worth another try, and there was none.
    Status(u16),
    /// The answer had this status, for which another backend has a page, and that one did not answer.
    Replaced(u16),
    /// The request is to be passed on to a host that may not be reached from here.
    ForbiddenDestination,
    /// The host that the request is to be passed on to has no known address.
    Unresolved,
    /// The request went in a circle through us.
    Loop,
    /// The backend has no endpoint but this very process.
    OwnAddress,
    /// The client went away.
    ClientClosed,
    /// The client's body broke off or is malformed.
    ClientBody,
    /// The client's body came too slowly.
    ClientBodyTimeout,
    /// The client's body is larger than the route allows.
    BodyTooLarge,
}

impl Failure {
    /// Status code (RFC 9110 §15); 499 never reaches a client, it only appears in logs and metrics.
    pub fn status(self) -> u16 {
        match self {
            Self::Refused(error) => error.status(),
            Self::HeadTimeout => 408,
            Self::BadToken => 401,
            Self::NotProxied => 405,
            Self::Misdirected => 421,
            Self::NoRoute => 404,
            Self::InvalidBackend(_)
            | Self::NoWeight
            | Self::NoEndpoint
            | Self::Shortage
            | Self::Overload
            | Self::OwnAddress => 503,
            Self::ForbiddenDestination => 403,
            Self::Connect
            | Self::Unresolved
            | Self::UpstreamClosed
            | Self::UpstreamProtocol
            | Self::Status(_) => 502,
            Self::ConnectTimeout | Self::RequestTimeout | Self::Deadline => 504,
            Self::Loop => 508,
            Self::Replaced(status) => status,
            Self::ClientClosed => 499,
            Self::ClientBody => 400,
            Self::ClientBodyTimeout => 408,
            Self::BodyTooLarge => 413,
        }
    }

    /// Machine-readable reason, for log, metrics and `x-selvedge-reason`.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Refused(error) => error.reason(),
            Self::HeadTimeout => "head_timeout",
            Self::BadToken => "bad_token",
            Self::NotProxied => "not_proxied",
            Self::Misdirected => "misdirected",
            Self::NoRoute => "no_route",
            Self::InvalidBackend(InvalidBackend::ServiceNotFound) => "service_not_found",
            Self::InvalidBackend(InvalidBackend::PortNotFound) => "port_not_found",
            Self::InvalidBackend(InvalidBackend::UnsupportedResource) => "unsupported_resource",
            Self::InvalidBackend(InvalidBackend::Forbidden) => "forbidden_backend",
            Self::InvalidBackend(InvalidBackend::Malformed) => "malformed_backend",
            Self::InvalidBackend(InvalidBackend::Unprotected) => "unreadable_protection",
            Self::NoWeight => "no_weight",
            Self::NoEndpoint => "no_endpoint",
            Self::Connect => "connect",
            Self::Shortage => "shortage",
            Self::Overload => "overload",
            Self::ConnectTimeout => "connect_timeout",
            Self::UpstreamClosed => "upstream_closed",
            Self::UpstreamProtocol => "upstream_protocol",
            Self::RequestTimeout => "timeout",
            Self::Deadline => "deadline",
            Self::Status(_) => "status",
            Self::Replaced(_) => "replaced",
            Self::ForbiddenDestination => "forbidden_destination",
            Self::Unresolved => "unresolved",
            Self::Loop => "loop",
            Self::OwnAddress => "own_address",
            Self::ClientClosed => "client_closed",
            Self::ClientBody => "client_body",
            Self::ClientBodyTimeout => "client_body_timeout",
            Self::BodyTooLarge => "body_too_large",
        }
    }
}

/// Answers a request that failed.
///
/// # Errors
/// When the client cannot be written to.
pub async fn failure(
    x: &mut Exchange<'_>,
    responder: &mut Responder<'_>,
    failure: Failure,
) -> Result<(), ResponderError> {
    x.reason = Some(failure.reason());
    x.status = failure.status();
    if failure == Failure::ClientClosed {
        return Err(ResponderError::Closed);
    }
    let mut head = x.worker().take_response();
    head.status = failure.status();
    if failure == Failure::NotProxied {
        // RFC 9110 §15.5.6: 405 says what would be allowed.
        head.fields.push(b"Allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    }
    if failure == Failure::BadToken {
        // RFC 9110 §15.5.2: 401 says how it would be done.
        head.fields.push(b"WWW-Authenticate", b"X-Selvedge-Token");
    }
    if failure == Failure::Overload {
        // RFC 9110 §10.2.3: by then others will have ended.
        head.fields.push(b"Retry-After", b"1");
    }
    let result = match grpc::is_grpc(&x.head) {
        true => own_grpc(x, responder, &mut head, None).await,
        false => {
            dress(x, &mut head);
            if let Some(added) = &x.added {
                added.add(&mut head);
            }
            http::filter_refusal(x, &mut head);
            own(x, responder, &mut head, None).await
        }
    };
    x.worker().give_response(head);
    result
}

/// Answers a request as a filter decided.
///
/// # Errors
/// When the client cannot be written to.
pub async fn reply(
    x: &mut Exchange<'_>,
    responder: &mut Responder<'_>,
    reply: &Reply,
) -> Result<(), ResponderError> {
    x.reason = Some(reply.reason);
    x.status = reply.status;
    let mut head = x.worker().take_response();
    head.status = reply.status;
    for (name, value) in &reply.fields {
        head.fields.push(name.as_bytes(), value);
    }
    let result = match reply.kind {
        ReplyKind::Refusal { grpc_status } if grpc::is_grpc(&x.head) => {
            own_grpc(x, responder, &mut head, grpc_status).await
        }
        kind => {
            dress(x, &mut head);
            match kind {
                ReplyKind::Answer => http::filter_response(x, &mut head),
                ReplyKind::Refusal { .. } => http::filter_refusal(x, &mut head),
            }
            let text = match &reply.body {
                ReplyBody::Words => None,
                ReplyBody::Text(text) => Some(&**text),
            };
            own(x, responder, &mut head, text).await
        }
    };
    x.worker().give_response(head);
    result
}

/// Adds the fields that every answer of our own has.
fn dress(x: &Exchange<'_>, head: &mut ResponseHead) {
    let may_have_body = !matches!(head.status, 204 | 304);
    if may_have_body && !head.fields.contains(Known::ContentType) {
        head.fields.push(b"Content-Type", b"text/plain; charset=utf-8");
    }
    add_own_fields(x, head);
    if x.worker().shared.settings.reason_field {
        head.fields.push(b"x-selvedge-reason", x.reason.unwrap_or_default().as_bytes());
    }
}

/// Sends an answer of our own; without a text it is the status in words.
async fn own(
    x: &mut Exchange<'_>,
    responder: &mut Responder<'_>,
    head: &mut ResponseHead,
    text: Option<&str>,
) -> Result<(), ResponderError> {
    x.status = head.status;
    let words = match text {
        None => Cow::Owned(format!("{} {}\n", head.status, reason_phrase(head.status))),
        Some(text) => Cow::Borrowed(text),
    };
    let length = words.len() as u64;
    let has_body = has_body(x.head.method, head.status);
    if x.head.method == Method::Head {
        head.fields.push(b"Content-Length", length.to_string().as_bytes());
    }
    let framing = if has_body { BodyFraming::Length(length) } else { BodyFraming::None };
    let stall = x.write_stall();
    let deadlines = &x.worker().deadlines;
    let write = async {
        let mut out = responder.start(x, head, framing).await?;
        if has_body && length > 0 {
            out.data(words.as_bytes()).await?;
            x.sent.set(length);
        }
        out.finish(&Default::default()).await?;
        x.worker().give_text(out);
        Ok(())
    };
    deadlines.within(stall, write).await.unwrap_or(Err(ResponderError::Closed))
}

/// Sends a failure to a client of gRPC; `code` is its status, if it is not the one that says the same as the
/// head's. Log and metrics keep that one.
async fn own_grpc(
    x: &mut Exchange<'_>,
    responder: &mut Responder<'_>,
    head: &mut ResponseHead,
    code: Option<u8>,
) -> Result<(), ResponderError> {
    grpc::write_failure((head.status, code), x.reason.unwrap_or_default(), head);
    add_own_fields(x, head);
    if x.worker().shared.settings.reason_field {
        head.fields.push(b"x-selvedge-reason", x.reason.unwrap_or_default().as_bytes());
    }
    // HTTP/2 ends with the head; HTTP/1.1 needs to be told that nothing follows.
    let framing = match x.head.version {
        Version::Http2 => BodyFraming::None,
        _ => BodyFraming::Length(0),
    };
    let write = async {
        let mut out = responder.start(x, head, framing).await?;
        out.finish(&Default::default()).await?;
        x.worker().give_text(out);
        Ok(())
    };
    x.worker().deadlines.within(x.write_stall(), write).await.unwrap_or(Err(ResponderError::Closed))
}

/// Adds the fields that every answer has: `Date` and `Server`, unless a backend sent its own.
pub(super) fn add_own_fields(x: &Exchange<'_>, head: &mut ResponseHead) {
    if !head.fields.contains(Known::Date) {
        head.fields.push(b"date", x.worker().date().as_bytes());
    }
    if !head.fields.contains(Known::Server) {
        head.fields.push(b"server", b"selvedge");
    }
    if x.timing.is_asked {
        timing::tell(x, head);
    }
}

fn reason_phrase(status: u16) -> &'static str {
    ::http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("")
}
