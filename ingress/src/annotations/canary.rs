//! Annotation group: sending some of the requests of another Ingress to a Service of this one.

use super::{
    Effect,
    form::{Cookie, Count, FieldName, Pattern, Text},
    given::Given,
    key::key,
};

/// What a canary may say beside `canary-…`; all else is said by the main Ingress.
const OWN: [&str; 6] =
    ["load-balance", "upstream-hash-by", "affinity", "balance", "affinity-canary-behavior", "canary"];

super::group! {
    /// Canary
    Canary {
        /// This Ingress has no paths of its own: its backends get some of the requests that another Ingress of the same host, path and `pathType` gets, and what that one says counts for them.
        canary: bool = key("canary").default("`false`").example("`true`")
            .limits("Of several canaries of a path the first one counts. One without endpoints gets nothing; where the main Service has none, the answer is 503.");
        /// How many of `canary-weight-total` requests it gets, drawn at random.
        weight: Count = key("canary-weight").default("`0`").example("`10`");
        /// What `canary-weight` is a share of.
        weight_total: Count = key("canary-weight-total").default("`100`").example("`1000`")
            .limits("At least 100; less counts as 100, as there.");
        /// Header field that decides: `always` leads to it, `never` does not, all else leaves it to cookie and weight.
        header: FieldName = key("canary-by-header").example("`X-Canary`");
        /// Value of that field that leads to it, in place of `always`.
        header_value: Text = key("canary-by-header-value").example("`blue`");
        /// Regular expression that a part of the value must match, in place of `always`. `canary-by-header-value` comes before it.
        header_pattern: Pattern = key("canary-by-header-pattern").example("`^(ios|android)$`");
        /// Cookie that decides as the field does. The field comes before it.
        cookie: Cookie = key("canary-by-cookie").example("`canary`");
    }
}

impl Canary {
    /// Whether the Ingress is one.
    pub fn is_one(&self) -> bool {
        self.canary == Some(true)
    }

    /// Its share and that of the main Service.
    ///
    /// ingress-nginx: a total of less than 100 counts as 100.
    pub fn shares(&self) -> (u32, u32) {
        let total = self.weight_total.map_or(100, |total| total.0.max(100));
        let weight = self.weight.map_or(0, |weight| weight.0).min(total);
        (weight, total - weight)
    }
}

impl Effect for Canary {
    fn judge(&self, given: &mut Given<'_>) {
        if !self.is_one() {
            return;
        }
        if let Some(Count(total @ 0..100)) = self.weight_total {
            let message = format!("{total} is less than 100, which counts instead");
            given.warn("canary-weight-total", "InvalidAnnotation", message);
        }
        let is_own = |name: &str| name.starts_with("canary-") || OWN.contains(&name);
        let mut others: Vec<_> = given.names().filter(|name| !is_own(name)).collect();
        others.sort_unstable();
        others.dedup();
        if !others.is_empty() {
            let message = format!(
                "what the main Ingress says counts for a canary, too; here these have no effect: {}",
                others.join(", ")
            );
            given.warn("canary", "IgnoredOnCanary", message);
        }
    }
}
