//! Annotation group: names that a host has beside its own, and the one that its backend sees.

use selvedge_common::{
    filter::{Filter, Rewrite},
    quote::quote,
};

use super::{
    Effect,
    form::{self, MOST_HOSTS, Text, is_host},
    given::Given,
    key::key,
};
use crate::translate::RouteDraft;

super::group! {
    /// Hosts
    Hosts {
        /// Further names of the first host of the Ingress: everything there is answered under them, too.
        server_alias: form::Hosts = key("server-alias").example("`www.shop.example, *.shop.test`")
            .limits("Regular expressions are refused. The first 1000 names count, as long as all names of a host have at most 100000 paths together, and 64 MiB of annotations for these. A name that some Ingress has as the host of a rule stays that one's; of several Ingresses of the host the oldest one with the annotation counts.");
        /// Redirect (308, or as `http-redirect-code` says) from the host with `www.` to the one without, or the other way round, unless the other one has rules of its own.
        from_to_www: bool = key("from-to-www-redirect").default("`false`").example("`true`");
        /// `Host` that the backend sees; `$service_name`, `$namespace` and `$ingress_name` in it are those of the path.
        upstream_vhost: Text = key("upstream-vhost").example("`shop.internal`").limits("Other variables are not taken.");
    }
}

/// Variables of a host that are known before there is a request.
const NAMES: [&str; 3] = ["$service_name", "$namespace", "$ingress_name"];

/// A text with these values in place of [`NAMES`].
fn with_names(text: &str, values: &[&str; 3]) -> String {
    NAMES.iter().zip(values).fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
}

impl Effect for Hosts {
    fn apply(&self, route: &mut RouteDraft<'_>) {
        let Some(Text(text)) = &self.upstream_vhost else { return };
        let host = with_names(text, &route.names());
        if is_host(&host) {
            route.filters.push(Filter::Rewrite(Rewrite { path: None, host: Some(host.into()) }));
        }
    }

    fn judge(&self, given: &mut Given<'_>) {
        let wrong = self.server_alias.iter().flat_map(|alias| &*alias.wrong);
        given.tell_each("server-alias", "InvalidAnnotation", wrong.map(|name| &**name), |name| match name
            .starts_with('~')
        {
            true => format!(
                "{}: regular expressions are no names here; list the names, or a `*.` wildcard; it has no effect", quote(name)
            ),
            false => format!("{} is no name of a host; it has no effect", quote(name)),
        });
        if let Some(count) = self.server_alias.as_ref().map(|alias| alias.left_out).filter(|count| *count > 0)
        {
            let message = format!(
                "the first {MOST_HOSTS} names count; {count} more have no effect, use a `*.` wildcard"
            );
            given.tell("server-alias", "InvalidAnnotation", message);
        }
        let is_wrong = |host: &&Text| !is_host(&with_names(&host.0, &["x"; 3]));
        if let Some(Text(host)) = self.upstream_vhost.as_ref().filter(is_wrong) {
            let (has_variables, host) = (host.contains('$'), quote(host));
            let message = match has_variables {
                true => {
                    format!(
                        "{host}: only $service_name, $namespace and $ingress_name are taken here; it has no effect"
                    )
                }
                false => format!("{host} is no host; it has no effect"),
            };
            given.tell("upstream-vhost", "InvalidAnnotation", message);
        }
    }
}
