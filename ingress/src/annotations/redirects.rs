//! Annotation group: redirects to other URLs.

use selvedge_common::{
    filter::{Filter, LocationRewrite, RedirectTo, Template},
    quote::quote,
};

use super::{
    Effect,
    form::{AbsoluteUrl, Path, RedirectCode, Text},
    given::Given,
    key::key,
};
use crate::translate::RouteDraft;

super::group! {
    /// Redirects to other URLs
    Redirects {
        /// Answer requests for `/` of the host with 302 to this path, before anything else.
        app_root: Path = key("app-root").example("`/app`").limits("Without variables. Of several Ingresses of the host the oldest one with the annotation counts.");
        /// Answer every request with a redirect for good to this URL, before anything else.
        permanent_redirect: AbsoluteUrl = key("permanent-redirect").example("`https://shop.example`");
        /// Status of the redirect for good.
        permanent_redirect_code: RedirectCode = key("permanent-redirect-code").default("`301`").example("`308`");
        /// Answer every request with a redirect for now to this URL. It comes before `permanent-redirect`.
        temporal_redirect: AbsoluteUrl = key("temporal-redirect").example("`https://shop.example`");
        /// Status of the redirect for now.
        temporal_redirect_code: RedirectCode = key("temporal-redirect-code").default("`302`").example("`307`");
        /// Write redirects to paths of the same host without scheme and host.
        relative_redirects: bool = key("relative-redirects").default("`false`").example("`true`");
        /// Write the port of the listener into redirects.
        use_port: bool = key("use-port-in-redirects").default("`false`").example("`true`")
            .no_effect("redirects name the port that clients see, which flags set for each listener");
        /// What `Location` and `Refresh` of the backend begin with where they are rewritten.
        proxy_redirect_from: Text = key("proxy-redirect-from").default("`off`").example("`http://shop.internal/`").limits("Together with `proxy-redirect-to`.");
        /// What they begin with then; may hold variables.
        proxy_redirect_to: Text = key("proxy-redirect-to").example("`https://shop.example/`").limits("Together with `proxy-redirect-from`.");
    }
}

impl Redirects {
    /// Where requests for the root of the host are sent.
    pub(crate) fn root(&self) -> Option<Filter> {
        let Path(path) = self.app_root.as_ref()?;
        self.redirect(path, 302)
    }

    /// To this path of the host that was asked, with a slash at its end and with the query.
    pub(crate) fn to_slash(&self, path: &str, status: u16) -> Option<Filter> {
        let is_relative = self.relative_redirects == Some(true) && !path.contains('$');
        is_relative.then(|| self.redirect(&format!("{path}$is_args$args"), status)).flatten()
    }

    /// To this URL, or this path of the host that was asked.
    fn redirect(&self, url: &str, status: u16) -> Option<Filter> {
        let is_whole = !url.starts_with('/') || self.relative_redirects == Some(true);
        let text = if is_whole { url.to_owned() } else { format!("$scheme://$http_host{url}") };
        let location = Template::parse(&text).ok()?;
        Some(Filter::RedirectTo(RedirectTo { location, status, cut_slash: false }))
    }

    fn rewrite(&self) -> Option<Result<LocationRewrite, String>> {
        let (Text(from), Text(to)) = (self.proxy_redirect_from.as_ref()?, self.proxy_redirect_to.as_ref()?);
        if matches!(&**from, "off" | "default") {
            return None;
        }
        let to = Template::parse(to).map_err(|why| why.to_string());
        Some(to.map(|to| LocationRewrite { from: from.clone(), to }))
    }
}

impl Effect for Redirects {
    fn apply(&self, route: &mut RouteDraft<'_>) {
        let code = |code: Option<RedirectCode>, usual| code.map_or(usual, |code: RedirectCode| code.0);
        let chosen = match (&self.temporal_redirect, &self.permanent_redirect) {
            (Some(url), _) => self.redirect(&url.0, code(self.temporal_redirect_code, 302)),
            (None, Some(url)) => self.redirect(&url.0, code(self.permanent_redirect_code, 301)),
            (None, None) => None,
        };
        route.filters.extend(chosen);
        if let Some(Ok(rewrite)) = self.rewrite() {
            route.filters.push(Filter::LocationRewrite(rewrite));
        }
    }

    fn judge(&self, given: &mut Given<'_>) {
        if let (Some(Err(why)), Some(Text(to))) = (self.rewrite(), &self.proxy_redirect_to) {
            let message = format!("{}: {why}; it has no effect", quote(to));
            given.tell("proxy-redirect-to", "InvalidAnnotation", message);
        }
        if let Some(Path(path)) = self.app_root.as_ref().filter(|_| self.root().is_none()) {
            let message = format!("{} holds a variable that there is not; it has no effect", quote(path));
            given.tell("app-root", "InvalidAnnotation", message);
        }
    }
}
