//! Annotation group: copies of requests.

use std::sync::Arc;

use selvedge_common::quote::quote;

use super::{
    Effect,
    form::{Switch, Text, is_host},
    given::Given,
    key::key,
};
use crate::translate::{MirrorDraft, RouteDraft};

super::group! {
    /// Mirroring
    Mirroring {
        /// URL that gets a copy of each request; its answers are dropped, and the request does not wait for them. It may end in `$request_uri`, which is the same as without.
        target: Text = key("mirror-target").example("`https://mirror.example$request_uri`")
            .limits("A host with an optional port and no path of its own: the copy has the path of the request as the backend sees it.");
        /// Whether copies have the body of the request.
        body: Switch = key("mirror-request-body").default("`on`").example("`off`")
            .approximated("copies have the body where it is at most 64 KiB; requests with a larger one are not copied");
        /// `Host` of copies; without it that of the target.
        host: Text = key("mirror-host").example("`mirror.example`").limits("Without variables.");
    }
}

/// The place that a target names.
fn place(text: &str) -> Option<MirrorDraft> {
    let (rest, secure) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (rest, true),
        (None, Some(rest)) => (rest, false),
        (None, None) => return None,
    };
    let rest = rest.strip_suffix("$request_uri").unwrap_or(rest);
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if !is_host(rest) || rest.starts_with('[') {
        return None;
    }
    let usual = if secure { 443 } else { 80 };
    let (name, port) = match rest.rsplit_once(':') {
        Some((name, port)) => (name, port.parse().ok()?),
        None => (rest, usual),
    };
    let name: Arc<str> = name.to_ascii_lowercase().into();
    Some(MirrorDraft { shown: name.clone(), name, port, secure })
}

impl Mirroring {
    fn sound_host(&self) -> Option<&Arc<str>> {
        self.host.as_ref().map(|host| &host.0).filter(|host| is_host(host))
    }
}

impl Effect for Mirroring {
    fn apply(&self, route: &mut RouteDraft<'_>) {
        let place = self.target.as_ref().and_then(|target| place(&target.0));
        route.mirror = place.map(|place| match self.sound_host() {
            Some(host) => MirrorDraft { shown: host.clone(), ..place },
            None => place,
        });
    }

    fn judge(&self, given: &mut Given<'_>) {
        if let Some(target) = self.target.as_ref().filter(|target| place(&target.0).is_none()) {
            let message = format!(
                "{} is not of the form `http://HOST:PORT$request_uri`, with a host and no path; no request is copied",
                quote(&target.0)
            );
            given.tell("mirror-target", "InvalidAnnotation", message);
        }
        if let Some(Text(host)) = self.host.as_ref().filter(|_| self.sound_host().is_none()) {
            let message = format!("{} is no host; copies have that of the target", quote(host));
            given.tell("mirror-host", "InvalidAnnotation", message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_host_without_a_path_of_its_own() {
        let table = [
            ("http://10.244.9.2:8080$request_uri", Some(("10.244.9.2", 8080, false))),
            ("https://mirror.example/$request_uri", Some(("mirror.example", 443, true))),
            ("https://Mirror.Example", Some(("mirror.example", 443, true))),
            ("http://m.example/path$request_uri", None),
            ("http://m.example:0x", None),
            ("http://$host", None),
            ("m.example", None),
            ("bad; x", None),
        ];
        for (text, want) in table {
            let found = place(text);
            let found = found.as_ref().map(|place| (&*place.name, place.port, place.secure));
            assert_eq!(found, want, "{text:?}");
        }
    }
}
