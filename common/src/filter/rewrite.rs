//! Filter: changes the path and the host that the backend sees.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{FilterContext, Flow, PathChange, Reply};
use crate::message::{Known, RequestHead, ResponseHead, authority};

/// A rewrite. The query stays; so does the host in logs, `X-Forwarded-Host` and `Forwarded`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rewrite {
    /// The path that the backend sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathChange>,
    /// `Host`, or `:authority`, that the backend sees: a name with an optional port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Arc<str>>,
}

impl Rewrite {
    /// Checks a host that the backend shall see.
    ///
    /// # Errors
    /// When it is none: what is wrong with it.
    pub fn check_host(host: &str) -> Result<(), String> {
        authority::parse(host.as_bytes()).map(drop).map_err(|error| error.to_string())
    }

    pub(super) fn request(&self, _: &FilterContext<'_>, head: &mut RequestHead) -> Flow {
        if let Some(path) = &self.path {
            match path.apply(head.path()) {
                Ok(Some(new)) => head.set_path(&new),
                Ok(None) => {}
                Err(_) => return Flow::Reply(Reply::refusal(400, "rewrite_escapes")),
            }
        }
        if let Some(host) = &self.host {
            head.fields.set(Known::Host, b"host", host.as_bytes());
        }
        Flow::Next
    }

    pub(super) fn response(&self, _: &FilterContext<'_>, _: &mut ResponseHead) {}
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{Given, request},
        *,
    };

    #[test]
    fn path_and_host_change_and_the_rest_stays() {
        let path = PathChange::prefix("/v1", "/").unwrap();
        let rewrite = Rewrite { path: Some(path), host: Some("orders.internal:8080".into()) };
        let mut head = request("shop.example", "/v1/orders", Some("a=../b"));
        assert_eq!(rewrite.request(&Given::default().cx(), &mut head), Flow::Next);
        assert_eq!((head.path(), head.query()), (&b"/orders"[..], Some(&b"a=../b"[..])));
        assert_eq!(head.fields.all(Known::Host).collect::<Vec<_>>(), [b"orders.internal:8080"]);
        assert_eq!((head.authority(), head.host()), (&b"shop.example"[..], &b"shop.example"[..]));
    }

    #[test]
    fn a_path_that_would_leave_its_prefix_is_refused() {
        let rewrite = Rewrite { path: Some(PathChange::prefix("/a", "/b/c").unwrap()), host: None };
        let mut head = request("shop.example", "/a/%2e%2e/d", None);
        let flow = rewrite.request(&Given::default().cx(), &mut head);
        assert_eq!(flow, Flow::Reply(Reply::refusal(400, "rewrite_escapes")));
    }

    #[test]
    fn hosts_are_checked() {
        let rows = [("a.example", true), ("a:80", true), ("[::1]:80", true), ("", false), ("a/b", false)];
        for (host, good) in rows {
            assert_eq!(Rewrite::check_host(host).is_ok(), good, "{host}");
        }
    }
}
