//! Annotation group: asking another service whether a request may pass.

use selvedge_common::{
    filter::{AuthRequest, CacheTime, Template, TemplateError},
    quote::quote,
};

use super::{
    Effect,
    form::{Count, FieldName, Forgiving, Form, Names, ObjectName, Seconds, Text, Time},
    given::Given,
    key::key,
};
use crate::translate::{AskDraft, RouteDraft};

/// Why nothing has to be set.
const KEPT: &str = "connections to the service are kept and shared as those to backends are";
/// Longest method that is asked with, in bytes; the longest one that anybody registered has 17.
const MOST_METHOD: usize = 32;
/// Which answers are kept where nothing else is said.
const USUAL_CACHE: &str = "200 202 401 5m";

super::group! {
    /// External authorization
    ExternalAuth {
        /// URL that is asked whether a request may pass: 2xx lets it, 401 and 403 are the answer, all else is 500. Its path and query may hold variables.
        url: Text = key("auth-url").example("`http://auth.default.svc.cluster.local/check`").protects()
            .limits("The host may hold none. Paths of an Ingress that begin with `/.well-known/acme-challenge` are left out.");
        /// Method it is asked with.
        method: Text = key("auth-method").default("`GET`").example("`POST`");
        /// Where clients are sent to log in instead of 401; may hold variables.
        signin: Text = key("auth-signin").example("`https://login.example/start`");
        /// Parameter of that URL that says where they came from.
        signin_redirect_param: FieldName = key("auth-signin-redirect-param").default("`rd`").example("`next`");
        /// Fields of its answer that the backend sees.
        response_headers: Names = key("auth-response-headers").example("`X-Auth-User`");
        /// `X-Auth-Request-Redirect` that it sees; may hold variables.
        request_redirect: Text = key("auth-request-redirect").example("`https://shop.example`");
        /// ConfigMap in the namespace of the Ingress with fields that it sees; their values may hold variables.
        proxy_set_headers: ObjectName = key("auth-proxy-set-headers").example("`default/auth-headers`")
            .limits("Where it is missing the paths answer 503.");
        /// What of a request its answer is kept for.
        cache_key: Text = key("auth-cache-key").example("`$cookie_session$http_authorization`")
            .limits("`$remote_user` stands for all of `Authorization`.");
        /// How long answers are kept, by status.
        cache_duration: Text = key("auth-cache-duration").default("`200 202 401 5m`").example("`200 10m, 401 1m`");
        /// Hand on its cookies with errors, too.
        always_set_cookie: bool = key("auth-always-set-cookie").default("`false`").example("`true`");
        /// How many idle connections to it are kept.
        keepalive: Count = key("auth-keepalive").default("`0`").example("`10`").no_effect(KEPT);
        /// Whether those share variables.
        keepalive_share_vars: bool = key("auth-keepalive-share-vars").default("`false`").example("`true`").no_effect(KEPT);
        /// How many requests each of them takes.
        keepalive_requests: Count = key("auth-keepalive-requests").default("`1000`").example("`100`").no_effect(KEPT);
        /// How long an idle one is kept.
        keepalive_timeout: Seconds = key("auth-keepalive-timeout").default("`60`").example("`30`").no_effect(KEPT);
        /// Code of nginx for the question.
        snippet: Forgiving = key("auth-snippet").example("`proxy_set_header X-A b;`")
            .refused("snippets are code, which nobody reads here; use auth-proxy-set-headers").protects();
        /// Whether what the class asks for all paths is asked here.
        global: bool = key("enable-global-auth").default("`true`").example("`false`");
    }
}

/// What is wrong: the annotation, and a clause for people.
type Wrong = (&'static str, String);

impl ExternalAuth {
    /// Who is asked, and all that is wrong. Where anything is, nobody is asked and nobody comes in.
    fn draft(&self) -> (Option<AskDraft>, Vec<Wrong>) {
        let Some(Text(url)) = &self.url else { return (None, Vec::new()) };
        let mut wrong = Vec::new();
        let place = parts(url).or_else(|| {
            let why = format!("{} is no URL of HTTP with a host that is written out", quote(url));
            wrong.push(("auth-url", why));
            None
        });
        let target = place.and_then(|(.., target)| template(("auth-url", url), target, &mut wrong));
        let parameter = self.signin_redirect_param.as_ref().map_or("rd", |name| &name.0);
        let signin = self.signin.as_ref().and_then(|Text(url)| {
            template(("auth-signin", url), &AuthRequest::signin_text(url, parameter), &mut wrong)
        });
        let redirect = self.request_redirect.as_ref();
        let redirect =
            redirect.and_then(|Text(text)| template(("auth-request-redirect", text), text, &mut wrong));
        let cache_key = self.cache_key.as_ref();
        let cache_key = cache_key
            .and_then(|Text(text)| template(("auth-cache-key", text), &with_credentials(text), &mut wrong));
        let times = self.cache_duration.as_ref().map_or(USUAL_CACHE, |text| &text.0);
        let times = cache_times(times).unwrap_or_else(|| {
            let why = format!("{} is not of the form `200 202 5m`", quote(times));
            wrong.push(("auth-cache-duration", why));
            Vec::new()
        });
        let method = self.method.as_ref().map(|method| method.0.clone());
        if let Some(method) = method.as_ref().filter(|method| !is_method(method)) {
            wrong.push(("auth-method", format!("{} is no method, in capital letters", quote(method))));
        }
        let (Some((secure, authority, _)), Some(target), true) = (place, target, wrong.is_empty()) else {
            return (None, wrong);
        };
        let draft = AskDraft {
            secure,
            authority: authority.into(),
            target,
            method,
            redirect,
            signin,
            response_fields: self.response_headers.as_ref().map(|names| names.0.to_vec()).unwrap_or_default(),
            request_fields: self.proxy_set_headers.clone(),
            always_set_cookie: self.always_set_cookie == Some(true),
            cache: cache_key.map(|key| (key, times)),
        };
        (Some(draft), wrong)
    }
}

/// A text with variables; what is wrong with it is noted with the value that it comes from.
fn template((key, value): (&'static str, &str), text: &str, wrong: &mut Vec<Wrong>) -> Option<Template> {
    let noted = |why: TemplateError| wrong.push((key, format!("{}: {why}", quote(value))));
    Template::parse(text).map_err(noted).ok()
}

/// A key with all of `Authorization` in place of `$remote_user`, so that a wrong password never gets the answer to a right
/// one.
fn with_credentials(key: &str) -> String {
    let key = key.replace("${remote_user}", "${http_authorization}");
    let mut pieces = key.split("$remote_user");
    let begin = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(begin, |text, rest| {
        let is_longer = rest.starts_with(|next: char| next.is_ascii_alphanumeric() || next == '_');
        let name = if is_longer { "$remote_user" } else { "$http_authorization" };
        text + name + rest
    })
}

fn is_method(text: &str) -> bool {
    (1..=MOST_METHOD).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// Whether over TLS, the host with its port, and what is asked for there.
fn parts(url: &str) -> Option<(bool, &str, &str)> {
    let (secure, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (None, rest) => (false, rest?),
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    let target = if target.is_empty() { "/" } else { target };
    (super::form::is_host(authority) && !authority.starts_with('[') && target.starts_with('/'))
        .then_some((secure, authority, target))
}

/// `200 202 401 5m`, several of them separated by commas; `any` or no status stands for all.
fn cache_times(text: &str) -> Option<Vec<CacheTime>> {
    let one = |text: &str| {
        let mut words: Vec<_> = text.split_ascii_whitespace().collect();
        let Time(duration) = Time::parse(words.pop()?)?;
        let statuses: Option<Vec<u16>> =
            words.iter().filter(|word| **word != "any").map(|word| word.parse().ok()).collect();
        Some(CacheTime { statuses: statuses?, duration })
    };
    text.split(',').map(one).collect()
}

impl Effect for ExternalAuth {
    fn apply(&self, route: &mut RouteDraft<'_>) {
        route.asks = self.draft().0;
    }

    fn judge(&self, given: &mut Given<'_>) {
        for (key, why) in self.draft().1 {
            given.tell(key, "InvalidAnnotation", format!("{why}; it protects its paths, so they answer 503"));
            given.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_host_that_is_written_out() {
        assert_eq!(parts("http://a.test/x?y=$z"), Some((false, "a.test", "/x?y=$z")));
        assert_eq!(parts("https://a.test:8443"), Some((true, "a.test:8443", "/")));
        for url in ["a.test/x", "http:///x", "http://$host/x", "http://a.test?x", "ftp://a.test/"] {
            assert_eq!(parts(url), None, "{url}");
        }
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once_and_nobody_is_asked() {
        let text = |text: &str| Some(Text(text.into()));
        let wrong = ExternalAuth {
            url: text("http://auth.test/$nothing"),
            method: text("get"),
            signin: text("https://login.test/$none"),
            request_redirect: text("$nowhere"),
            cache_key: text("$"),
            cache_duration: text("soon"),
            ..ExternalAuth::default()
        };
        let (draft, told) = wrong.draft();
        assert_eq!(draft, None);
        let keys: Vec<_> = told.iter().map(|(key, _)| key.trim_start_matches("auth-")).collect();
        assert_eq!(keys, ["url", "signin", "request-redirect", "cache-key", "cache-duration", "method"]);
        assert!(told.iter().all(|(_, why)| why.starts_with('"')), "{told:?}");
        let host = ExternalAuth { url: text("http://$host/"), ..wrong };
        assert_eq!((host.draft().0, host.draft().1.len()), (None, 6));
    }

    #[test]
    fn the_name_of_a_user_stands_for_all_credentials() {
        for (key, wanted) in [
            ("$remote_user$http_authorization", "$http_authorization$http_authorization"),
            ("$host-${remote_user}x", "$host-${http_authorization}x"),
            ("a$remote_user", "a$http_authorization"),
            ("$remote_user_id", "$remote_user_id"),
            ("$host", "$host"),
        ] {
            assert_eq!(with_credentials(key), wanted);
        }
    }

    #[test]
    fn answers_are_kept_by_status() {
        let times = cache_times("200 202 401 5m, any 1s").unwrap();
        assert_eq!((&times[0].statuses[..], times[0].duration.as_secs()), (&[200, 202, 401][..], 300));
        assert_eq!((&times[1].statuses[..], times[1].duration.as_secs()), (&[][..], 1));
        for text in ["", "200", "200 x", "a 5m", "200 5m,"] {
            assert!(text == "200" || cache_times(text).is_none(), "{text}");
        }
    }
}
