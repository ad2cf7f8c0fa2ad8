//! Filters: decisions about a request or its response. This file holds THE list of them, in order of execution.

mod access;
mod answer_changes;
mod auth_request;
mod basic_auth;
mod body_limit;
mod client_certificate;
mod compression;
mod cors;
mod fault;
mod field_block;
mod field_changes;
mod field_templates;
mod headers;
mod networks;
mod path_change;
mod rate_limit;
mod redirect;
mod redirect_https;
mod redirect_to;
mod request_limit;
mod respond;
mod response_rate;
mod rewrite;
mod rewrite_regex;
mod share;
mod template;
#[cfg(test)]
pub(crate) mod tests;

use std::{fmt, net::IpAddr, sync::Arc, time::Duration, time::Instant};

use serde::{Deserialize, Serialize};

pub use access::Access;
pub use answer_changes::{CookieRewrite, LocationRewrite, Replacement, StrictTransport};
pub use auth_request::{AuthCache, AuthRequest, CacheTime, ServiceAnswer, ServiceQuestion, TemplateField};
pub use basic_auth::{BasicAuth, PasswordQuestion, UserFault, UserProblem, Users};
pub use body_limit::BodyLimit;
pub use client_certificate::{
    CertificateNeed, CertificateVerdict, ClientCertificate, ShownCertificate, SubjectPattern,
};
pub use compression::{Choice as CompressionChoice, Compressible, Compression, ContentCoding};
pub use cors::{Cors, CorsOrigin};
pub use fault::{Abort, AbortWith, Delay, Fault};
pub use field_block::FieldBlock;
pub use field_changes::{Field, FieldChanges, check_token, check_value};
pub use field_templates::FieldTemplates;
pub use headers::{RequestHeaders, ResponseHeaders};
pub use networks::Networks;
pub use path_change::PathChange;
pub use rate_limit::{RateKey, RateLimit};
pub use redirect::Redirect;
pub use redirect_https::RedirectHttps;
pub use redirect_to::RedirectTo;
pub use request_limit::RequestLimit;
pub use respond::Respond;
pub use response_rate::ResponseRate;
pub use rewrite::Rewrite;
pub use rewrite_regex::RewriteRegex;
pub use share::Share;
pub use template::{Template, TemplateError};

use crate::{
    id::BackendId,
    message::{RequestHead, ResponseHead, Scheme},
};

/// What a filter knows beside the request itself.
#[derive(Clone, Copy, Debug)]
pub struct FilterContext<'a> {
    /// Address of the client, after trusted proxies have been believed.
    pub client: IpAddr,
    /// The workload that asks, as `namespace/service-account`, if it is known.
    pub caller: Option<&'a str>,
    /// What the client showed on its connection, where clients are verified.
    pub certificate: Option<&'a ShownCertificate>,
    /// How the client reached us, after trusted proxies have been believed.
    pub scheme: Scheme,
    /// Port that the client reached us on, after trusted proxies have been believed.
    pub port: u16,
    /// Port that the client sees for HTTPS.
    pub https_port: u16,
    /// The time; filters have no clock of their own.
    pub now: Instant,
    /// Random bits; filters have no source of their own.
    pub random: u64,
    /// What limits of the rate remember.
    pub rates: &'a dyn RateMemory,
    /// The request, while its answer is looked at.
    pub asked: Option<&'a RequestHead>,
}

/// The memory of all limits of the rate. It outlives snapshots and is reached by the id of a limit.
pub trait RateMemory: fmt::Debug {
    /// Counts one request of a key.
    ///
    /// # Errors
    /// When there have been too many: how long until the next one of the key is allowed. It was not counted.
    fn take(&self, limit: &RateLimit, key: &[u8], now: Instant) -> Result<(), Duration>;
}

/// What shall happen after a filter has seen the request.
#[derive(Clone, Debug, PartialEq)]
pub enum Flow {
    /// Ask the next filter.
    Next,
    /// Answer at once.
    Reply(Reply),
    /// Wait, then answer, or else ask the next filter.
    Wait(Duration, Option<Box<Reply>>),
    /// Find this out and tell the filter, which decides then.
    Ask(Box<Question>),
    /// Count the request among those of its client that are being served until it ends, and ask the next filter; or
    /// refuse it, if there are as many as there may be.
    Count {
        /// What counts them.
        id: Arc<str>,
        /// What tells one client from another; `None` is his address.
        key: Option<Vec<u8>>,
        /// Most at once.
        most: u32,
        /// Status of a refusal.
        status: u16,
    },
}

/// What a filter cannot know of itself: the proxy finds it out for it.
#[derive(Clone, Debug, PartialEq)]
pub enum Question {
    /// Whether a password is the right one.
    Password(PasswordQuestion),
    /// What a service says of the request.
    Service(ServiceQuestion),
}

/// What the proxy found out.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Whether it is.
    Password(bool),
    /// What it says; `None` if it cannot be reached or does not answer.
    Service(Option<Arc<ServiceAnswer>>),
    /// Nothing, as there is too much to find out.
    Busy,
}

/// A response that a filter decided on.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// Header fields beyond those that every response of ours has.
    pub fields: Vec<(&'static str, Vec<u8>)>,
    /// What follows the head.
    pub body: ReplyBody,
    /// Machine-readable reason for log and `x-selvedge-reason`.
    pub reason: &'static str,
    /// Whether it is what the route is there for.
    pub kind: ReplyKind,
}

/// The body of a [`Reply`]; plain text in UTF-8 unless its fields name another `Content-Type`.
#[derive(Clone, Debug, PartialEq)]
pub enum ReplyBody {
    /// The status in words.
    Words,
    /// This text, maybe empty.
    Text(Arc<str>),
}

/// What a [`Reply`] means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyKind {
    /// The answer that the route describes: all clients get it as it is, and filters may change its head as they
    /// may change that of a backend's answer.
    Answer,
    /// The request is turned away: clients of gRPC are told so in `grpc-status`, and no filter sees it.
    Refusal {
        /// The status for gRPC; without it the one that says the same as the status code.
        grpc_status: Option<u8>,
    },
}

impl Reply {
    /// Turns a request away with the status in words.
    pub(crate) fn refusal(status: u16, reason: &'static str) -> Self {
        let kind = ReplyKind::Refusal { grpc_status: None };
        Self { status, fields: Vec::new(), body: ReplyBody::Words, reason, kind }
    }
}

macro_rules! filters {
    ($($(#[$doc:meta])* $variant:ident($type:ty),)*) => {
        /// One filter of a route with its settings. The order of variants is the order of execution.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub enum Filter {
            $($(#[$doc])* $variant($type),)*
        }

        /// The list once more, without settings.
        enum Place {
            $($variant,)*
        }

        impl Filter {
            /// Its place in the order of execution.
            pub fn order(&self) -> usize {
                match self {
                    $(Self::$variant(_) => Place::$variant as usize,)*
                }
            }

            /// Lets the filter decide about a request; it may change the head.
            pub fn request(&self, cx: &FilterContext<'_>, head: &mut RequestHead) -> Flow {
                match self {
                    $(Self::$variant(filter) => filter.request(cx, head),)*
                }
            }

            /// Lets the filter change the head of a response.
            pub fn response(&self, cx: &FilterContext<'_>, head: &mut ResponseHead) {
                match self {
                    $(Self::$variant(filter) => filter.response(cx, head),)*
                }
            }
        }
    };
}

filters! {
    /// Turns requests away whose body is too large.
    BodyLimit(BodyLimit),
    /// Tells browsers which other sites may use this one.
    Cors(Cors),
    /// Sends clients to a URL that is made for each request.
    RedirectTo(RedirectTo),
    /// Sends plain requests to HTTPS.
    RedirectHttps(RedirectHttps),
    /// Lets in who shows a certificate.
    ClientCertificate(ClientCertificate),
    /// Turns requests away that come too fast.
    RateLimit(RateLimit),
    /// Turns requests away of clients that have too many going on.
    RequestLimit(RequestLimit),
    /// Lets only clients from certain networks in.
    Access(Access),
    /// Turns requests away by the value of a header field.
    FieldBlock(FieldBlock),
    /// Delays and fails some requests on purpose.
    Fault(Fault),
    /// Sends clients to another URL.
    Redirect(Redirect),
    /// Lets in who has a password.
    BasicAuth(BasicAuth),
    /// Lets in whom a service lets in.
    AuthRequest(Box<AuthRequest>),
    /// Answers without a backend.
    Respond(Respond),
    /// Changes the path and the host that the backend sees.
    Rewrite(Rewrite),
    /// Makes a new path out of what a regular expression finds in the old one.
    RewriteRegex(RewriteRegex),
    /// Changes header fields of the request.
    RequestHeaders(RequestHeaders),
    /// Sets header fields of the request to texts that are made for each request.
    FieldTemplates(FieldTemplates),
    /// Changes header fields of the answer.
    ResponseHeaders(ResponseHeaders),
    /// Changes where answers lead.
    LocationRewrite(LocationRewrite),
    /// Changes domains and paths of cookies.
    CookieRewrite(CookieRewrite),
    /// Tells browsers to come over HTTPS.
    StrictTransport(StrictTransport),
    /// Bounds how fast answers are sent.
    ResponseRate(ResponseRate),
    /// Compresses answers.
    Compression(Arc<Compression>),
}

impl Filter {
    /// Puts the filters of a route in order of execution, as a route keeps them; those of one kind stay in theirs.
    pub fn sort(filters: &mut [Filter]) {
        filters.sort_by_key(Filter::order);
    }

    /// Lets the filter decide once it knows what it asked for; it may change the head.
    pub fn answered(&self, cx: &FilterContext<'_>, head: &mut RequestHead, answer: &Answer) -> Flow {
        match self {
            Self::BasicAuth(filter) => filter.answered(answer),
            Self::AuthRequest(filter) => filter.answered(cx, head, answer),
            // Nobody else asks, and what was not asked for opens nothing.
            _ => Flow::Reply(Reply::refusal(500, "not_asked")),
        }
    }

    /// The backend that it asks, if it asks one.
    pub fn service(&self) -> Option<&BackendId> {
        match self {
            Self::AuthRequest(filter) => Some(&filter.service),
            _ => None,
        }
    }

    /// Whether it may ask, so that what it asks with must not be taken away before.
    pub fn asks(&self) -> bool {
        matches!(self, Self::BasicAuth(_) | Self::AuthRequest(_))
    }

    /// Lets the filter change the head of a refusal or a failure, which are the proxy's own words: only what browsers
    /// must be told in every answer.
    pub fn refusal(&self, cx: &FilterContext<'_>, head: &mut ResponseHead) {
        match self {
            Self::Cors(filter) => filter.response(cx, head),
            Self::StrictTransport(filter) => filter.response(cx, head),
            _ => {}
        }
    }

    /// Whether it asks who calls, so that the text is made only where it is used.
    pub fn asks_for_caller(&self) -> bool {
        matches!(self, Self::RateLimit(limit) if limit.key == RateKey::Caller)
    }
}

fn is_false(flag: &bool) -> bool {
    !flag
}
