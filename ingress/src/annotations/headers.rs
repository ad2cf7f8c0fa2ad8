//! Annotation group: header fields and cookies of answers.

use selvedge_common::{
    filter::{CookieRewrite, Filter, Replacement, Template},
    quote::quote,
};

use super::{
    Effect,
    form::{ObjectName, Text},
    given::Given,
    key::key,
};
use crate::translate::RouteDraft;

super::group! {
    /// Header fields and cookies
    Headers {
        /// ConfigMap in the namespace of the Ingress whose entries are header fields of answers.
        custom: ObjectName = key("custom-headers").example("`default/shop-headers`").protects()
            .limits("Fields that concern no connection; in classes of ingress-nginx with `--nginx-configmap` those alone that its `global-allowed-response-headers` names. Where the ConfigMap is missing, or has another one, the paths answer 503.");
        /// `Domain` of cookies: what it is and what it becomes.
        cookie_domain: Text = key("proxy-cookie-domain").default("`off`").example("`shop.internal shop.example`");
        /// `Path` of cookies: what it is and what it becomes.
        cookie_path: Text = key("proxy-cookie-path").default("`off`").example("`/internal /`");
    }
}

/// Two words: what is changed, and what it becomes.
fn replacement(text: &Text) -> Option<Result<Replacement, String>> {
    let mut words = text.0.split_ascii_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some("off"), None, _) => None,
        (Some(from), Some(to), None) => {
            let to = Template::parse(to).map_err(|why| why.to_string());
            Some(to.map(|to| Replacement { from: from.into(), to }))
        }
        _ => Some(Err("it is neither `off` nor two words".to_owned())),
    }
}

impl Effect for Headers {
    fn apply(&self, route: &mut RouteDraft<'_>) {
        route.custom_headers.clone_from(&self.custom);
        let part = |text: &Option<Text>| text.as_ref().and_then(replacement).and_then(Result::ok);
        let (domain, path) = (part(&self.cookie_domain), part(&self.cookie_path));
        if domain.is_some() || path.is_some() {
            route.filters.push(Filter::CookieRewrite(CookieRewrite { domain, path }));
        }
    }

    fn judge(&self, given: &mut Given<'_>) {
        for (key, text) in
            [("proxy-cookie-domain", &self.cookie_domain), ("proxy-cookie-path", &self.cookie_path)]
        {
            let Some((text, Err(why))) = text.as_ref().and_then(|text| Some((text, replacement(text)?)))
            else {
                continue;
            };
            let message = format!("{}: {why}; cookies stay as the backend sets them", quote(&text.0));
            given.tell(key, "InvalidAnnotation", message);
        }
    }
}
