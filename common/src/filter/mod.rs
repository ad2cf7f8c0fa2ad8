//! Filters: decisions about a request or its response. This file holds THE list of them, in order of execution.

mod redirect_https;

use std::{net::IpAddr, time::Instant};

use serde::{Deserialize, Serialize};

pub use redirect_https::RedirectHttps;

use crate::message::{RequestHead, ResponseHead, Scheme};

/// What a filter knows beside the request itself.
#[derive(Clone, Copy, Debug)]
pub struct FilterContext {
    /// Address of the client, after trusted proxies have been believed.
    pub client: IpAddr,
    /// How the client reached us, after trusted proxies have been believed.
    pub scheme: Scheme,
    /// Port that the client sees for HTTPS.
    pub https_port: u16,
    /// The time; filters have no clock of their own.
    pub now: Instant,
}

/// What shall happen after a filter has seen the request.
#[derive(Clone, Debug, PartialEq)]
pub enum Flow {
    /// Ask the next filter.
    Next,
    /// Answer at once.
    Reply(Reply),
}

/// A response that a filter decided on.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// Header fields beyond those that every response of ours has.
    pub fields: Vec<(&'static str, Vec<u8>)>,
    /// Plain text body; empty sends the status' own words.
    pub body: String,
    /// Machine-readable reason for log and `x-selvedge-reason`.
    pub reason: &'static str,
}

macro_rules! filters {
    ($($(#[$doc:meta])* $variant:ident($type:ty),)*) => {
        /// One filter of a route with its settings. The order of variants is the order of execution.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub enum Filter {
            $($(#[$doc])* $variant($type),)*
        }

        impl Filter {
            /// Lets the filter decide about a request; it may change the head.
            pub fn request(&self, cx: &FilterContext, head: &mut RequestHead) -> Flow {
                match self {
                    $(Self::$variant(filter) => filter.request(cx, head),)*
                }
            }

            /// Lets the filter change the head of a response.
            pub fn response(&self, cx: &FilterContext, head: &mut ResponseHead) {
                match self {
                    $(Self::$variant(filter) => filter.response(cx, head),)*
                }
            }
        }
    };
}

filters! {
    /// Sends plain requests to HTTPS.
    RedirectHttps(RedirectHttps),
}
