//! Picking: what of a request decides its endpoint, and what its answer says of that endpoint.

use std::{
    cell::Cell,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use super::{
    exchange::Exchange,
    headers,
    live::{LiveRoute, Target},
};
use crate::{
    message::{Fields, Known, ResponseHead, Scheme},
    model::{Affinity, Backend, Balance, HashKey, SameSite, SecureCookie},
    upstream::{Peer, Upstream, hash},
};

/// The last second of the year 9999, after which dates cannot be written.
const LAST_DATE: Duration = Duration::from_secs(253_402_300_799);

/// What of a request decides its endpoint; worked out once for all tries.
#[derive(Debug, Default)]
pub struct Choice {
    /// Hash of what shall always go to the same endpoint.
    key: Option<u64>,
    /// Mark of the endpoint that the client's cookie names.
    kept: Option<u64>,
    /// The settings that say how the client is kept where it is, if it is.
    keeping: Option<Arc<Backend>>,
    /// Whether the client came over TLS.
    is_secure: bool,
    /// Whether the balancer wants to know how long answers take.
    is_timed: bool,
    /// When the present try had its connection.
    begun: Cell<Option<Instant>>,
    /// Whether its request has been sent whole, so that only the endpoint keeps it waiting.
    is_sent: Cell<bool>,
}

/// A try under way. Dropping it before it is known how it ended, as when the client has left, tells the balancer how
/// long the endpoint has kept it waiting: who never answers would look quick otherwise.
#[derive(Debug)]
pub struct Waiting<'c> {
    choice: &'c Choice,
    peer: &'c Peer,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(begun) = self.choice.begun.take()
            && self.choice.is_sent.get()
        {
            let now = Instant::now();
            self.peer.kept_waiting(now - begun, now);
        }
    }
}

impl Choice {
    /// What decides by the settings of a backend.
    pub fn new(x: &Exchange<'_>, backend: &Arc<Backend>) -> Self {
        let key = match &backend.balance {
            Balance::RoundRobin | Balance::LeastRequests | Balance::Ewma => None,
            Balance::Hash(key) => key_of(x, key),
        };
        let kept = backend.affinity.as_ref().and_then(|affinity| kept(&x.head.fields, affinity));
        let is_timed = backend.balance == Balance::Ewma;
        let keeping = backend.affinity.is_some().then(|| backend.clone());
        let is_secure = x.scheme == Scheme::Https;
        Self { key, kept, keeping, is_secure, is_timed, ..Self::default() }
    }

    /// An endpoint for the next try; `None` if there is none at all. `avoid` is the one that just failed.
    pub fn pick(
        &self,
        x: &Exchange<'_>,
        (upstream, now): (&Upstream, Instant),
        avoid: Option<&Peer>,
    ) -> Option<Arc<Peer>> {
        self.begun.set(None);
        self.is_sent.set(false);
        if let Some(kept) = self.kept
            && avoid.is_none_or(|avoid| avoid.mark != kept)
            && let Some(peer) = upstream.find(now, kept)
        {
            return Some(peer);
        }
        let random = self.key.unwrap_or_else(|| x.worker().random());
        upstream.pick(now, random, avoid)
    }

    /// The try has its connection: time counts from here, as opening one says little of the requests to come.
    pub fn begin(&self) {
        if self.is_timed {
            self.begun.set(Some(Instant::now()));
        }
    }

    /// The request has been sent whole.
    pub fn sent(&self) {
        self.is_sent.set(true);
    }

    /// Watches a try with this peer until it is known how it ended.
    pub fn watch<'c>(&'c self, peer: &'c Peer) -> Waiting<'c> {
        Waiting { choice: self, peer }
    }

    /// The head of the final answer came from this endpoint: it is on its way to the client.
    pub fn answered(&self, peer: &Peer, head: &mut ResponseHead) {
        if let Some(begun) = self.begun.take() {
            let now = Instant::now();
            peer.observe(now - begun, now);
        }
        if let Some(affinity) = self.keeping.as_ref().and_then(|backend| backend.affinity.as_ref())
            && self.kept != Some(peer.mark)
        {
            push_cookie(&mut head.fields, affinity, (peer.mark, self.is_secure));
        }
    }

    /// The endpoint is to blame for a failure: others are chosen rather, if the balancer goes by such things.
    pub fn blame(&self, peer: &Peer, now: Instant) {
        if self.is_timed {
            let took = self.begun.take().map_or(Duration::ZERO, |begun| now - begun);
            peer.penalize(took, now);
        }
    }
}

fn key_of(x: &Exchange<'_>, key: &HashKey) -> Option<u64> {
    match key {
        HashKey::Header(name) => x.head.fields.get_by_name(name).map(hash),
        HashKey::Cookie(name) => cookie(&x.head.fields, name.as_bytes()).map(hash),
        HashKey::Source => Some(match x.client_ip.to_canonical() {
            IpAddr::V4(ip) => hash(&ip.octets()),
            IpAddr::V6(ip) => hash(&ip.octets()),
        }),
        HashKey::Text(template) => {
            let mut text = Vec::new();
            template.render((&headers::filter_context(x, None), &x.head), &[], &mut text);
            Some(hash(&text))
        }
    }
}

/// The value of a cookie, the first of this name (RFC 6265 §5.4).
fn cookie<'f>(fields: &'f Fields, name: &[u8]) -> Option<&'f [u8]> {
    let pairs = fields.all(Known::Cookie).flat_map(|value| value.split(|byte| *byte == b';'));
    pairs.map(<[u8]>::trim_ascii).find_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"="))
}

/// The mark in the cookie of a client.
fn kept(fields: &Fields, affinity: &Affinity) -> Option<u64> {
    let value = cookie(fields, affinity.cookie.as_bytes())?;
    let is_ours = value.len() == 16 && value.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let text = is_ours.then(|| std::str::from_utf8(value).ok())??;
    u64::from_str_radix(text, 16).ok()
}

/// Which of several backends of a route a client is to stay with, as its cookie names an endpoint there that is well.
pub fn held_target(x: &Exchange<'_>, route: &LiveRoute) -> Option<usize> {
    if route.targets.len() < 2 {
        return None;
    }
    let holds = |target: &Target| {
        let Ok(upstream) = &target.upstream else { return false };
        let backend = upstream.backend();
        let affinity =
            backend.affinity.as_ref().filter(|affinity| affinity.holds_backend && target.weight > 0);
        let mark = affinity.and_then(|affinity| kept(&x.head.fields, affinity));
        mark.is_some_and(|mark| upstream.find(x.start(), mark).is_some())
    };
    route.targets.iter().position(holds)
}

/// Adds the cookie that keeps a client where it is. Settings that no field can hold add nothing.
fn push_cookie(fields: &mut Fields, affinity: &Affinity, (mark, is_secure): (u64, bool)) {
    let holds = |text: &str| text.bytes().all(|byte| matches!(byte, 0x21..=0x7e) && byte != b';');
    if !holds(&affinity.cookie) || !holds(&affinity.path) || !affinity.domain.as_deref().is_none_or(holds) {
        return;
    }
    fields.push_with(b"set-cookie", |out| {
        out.extend_from_slice(affinity.cookie.as_bytes());
        out.push(b'=');
        out.extend((0..16).rev().map(|digit| b"0123456789abcdef"[(mark >> (digit * 4)) as usize & 15]));
        push_attributes(out, affinity, is_secure);
    });
}

fn push_attributes(out: &mut Vec<u8>, affinity: &Affinity, is_secure: bool) {
    let mut put = |name: &str, value: &str| {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(value.as_bytes());
    };
    if let Some(date) = affinity.expires.and_then(|expires| SystemTime::now().checked_add(expires)) {
        put("; Expires=", &httpdate::fmt_http_date(date.min(SystemTime::UNIX_EPOCH + LAST_DATE)));
    }
    if let Some(ttl) = affinity.ttl {
        put("; Max-Age=", itoa::Buffer::new().format(ttl.as_secs()));
    }
    if let Some(domain) = &affinity.domain {
        put("; Domain=", domain);
    }
    put("; Path=", &affinity.path);
    if affinity.secure == SecureCookie::Always || affinity.secure == SecureCookie::OverTls && is_secure {
        put("; Secure", "");
    }
    put("; HttpOnly", "");
    match affinity.same_site {
        SameSite::Lax => put("; SameSite=", "Lax"),
        SameSite::Strict => put("; SameSite=", "Strict"),
        SameSite::None => put("; SameSite=", "None"),
        SameSite::Unsaid => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(cookies: &[&str]) -> Fields {
        let mut fields = Fields::default();
        cookies.iter().for_each(|value| fields.push(b"Cookie", value.as_bytes()));
        fields
    }

    fn affinity(path: &str, ttl: Option<u64>) -> Affinity {
        Affinity { path: path.into(), ttl: ttl.map(Duration::from_secs), ..Affinity::named("at") }
    }

    #[test]
    fn cookies_are_found_wherever_they_are() {
        let rows: [(&[&str], Option<&str>); 8] = [
            (&[], None),
            (&["a=1"], Some("1")),
            (&["b=2; a=1"], Some("1")),
            (&["b=2;a=1 ;c=3"], Some("1")),
            (&["b=2", "c=3; a=1=2"], Some("1=2")),
            (&["a=1; a=2"], Some("1")),
            (&["aa=1; A=1; xa=2; a"], None),
            (&["a="], Some("")),
        ];
        for (cookies, wanted) in rows {
            let fields = fields(cookies);
            assert_eq!(cookie(&fields, b"a"), wanted.map(str::as_bytes), "{cookies:?}");
        }
    }

    #[test]
    fn a_cookie_that_was_set_is_understood_and_others_are_not() {
        let mut set = Fields::default();
        push_cookie(&mut set, &affinity("/shop", Some(90)), (0x0123_4567_89ab_cdef, true));
        let value = set.get_by_name("set-cookie").unwrap();
        let wanted = "at=0123456789abcdef; Max-Age=90; Path=/shop; HttpOnly; SameSite=Lax";
        assert_eq!(std::str::from_utf8(value).unwrap(), wanted);
        let rows = [
            ("at=0123456789abcdef", Some(0x0123_4567_89ab_cdef)),
            ("at=0123456789ABCDEF", None),
            ("at=+123456789abcdef", None),
            ("at=0123456789abcde", None),
            ("at=0123456789abcdef0", None),
            ("at=", None),
        ];
        for (text, mark) in rows {
            assert_eq!(kept(&fields(&[text]), &affinity("/", None)), mark, "{text}");
        }
    }

    #[test]
    fn a_cookie_has_the_attributes_that_are_asked_for() {
        let set = |affinity: &Affinity, is_secure| {
            let mut set = Fields::default();
            push_cookie(&mut set, affinity, (1, is_secure));
            let value = set.get_by_name("set-cookie").unwrap_or_default();
            String::from_utf8_lossy(value).split_once("; ").map(|(_, rest)| rest.to_owned())
        };
        let bare = Affinity { same_site: SameSite::Unsaid, ..Affinity::named("at") };
        let secure = |secure, same_site| Affinity { secure, same_site, ..bare.clone() };
        let rows = [
            (bare.clone(), true, "Path=/; HttpOnly"),
            (secure(SecureCookie::OverTls, SameSite::Unsaid), false, "Path=/; HttpOnly"),
            (secure(SecureCookie::OverTls, SameSite::None), true, "Path=/; Secure; HttpOnly; SameSite=None"),
            (
                secure(SecureCookie::Always, SameSite::Strict),
                false,
                "Path=/; Secure; HttpOnly; SameSite=Strict",
            ),
            (
                Affinity { domain: Some("a.test".into()), ..bare.clone() },
                false,
                "Domain=a.test; Path=/; HttpOnly",
            ),
        ];
        for (affinity, is_secure, wanted) in rows {
            assert_eq!(set(&affinity, is_secure).as_deref(), Some(wanted));
        }
        let dated = set(&Affinity { expires: Some(Duration::MAX), ..bare.clone() }, false);
        assert_eq!(dated, Some("Path=/; HttpOnly".to_owned()), "a time without end has no date");
        let dated =
            set(&Affinity { expires: Some(Duration::from_secs(1 << 40)), ..bare.clone() }, false).unwrap();
        assert!(dated.starts_with("Expires=Fri, 31 Dec 9999"), "{dated}");
        let wrong = Affinity { domain: Some("a; Path=/x".into()), ..bare };
        assert_eq!(set(&wrong, false), None);
    }

    #[test]
    fn settings_that_no_field_can_hold_set_no_cookie() {
        for path in ["/a\r\nx: y", "/a; Domain=b", "/a b", "/\u{e4}"] {
            let mut set = Fields::default();
            push_cookie(&mut set, &affinity(path, None), (1, false));
            assert!(set.is_empty(), "{path:?}");
        }
    }
}
