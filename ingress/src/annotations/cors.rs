//! Annotation group: which other sites may read answers.

use selvedge_common::{
    filter::{Cors as CorsFilter, CorsOrigin, Filter, check_value},
    quote::quote,
};

use super::{
    Effect,
    form::{Count, Text},
    given::Given,
    key::key,
};
use crate::translate::RouteDraft;

/// ingress-nginx: methods, fields and seconds where nothing else is said.
const METHODS: &str = "GET, PUT, POST, DELETE, PATCH, OPTIONS";
const HEADERS: &str = "DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range,Authorization";
const MAX_AGE: u64 = 1_728_000;

super::group! {
    /// CORS
    Cors {
        /// Answer preflights, and tell browsers who may read answers.
        enable: bool = key("enable-cors").default("`false`").example("`true`");
        /// Origins that may: each with its scheme, `*.` stands for one label; `*` is all of them.
        allow_origin: Text = key("cors-allow-origin").default("`*`").example("`https://shop.example, https://*.shop.test`");
        /// Methods that they may use.
        allow_methods: Text = key("cors-allow-methods").default("`GET, PUT, POST, DELETE, PATCH, OPTIONS`").example("`GET, POST`");
        /// Header fields that they may send.
        allow_headers: Text = key("cors-allow-headers").default("`DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range,Authorization`").example("`X-Token`");
        /// Header fields that they may read.
        expose_headers: Text = key("cors-expose-headers").example("`X-Count`");
        /// Whether cookies and passwords may be sent.
        allow_credentials: bool = key("cors-allow-credentials").default("`true`").example("`false`").fallback("false");
        /// How long browsers keep the answer to a preflight, in seconds.
        max_age: Count = key("cors-max-age").default("`1728000`").example("`600`");
    }
}

impl Cors {
    /// The origins that may, and those that are none. Without any that is one nobody may.
    fn origins(&self) -> (Vec<CorsOrigin>, Vec<&str>) {
        let text = self.allow_origin.as_ref().map_or("*", |text| &text.0);
        let all: Vec<_> = text.split(',').map(str::trim).filter(|origin| !origin.is_empty()).collect();
        if all.contains(&"*") {
            return (Vec::new(), Vec::new());
        }
        let (good, wrong): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|origin| CorsOrigin::parse(origin).is_ok());
        (good.into_iter().filter_map(|origin| CorsOrigin::parse(origin).ok()).collect(), wrong)
    }
}

impl Effect for Cors {
    fn apply(&self, route: &mut RouteDraft<'_>) {
        let (origins, wrong) = self.origins();
        if self.enable != Some(true) || (origins.is_empty() && !wrong.is_empty()) {
            return;
        }
        let text = |given: &Option<Text>, usual: &str| match given {
            Some(Text(text)) if check_value(text).is_ok() => text.clone(),
            _ => usual.into(),
        };
        route.filters.push(Filter::Cors(CorsFilter {
            origins,
            methods: text(&self.allow_methods, METHODS),
            headers: text(&self.allow_headers, HEADERS),
            expose_headers: self.expose_headers.as_ref().map(|text| text.0.clone()),
            credentials: self.allow_credentials.unwrap_or(true),
            max_age_seconds: self.max_age.map_or(MAX_AGE, |age| age.0.into()),
        }));
    }

    fn judge(&self, given: &mut Given<'_>) {
        given.tell_each("cors-allow-origin", "InvalidAnnotation", self.origins().1.into_iter(), |origin| {
            format!(
                "{} is no origin such as `https://shop.example`; no site may use this one by it",
                quote(origin)
            )
        });
    }
}
