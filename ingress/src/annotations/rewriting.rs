//! Annotation group: paths as regular expressions, and what the backend sees of them.

use selvedge_common::{
    filter::{Field, FieldChanges, Filter, RequestHeaders, RewriteRegex, Template},
    message::pattern::SearchPattern,
    quote::quote,
};

use super::{
    Effect,
    form::{Path, Target},
    given::Given,
    key::key,
};
use crate::translate::RouteDraft;

super::group! {
    /// Paths
    Rewriting {
        /// Read the paths of all Ingresses of these hosts as regular expressions, whatever their `pathType`: without regard to case, and a path need only begin so.
        use_regex: bool = key("use-regex").default("`false`").example("`true`")
            .limits("Without look-around and backreferences, at most 1024 bytes.");
        /// The path that the backend sees, with `$1` to `$9` for the groups of the path of the Ingress; of a URL clients are sent there. It also turns on `use-regex`.
        target: Target = key("rewrite-target").example("`/$1`").limits("The query stays. What would leave the place that the target names is refused with 400.");
        /// Tell the backend this in `X-Forwarded-Prefix`, whatever the client says there.
        x_forwarded_prefix: Path = key("x-forwarded-prefix").example("`/api`").limits("Also without `rewrite-target`, where ingress-nginx leaves it out.");
    }
}

impl Rewriting {
    /// The rewrite of a path; `None` where there is none.
    fn rewrite(&self, path: &str) -> Option<Result<RewriteRegex, String>> {
        let Target(target) = self.target.as_ref()?;
        // ingress-nginx: the path itself as a target is none.
        if **target == *path {
            return None;
        }
        let template = |text: &str| Template::with_captures(text).map_err(|why| why.to_string());
        let made = SearchPattern::new(path).map_err(|why| why.to_string()).and_then(|pattern| {
            let replacement = template(target)?;
            let prefix = self.x_forwarded_prefix.as_ref();
            let forwarded_prefix = prefix.map(|prefix| template(&prefix.0)).transpose()?;
            Ok(RewriteRegex { pattern, replacement, forwarded_prefix })
        });
        Some(made)
    }
}

impl Effect for Rewriting {
    fn apply(&self, route: &mut RouteDraft<'_>) {
        if let Some(rewrite) = self.rewrite(route.written_path()) {
            // What is wrong with the path is told there, and it answers nothing.
            route.filters.extend(rewrite.ok().map(Filter::RewriteRegex));
            return;
        }
        if let Some(Path(prefix)) = self.x_forwarded_prefix.as_ref().filter(|path| !path.0.contains('$')) {
            let set = vec![Field { name: "X-Forwarded-Prefix".into(), value: prefix.clone() }];
            let changes = FieldChanges { set, ..FieldChanges::default() };
            route.filters.push(Filter::RequestHeaders(RequestHeaders { changes }));
        }
    }

    fn judge(&self, given: &mut Given<'_>) {
        if let (Some(Err(why)), Some(Target(target))) = (self.rewrite("/(.*)"), &self.target) {
            let message = format!("{}: {why}; it has no effect", quote(target));
            given.tell("rewrite-target", "InvalidAnnotation", message);
        }
        let captures = self.x_forwarded_prefix.as_ref().is_some_and(|path| path.0.contains('$'));
        if captures && self.target.is_none() {
            let message =
                "there is no rewrite-target whose groups it could name; it has no effect".to_owned();
            given.tell("x-forwarded-prefix", "InvalidAnnotation", message);
        } else if self.x_forwarded_prefix.is_some()
            && self.target.is_none()
            && given.is_of_nginx("x-forwarded-prefix")
        {
            let message =
                "backends see it, where ingress-nginx leaves it out without rewrite-target".to_owned();
            given.warn("x-forwarded-prefix", "AnnotationApproximated", message);
        }
    }
}
