//! Annotation group: names that a host has beside its own, and the one that its backend sees.

use selvedge_common::filter::{Filter, Rewrite};

use super::{
    Effect,
    form::{self, Text, is_host},
    given::Given,
    key::key,
};
use crate::translate::RouteDraft;

super::group! {
    /// Hosts
    Hosts {
        /// Further names of the first host of the Ingress: everything there is answered under them, too.
        server_alias: form::Hosts = key("server-alias").example("`www.shop.example, *.shop.test`")
            .limits("Regular expressions are refused. A name that some Ingress has as the host of a rule stays that one's; of several Ingresses of the host the oldest one with the annotation counts.");
        /// Redirect (308) from the host with `www.` to the one without, or the other way round, unless the other one has rules of its own.
        from_to_www: bool = key("from-to-www-redirect").default("`false`").example("`true`");
        /// `Host` that the backend sees.
        upstream_vhost: Text = key("upstream-vhost").example("`shop.internal`");
    }
}

impl Effect for Hosts {
    fn apply(&self, route: &mut RouteDraft<'_>) {
        if let Some(Text(host)) = self.upstream_vhost.as_ref().filter(|host| is_host(&host.0)) {
            route.filters.push(Filter::Rewrite(Rewrite { path: None, host: Some(host.clone()) }));
        }
    }

    fn judge(&self, given: &mut Given<'_>) {
        for name in self.server_alias.iter().flat_map(|alias| &*alias.wrong) {
            let message = match name.starts_with('~') {
                true => format!(
                    "{name:?}: regular expressions are no names here; list the names, or a `*.` wildcard; it has no effect"
                ),
                false => format!("{name:?} is no name of a host; it has no effect"),
            };
            given.tell("server-alias", "InvalidAnnotation", message);
        }
        if let Some(Text(host)) = self.upstream_vhost.as_ref().filter(|host| !is_host(&host.0)) {
            let message = match host.contains('$') {
                true => {
                    format!("{host:?}: variables are not taken here: write the host out; it has no effect")
                }
                false => format!("{host:?} is no host; it has no effect"),
            };
            given.tell("upstream-vhost", "InvalidAnnotation", message);
        }
    }
}
