//! Settings groups: who comes in, how often, and whose word counts.

use selvedge_common::filter::FieldBlock;

use super::{
    Effect, Globals,
    form::{LimitKey, Paths, Risk, Status, Values},
    given::Given,
    setting::{setting, usual},
};
use crate::annotations::form::{Cidrs, Count, FieldName, Forgiving, Names, Text};

super::settings! {
    /// Access
    Access {
        /// Only these addresses come in.
        allow: Cidrs = setting("whitelist-source-range").annotation("allowlist-source-range").example("`10.0.0.0/8`").protects();
        /// These addresses do not.
        deny: Cidrs = usual("denylist-source-range").example("`192.0.2.0/24`").protects();
        /// Addresses that get 403 on every path, whatever annotations say.
        blocked: Cidrs = setting("block-cidrs").example("`192.0.2.0/24`").protects();
        /// `User-Agent` of requests that get 403.
        agents: Values = setting("block-user-agents").example("`~*crawler`").protects();
        /// `Referer` of requests that get 403.
        referers: Values = setting("block-referers").example("`~*spam\\.example`").protects();
    }
}

super::settings! {
    /// A service that is asked for all paths
    GlobalAuth {
        /// URL that is asked whether a request may pass, for Ingresses that have neither the annotation `auth-url` nor `enable-global-auth: "false"`.
        url: Text = setting("global-auth-url").annotation("auth-url").example("`http://auth.default.svc.cluster.local/check`").protects();
        /// Method it is asked with.
        method: Text = setting("global-auth-method").annotation("auth-method").example("`POST`");
        /// Where clients are sent to log in.
        signin: Text = setting("global-auth-signin").annotation("auth-signin").example("`https://login.example/start`");
        /// Parameter of that URL that says where they came from.
        parameter: FieldName = setting("global-auth-signin-redirect-param").annotation("auth-signin-redirect-param").default("`rd`").example("`next`");
        /// Fields of its answer that backends see.
        fields: Names = setting("global-auth-response-headers").annotation("auth-response-headers").example("`X-Auth-User`");
        /// `X-Auth-Request-Redirect` that it sees.
        redirect: Text = setting("global-auth-request-redirect").annotation("auth-request-redirect").example("`https://shop.example`");
        /// What of a request its answer is kept for.
        cache_key: Text = setting("global-auth-cache-key").annotation("auth-cache-key").example("`$cookie_session`");
        /// How long answers are kept.
        cache_duration: Text = setting("global-auth-cache-duration").annotation("auth-cache-duration").default("`200 202 401 5m`").example("`200 10m`");
        /// Hand on its cookies with errors, too.
        always_set_cookie: bool = setting("global-auth-always-set-cookie").annotation("auth-always-set-cookie").default("`false`").example("`true`");
        /// Code of nginx for the question.
        snippet: Forgiving = setting("global-auth-snippet").example("`proxy_set_header X-A b;`")
            .refused("snippets are code, which nobody reads here");
        /// Paths of Ingresses that begin so ask for neither password nor service.
        unasked: Paths = setting("no-auth-locations").default("`/.well-known/acme-challenge`").example("`/public`");
        /// Write the questions into the access log.
        log: bool = setting("enable-auth-access-log").default("`false`").example("`true`")
            .no_effect("a request is in the access log once, with the reason if the service refused it");
    }
}

super::settings! {
    /// Rate limits
    Rates {
        /// Status of requests that come too fast.
        rate_status: Status = setting("limit-req-status-code").default("`503`").example("`429`");
        /// Status of requests of an address that has too many going on.
        connections_status: Status = setting("limit-conn-status-code").default("`503`").example("`429`");
        /// What of a request it is counted by where annotations limit the rate or the number of requests; requests where that is empty are not counted.
        variable: LimitKey = setting("limit-conn-zone-variable").default("`$binary_remote_addr`").example("`$http_x_user`");
    }
}

super::settings! {
    /// Whose word counts
    Trust {
        /// Take snippets of annotations.
        allow_snippets: bool = setting("allow-snippet-annotations").default("`false`").example("`true`")
            .refused("snippets are code, which nobody reads here; each annotation says what to use instead");
        /// Let annotations name Secrets and ConfigMaps of other namespaces.
        other_namespaces: bool = setting("allow-cross-namespace-resources").default("`false`").example("`true`")
            .refused("an Ingress reads Secrets and ConfigMaps of its own namespace alone");
        /// How much harm an annotation may be able to do.
        risk: Risk = setting("annotations-risk-level").default("`High`").example("`Critical`")
            .no_effect("no annotation can do the harm that these levels are for: none of them is code, and each has a form that it is held to");
        /// Words that no annotation may have.
        words: Text = setting("annotation-value-word-blocklist").example("`load_module,lua_package`")
            .no_effect("no annotation becomes part of a configuration text");
        /// Refuse paths with characters that pathType does not have.
        strict_paths: bool = setting("strict-validate-path-type").default("`true`").example("`false`")
            .no_effect("a path is held to what a URL may have, and is a regular expression only where use-regex says so");
        /// Fields of answers that the annotation `custom-headers` may set. Paths of an Ingress that sets others answer 503.
        response_fields: Names = setting("global-allowed-response-headers").example("`X-Frame-Options`");
        /// Addresses that may read the state of nginx.
        status_v4: Text = setting("nginx-status-ipv4-whitelist").default("`127.0.0.1`").example("`10.0.0.0/8`")
            .no_effect("the state is at the admin address, --admin");
        /// The same for IPv6.
        status_v6: Text = setting("nginx-status-ipv6-whitelist").default("`::1`").example("`fc00::/7`")
            .no_effect("the state is at the admin address, --admin");
        /// Look at requests with ModSecurity.
        modsecurity: bool = setting("enable-modsecurity").default("`false`").example("`true`")
            .refused("there is no ModSecurity here; run a firewall as a Service of its own in front of the backend");
        /// Use the OWASP core rules.
        core_rules: bool = setting("enable-owasp-modsecurity-crs").default("`false`").example("`true`")
            .refused("there is no ModSecurity here; run a firewall as a Service of its own in front of the backend");
        /// Rules of ModSecurity.
        modsecurity_snippet: Forgiving = setting("modsecurity-snippet").example("`SecRuleEngine On`")
            .refused("there is no ModSecurity here; run a firewall as a Service of its own in front of the backend");
        /// Clients whose connections are written about in detail.
        debugged: Text = setting("debug-connections").example("`192.0.2.1`")
            .no_effect("the flag --log-filter says how much is written");
        /// Countries of clients by their addresses.
        geoip: bool = setting("use-geoip").default("`true`").example("`false`").no_effect("nobody looks up countries");
        /// The same with the newer form.
        geoip2: bool = setting("use-geoip2").default("`false`").example("`true`")
            .refused("nobody looks up countries, as the database is not free: have the proxy in front tell the country in a field, or keep networks out with block-cidrs");
        /// How often its data are read anew.
        geoip2_reload: Count = setting("geoip2-autoreload-in-minutes").default("`0`").example("`60`")
            .no_effect("nobody looks up countries");
    }
}

impl Effect for Access {
    fn apply(&self, globals: &mut Globals, _: &mut Given<'_>) {
        globals.blocked = self.blocked.as_ref().map(|blocked| blocked.0.clone()).unwrap_or_default();
        for (name, values) in [("user-agent", &self.agents), ("referer", &self.referers)] {
            let block = |values: &Values| FieldBlock { name: name.into(), values: values.0.to_vec() };
            globals.blocked_fields.extend(values.as_ref().map(block));
        }
    }
}

impl Effect for GlobalAuth {
    fn apply(&self, globals: &mut Globals, _: &mut Given<'_>) {
        if let Some(paths) = &self.unasked {
            globals.unasked = paths.0.to_vec();
        }
    }
}

impl Effect for Rates {
    fn apply(&self, globals: &mut Globals, _: &mut Given<'_>) {
        globals.rate_status = self.rate_status.map_or(globals.rate_status, |status| status.0);
        globals.connections_status =
            self.connections_status.map_or(globals.connections_status, |status| status.0);
        globals.limit_key = self.variable.as_ref().and_then(|key| key.0.clone());
    }
}

impl Effect for Trust {
    fn apply(&self, globals: &mut Globals, given: &mut Given<'_>) {
        if !given.is_foreign() {
            return;
        }
        // ingress-nginx: what is not in the list is not allowed, and no list is an empty one.
        let names = self.response_fields.as_ref().map(|names| names.0.to_vec());
        globals.custom_fields = Some(names.unwrap_or_default());
    }
}
