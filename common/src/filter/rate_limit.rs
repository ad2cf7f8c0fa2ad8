//! Filter: turns requests away that come faster than allowed.

use std::{io::Write, net::IpAddr, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{FilterContext, Flow, Networks, Reply, Template};
use crate::{
    duration,
    message::{RequestHead, ResponseHead},
};

/// A limit of the rate: a bucket for each key that holds `burst` requests and is filled by `requests` in each `per`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimit {
    /// Names the buckets: limits with the same id share them, and they outlive changes of the rest.
    pub id: Arc<str>,
    /// Requests in each `per`; 0 allows none.
    pub requests: u32,
    /// The time in which that many are allowed.
    #[serde(with = "duration")]
    pub per: Duration,
    /// Most requests at once after a pause; 0 is taken for 1.
    pub burst: u32,
    /// Whose requests are counted together.
    pub key: RateKey,
    /// Clients whose requests are not counted.
    #[serde(default, skip_serializing_if = "Networks::is_empty")]
    pub except: Networks,
    /// Status of the answer to a request that is refused.
    #[serde(default = "too_many_requests", skip_serializing_if = "is_too_many_requests")]
    pub status: u16,
}

/// Whose requests a limit counts together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RateKey {
    /// All of them.
    All,
    /// Those from one address, after trusted proxies have been believed.
    Source,
    /// Those with the same value of this header field; those without it too.
    Header(Arc<str>),
    /// Those of one workload; where it is not known, those from one address.
    Caller,
    /// Those that this text is the same for; where it is empty they are not counted.
    Text(Template),
}

impl RateLimit {
    pub(super) fn request(&self, cx: &FilterContext<'_>, head: &mut RequestHead) -> Flow {
        if !self.except.is_empty() && self.except.contains(cx.client) {
            return Flow::Next;
        }
        let taken = match &self.key {
            RateKey::All => cx.rates.take(self, b"", cx.now),
            RateKey::Source => self.take_source(cx),
            RateKey::Header(name) => {
                cx.rates.take(self, head.fields.get_by_name(name).unwrap_or_default(), cx.now)
            }
            RateKey::Caller => match cx.caller {
                Some(caller) => cx.rates.take(self, caller.as_bytes(), cx.now),
                None => self.take_source(cx),
            },
            RateKey::Text(template) => {
                let mut text = Vec::new();
                template.render((cx, head), &[], &mut text);
                match text.is_empty() {
                    true => Ok(()),
                    false => cx.rates.take(self, &text, cx.now),
                }
            }
        };
        match taken {
            Ok(()) => Flow::Next,
            Err(wait) => Flow::Reply(refusal(self.status, wait)),
        }
    }

    fn take_source(&self, cx: &FilterContext<'_>) -> Result<(), Duration> {
        match cx.client.to_canonical() {
            IpAddr::V4(ip) => cx.rates.take(self, &ip.octets(), cx.now),
            IpAddr::V6(ip) => cx.rates.take(self, &ip.octets(), cx.now),
        }
    }

    pub(super) fn response(&self, _: &FilterContext<'_>, _: &mut ResponseHead) {}
}

/// Status Too Many Requests (RFC 6585 §4).
fn too_many_requests() -> u16 {
    429
}

fn is_too_many_requests(status: &u16) -> bool {
    *status == too_many_requests()
}

/// A refusal with the seconds to wait (RFC 9110 §10.2.3), rounded up.
fn refusal(status: u16, wait: Duration) -> Reply {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let mut text = Vec::new();
    // Writing to a Vec cannot fail.
    let _ = write!(text, "{}", seconds.max(1));
    Reply { fields: vec![("Retry-After", text)], ..Reply::refusal(status, "rate_limited") }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{Given, Told},
        *,
    };

    fn limit(key: RateKey) -> RateLimit {
        let (id, per, except) = ("a/b".into(), Duration::from_secs(1), Networks::default());
        RateLimit { id, requests: 1, per, burst: 1, key, except, status: 429 }
    }

    #[test]
    fn each_key_counts_what_it_names() {
        let header = || RateKey::Header("X-Tenant".into());
        let text = |text: &str| RateKey::Text(Template::parse(text).unwrap());
        let ip = "\u{1}\u{2}\u{3}\u{4}";
        let rows = [
            (RateKey::All, None, ""),
            (RateKey::Source, Some("web/front"), ip),
            (header(), None, "blue"),
            (RateKey::Caller, Some("web/front"), "web/front"),
            (RateKey::Caller, None, ip),
            (text("$http_x_tenant of $remote_addr"), None, "blue of 1.2.3.4"),
        ];
        for (key, caller, wanted) in rows {
            let given = Given::default();
            let client = "::ffff:1.2.3.4".parse().unwrap();
            let cx = FilterContext { caller, client, ..given.cx() };
            let mut head = RequestHead::default();
            head.fields.push(b"x-tenant", b"blue");
            assert_eq!(limit(key.clone()).request(&cx, &mut head), Flow::Next);
            assert_eq!(*given.rates.keys.borrow(), [wanted], "{key:?}");
        }
        let given = Given::default();
        let _ = limit(header()).request(&given.cx(), &mut RequestHead::default());
        assert_eq!(*given.rates.keys.borrow(), [""], "those without the field are one");
        let given = Given::default();
        let none = limit(text("$http_x_tenant")).request(&given.cx(), &mut RequestHead::default());
        assert_eq!((none, &*given.rates.keys.borrow()), (Flow::Next, &vec![]), "an empty text is none");
    }

    #[test]
    fn who_is_too_fast_is_told_how_many_whole_seconds_to_wait() {
        let rows = [(0, "1"), (1, "1"), (999, "1"), (1000, "1"), (1001, "2"), (60_000, "60")];
        for (millis, wanted) in rows {
            let rates = Told { wait: Some(Duration::from_millis(millis)), ..Told::default() };
            let given = Given { rates };
            let limit = RateLimit { status: 503, ..limit(RateKey::All) };
            let flow = limit.request(&given.cx(), &mut RequestHead::default());
            let Flow::Reply(reply) = flow else { panic!("{flow:?}") };
            assert_eq!((reply.status, reply.reason), (503, "rate_limited"));
            assert_eq!(reply.fields, [("Retry-After", wanted.as_bytes().to_vec())]);
        }
    }

    #[test]
    fn clients_that_are_left_out_are_not_counted() {
        let given = Given { rates: Told { wait: Some(Duration::ZERO), ..Told::default() } };
        let except = ["192.0.2.0/24".parse().unwrap()].into_iter().collect();
        let limit = RateLimit { except, ..limit(RateKey::Source) };
        for (client, passes) in [("192.0.2.9", true), ("198.51.100.1", false)] {
            let cx = FilterContext { client: client.parse().unwrap(), ..given.cx() };
            let flow = limit.request(&cx, &mut RequestHead::default());
            assert_eq!(flow == Flow::Next, passes, "{client}");
        }
        assert_eq!(given.rates.keys.borrow().len(), 1);
    }

    #[test]
    fn the_status_of_a_refusal_is_that_of_the_limit() {
        let given = Given { rates: Told { wait: Some(Duration::ZERO), ..Told::default() } };
        let limit = RateLimit { status: 503, ..limit(RateKey::All) };
        let flow = limit.request(&given.cx(), &mut RequestHead::default());
        assert!(matches!(&flow, Flow::Reply(reply) if reply.status == 503), "{flow:?}");
    }
}
