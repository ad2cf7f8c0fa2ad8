//! Parameters: which setting each field of EdgeParameters means, so that both are read, judged and applied alike.

use std::collections::BTreeMap;

use selvedge_common::{
    id::ObjectRef,
    kube::{objects::Kind, rules::header_changes},
    model::Problem,
};
use selvedge_crds::{
    Duration, EdgeParameters, EdgeParametersSpec,
    compression::Compression,
    edge_parameters::{AuthCacheTime, EdgeAccess, ExternalAuth, RedirectWhen, StrictTransport},
};

use super::{Globals, Source};

/// What the settings begin with that a service of EdgeParameters takes the place of, all together.
const GLOBAL_AUTH: &str = "global-auth-";

/// A field of EdgeParameters and the setting that it means.
struct Meaning {
    /// Path of the field below `spec`.
    field: &'static str,
    /// Key of the setting.
    setting: &'static str,
    /// Its value; `None` where the field is absent.
    value: fn(&EdgeParametersSpec) -> Option<String>,
}

const fn meaning(
    field: &'static str,
    setting: &'static str,
    value: fn(&EdgeParametersSpec) -> Option<String>,
) -> Meaning {
    Meaning { field, setting, value }
}

/// THE list of fields. Headers are not in it: there they are written out, and in the ConfigMap of further ones.
const MEANINGS: &[Meaning] = &[
    meaning("redirectToHttps.when", "ssl-redirect", |spec| {
        Some((redirect(spec)? != RedirectWhen::Never).to_string())
    }),
    meaning("redirectToHttps.when", "force-ssl-redirect", |spec| {
        Some((redirect(spec)? == RedirectWhen::Always).to_string())
    }),
    meaning("redirectToHttps.status", "http-redirect-code", |spec| {
        text(spec.redirect_to_https.as_ref()?.status)
    }),
    meaning("redirectToHttps.exceptPaths", "no-tls-redirect-locations", |spec| {
        list(&spec.redirect_to_https.as_ref()?.except_paths)
    }),
    meaning("strictTransport.maxAge", "hsts", |spec| Some((seconds(strict(spec)?) > 0).to_string())),
    meaning("strictTransport.maxAge", "hsts-max-age", |spec| Some(seconds(strict(spec)?).to_string())),
    meaning("strictTransport.includeSubdomains", "hsts-include-subdomains", |spec| {
        Some(strict(spec)?.include_subdomains.to_string())
    }),
    meaning("strictTransport.preload", "hsts-preload", |spec| Some(strict(spec)?.preload.to_string())),
    meaning("timeouts.connect", "proxy-connect-timeout", |spec| time(spec.timeouts.as_ref()?.connect)),
    meaning("timeouts.read", "proxy-read-timeout", |spec| time(spec.timeouts.as_ref()?.read)),
    meaning("retry.attempts", "proxy-next-upstream-tries", |spec| {
        // The first one counts there.
        text(spec.retry.as_ref()?.attempts.map(|again| u32::from(again) + 1))
    }),
    meaning("retry.within", "proxy-next-upstream-timeout", |spec| time(spec.retry.as_ref()?.within)),
    meaning("retry.nonIdempotent", "retry-non-idempotent", |spec| text(spec.retry.as_ref()?.non_idempotent)),
    meaning("serviceUpstream", "service-upstream", |spec| text(spec.service_upstream)),
    meaning("maxBodyBytes", "proxy-body-size", |spec| text(spec.max_body_bytes)),
    meaning("responseRate.kibibytesPerSecond", "limit-rate", |spec| {
        Some(spec.response_rate.as_ref()?.kibibytes_per_second.to_string())
    }),
    meaning("responseRate.afterKibibytes", "limit-rate-after", |spec| {
        text(spec.response_rate.as_ref()?.after_kibibytes)
    }),
    meaning("compression.gzip.level", "use-gzip", |spec| Some(compression(spec)?.gzip.is_some().to_string())),
    meaning("compression.gzip.level", "gzip-level", |spec| text(compression(spec)?.gzip.as_ref()?.level)),
    meaning("compression.gzip.minBytes", "gzip-min-length", |spec| {
        text(compression(spec)?.gzip.as_ref()?.min_bytes)
    }),
    meaning("compression.gzip.types", "gzip-types", |spec| words(&compression(spec)?.gzip.as_ref()?.types)),
    meaning("compression.brotli.level", "enable-brotli", |spec| {
        Some(compression(spec)?.brotli.is_some().to_string())
    }),
    meaning("compression.brotli.level", "brotli-level", |spec| {
        text(compression(spec)?.brotli.as_ref()?.level)
    }),
    meaning("compression.brotli.minBytes", "brotli-min-length", |spec| {
        text(compression(spec)?.brotli.as_ref()?.min_bytes)
    }),
    meaning("compression.brotli.types", "brotli-types", |spec| {
        words(&compression(spec)?.brotli.as_ref()?.types)
    }),
    meaning("errorPages.statuses", "custom-http-errors", |spec| list(&spec.error_pages.as_ref()?.statuses)),
    meaning("access.allow", "whitelist-source-range", |spec| list(&access(spec)?.allow)),
    meaning("access.deny", "denylist-source-range", |spec| list(&access(spec)?.deny)),
    meaning("access.block", "block-cidrs", |spec| list(&access(spec)?.block)),
    meaning("access.blockUserAgents", "block-user-agents", |spec| list(&access(spec)?.block_user_agents)),
    meaning("access.blockReferers", "block-referers", |spec| list(&access(spec)?.block_referers)),
    meaning("externalAuth.url", "global-auth-url", |spec| Some(auth(spec)?.url.clone())),
    meaning("externalAuth.method", "global-auth-method", |spec| auth(spec)?.method.clone()),
    meaning("externalAuth.signin", "global-auth-signin", |spec| auth(spec)?.signin.clone()),
    meaning("externalAuth.signinRedirectParameter", "global-auth-signin-redirect-param", |spec| {
        auth(spec)?.signin_redirect_parameter.clone()
    }),
    meaning("externalAuth.requestRedirect", "global-auth-request-redirect", |spec| {
        auth(spec)?.request_redirect.clone()
    }),
    meaning("externalAuth.responseHeaders", "global-auth-response-headers", |spec| {
        list(&auth(spec)?.response_headers)
    }),
    meaning("externalAuth.alwaysSetCookie", "global-auth-always-set-cookie", |spec| {
        text(auth(spec)?.always_set_cookie)
    }),
    meaning("externalAuth.cache.key", "global-auth-cache-key", |spec| {
        Some(auth(spec)?.cache.as_ref()?.key.clone())
    }),
    meaning("externalAuth.cache.times", "global-auth-cache-duration", |spec| {
        let times = &auth(spec)?.cache.as_ref()?.times;
        list(&times.iter().map(cache_time).collect::<Vec<_>>())
    }),
    meaning("externalAuth.exceptPaths", "no-auth-locations", |spec| list(&auth(spec)?.except_paths)),
    meaning("limitStatus.rate", "limit-req-status-code", |spec| text(spec.limit_status.as_ref()?.rate)),
    meaning("limitStatus.connections", "limit-conn-status-code", |spec| {
        text(spec.limit_status.as_ref()?.connections)
    }),
    meaning("accessLog", "disable-access-log", |spec| text(spec.access_log.map(|logged| !logged))),
    meaning("accessLog", "disable-http-access-log", |spec| text(spec.access_log.map(|logged| !logged))),
    meaning("traces.enabled", "enable-opentelemetry", |spec| text(spec.traces.as_ref()?.enabled)),
    meaning("traces.trustIncoming", "opentelemetry-trust-incoming-span", |spec| {
        text(spec.traces.as_ref()?.trust_incoming)
    }),
    meaning("traces.operationName", "opentelemetry-operation-name", |spec| {
        spec.traces.as_ref()?.operation_name.clone()
    }),
];

/// The field that means a setting.
pub(super) fn field(setting: &str) -> Option<&'static str> {
    MEANINGS.iter().find(|meaning| meaning.setting == setting).map(|meaning| meaning.field)
}

/// Puts what EdgeParameters say in place of what settings say otherwise.
pub(crate) fn lay_over(data: &mut BTreeMap<String, String>, spec: &EdgeParametersSpec) {
    if spec.external_auth.is_some() {
        // What belongs to another service means nothing for this one.
        data.retain(|setting, _| !setting.starts_with(GLOBAL_AUTH));
    }
    for meaning in MEANINGS {
        if let Some(value) = (meaning.value)(spec) {
            data.insert(meaning.setting.to_owned(), value);
        }
    }
}

impl Globals {
    /// Reads EdgeParameters for classes of ours or of ingress-nginx, and says what is wrong with them.
    pub fn of_parameters(parameters: &EdgeParameters, adopted: bool) -> (Self, Vec<Problem>) {
        let mut data = BTreeMap::new();
        lay_over(&mut data, &parameters.spec);
        let (mut globals, mut problems) =
            Self::read(Source::Parameters(&object_ref(parameters)), &data, adopted);
        globals.change_headers(parameters, &mut problems);
        (globals, problems)
    }

    /// Puts the changes of headers of EdgeParameters in place of those that there are.
    pub(crate) fn change_headers(&mut self, parameters: &EdgeParameters, problems: &mut Vec<Problem>) {
        let Some(given) = &parameters.spec.headers else { return };
        let (request, answer) = header_changes(problems, &object_ref(parameters), "spec", given);
        if let Some(changes) = request {
            self.request_changes = changes;
        }
        if let Some(changes) = answer {
            self.answer_changes = changes;
        }
    }
}

fn object_ref(parameters: &EdgeParameters) -> ObjectRef {
    ObjectRef::new(Kind::EdgeParameters.name(), "", parameters.metadata.name.as_deref().unwrap_or_default())
}

fn redirect(spec: &EdgeParametersSpec) -> Option<RedirectWhen> {
    spec.redirect_to_https.as_ref()?.when
}

fn strict(spec: &EdgeParametersSpec) -> Option<&StrictTransport> {
    spec.strict_transport.as_ref()
}

fn compression(spec: &EdgeParametersSpec) -> Option<&Compression> {
    spec.compression.as_ref()
}

fn access(spec: &EdgeParametersSpec) -> Option<&EdgeAccess> {
    spec.access.as_ref()
}

fn auth(spec: &EdgeParametersSpec) -> Option<&ExternalAuth> {
    spec.external_auth.as_ref()
}

fn seconds(strict: &StrictTransport) -> u64 {
    strict.max_age.get().as_secs()
}

fn text(value: Option<impl ToString>) -> Option<String> {
    value.map(|value| value.to_string())
}

fn time(time: Option<Duration>) -> Option<String> {
    time.map(|time| time.to_string())
}

/// Items with commas between them; those of an empty list are absent.
fn list(items: &[impl ToString]) -> Option<String> {
    let items: Vec<_> = items.iter().map(ToString::to_string).collect();
    (!items.is_empty()).then(|| items.join(","))
}

/// `200 202 5m`, and `any 5m` for all statuses.
fn words(items: &[String]) -> Option<String> {
    (!items.is_empty()).then(|| items.join(" "))
}

fn cache_time(time: &AuthCacheTime) -> String {
    let statuses: Vec<_> = time.statuses.iter().map(ToString::to_string).collect();
    let statuses = if statuses.is_empty() { "any".to_owned() } else { statuses.join(" ") };
    format!("{statuses} {}", time.duration)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
    use serde_json::{Value, json};

    use super::*;
    use crate::{annotations::Verdict, globals::all_settings};

    /// Settings that count and have no field, and why.
    const ELSEWHERE: &[(&str, &str)] = &[
        (
            "listeners serve all classes",
            "use-forwarded-headers enable-real-ip proxy-real-ip-cidr forwarded-for-header compute-full-forwarded-for \
             use-proxy-protocol use-http2 ssl-protocols ssl-ciphers ssl-ecdh-curve keep-alive client-header-timeout \
             client-body-timeout large-client-header-buffers http2-max-concurrent-streams enable-underscores-in-headers \
             ssl-reject-handshake skip-access-log-urls disable-stream-access-log proxy-stream-timeout \
             forwarded-for-proxy-protocol-header",
        ),
        (
            "spans of all classes go the same way",
            "otlp-collector-host otlp-collector-port otel-service-name otel-sampler otel-sampler-ratio \
             otel-sampler-parent-based otel-max-queuesize otel-schedule-delay-millis otel-max-export-batch-size",
        ),
        (
            "TrafficPolicies and RouteRules say it of Services",
            "proxy-next-upstream proxy-send-timeout load-balance upstream-hash-by upstream-hash-by-subset",
        ),
        (
            "it belongs to one application, whose Ingress has the annotation",
            "disable-proxy-intercept-errors proxy-cookie-domain proxy-cookie-path proxy-redirect-from proxy-redirect-to \
             app-root",
        ),
        ("the field headers says it", "proxy-set-headers add-headers hide-headers"),
        (
            "it concerns what annotations and applications of ingress-nginx are used to",
            "global-allowed-response-headers proxy-add-original-uri-header gzip-disable \
             forwarded-host-header limit-conn-zone-variable",
        ),
    ];

    fn parameters(spec: Value) -> EdgeParameters {
        let value = json!({"metadata": {"name": "public"}, "spec": spec});
        serde_json::from_value(value).unwrap()
    }

    fn over(data: &[(&str, &str)], spec: Value) -> Vec<(String, String)> {
        let mut data = data.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        lay_over(&mut data, &parameters(spec).spec);
        data.into_iter().collect()
    }

    /// Paths of fields that hold no further ones.
    fn leaves(path: &str, schema: &JSONSchemaProps, found: &mut BTreeSet<String>) {
        let properties = schema.properties.iter().flatten();
        if schema.properties.is_none() {
            found.insert(path.to_owned());
        }
        for (name, property) in properties {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            leaves(&path, property, found);
        }
    }

    #[test]
    fn every_field_means_a_setting() {
        let definitions = selvedge_crds::all();
        let ours = definitions.iter().find(|definition| definition.spec.names.kind == "EdgeParameters");
        let schema = ours.unwrap().spec.versions[0].schema.as_ref().unwrap();
        let spec = &schema.open_api_v3_schema.as_ref().unwrap().properties.as_ref().unwrap()["spec"];
        let mut fields = BTreeSet::new();
        leaves("", spec, &mut fields);
        fields.retain(|field| !field.starts_with("headers."));
        let meant: BTreeSet<_> = MEANINGS.iter().map(|meaning| meaning.field.to_owned()).collect();
        assert_eq!(fields, meant);
    }

    #[test]
    fn every_setting_that_counts_has_a_field_or_a_place_elsewhere() {
        let counts = |verdict| matches!(verdict, Verdict::Honoured | Verdict::Approximated(_));
        let counting = all_settings().filter(|setting| counts(setting.verdict)).map(|setting| setting.name);
        let elsewhere = ELSEWHERE.iter().flat_map(|(_, names)| names.split_ascii_whitespace());
        let known = elsewhere.chain(MEANINGS.iter().map(|meaning| meaning.setting));
        assert_eq!(counting.collect::<BTreeSet<_>>(), known.collect::<BTreeSet<_>>());
    }

    #[test]
    fn what_is_absent_changes_nothing() {
        for adopted in [true, false] {
            let (globals, problems) = Globals::of_parameters(&parameters(json!({})), adopted);
            assert_eq!((globals, problems), (Globals::of_class(adopted), Vec::new()));
        }
    }

    #[test]
    fn a_field_becomes_the_setting_that_it_means() {
        let table = [
            (
                json!({"redirectToHttps": {"when": "Never"}}),
                &[("force-ssl-redirect", "false"), ("ssl-redirect", "false")][..],
            ),
            (
                json!({"redirectToHttps": {"when": "Always"}}),
                &[("force-ssl-redirect", "true"), ("ssl-redirect", "true")],
            ),
            (
                json!({"strictTransport": {"maxAge": "1h30m", "preload": true}}),
                &[
                    ("hsts", "true"),
                    ("hsts-include-subdomains", "false"),
                    ("hsts-max-age", "5400"),
                    ("hsts-preload", "true"),
                ],
            ),
            (
                json!({"timeouts": {"connect": "250ms", "read": "5m"}}),
                &[("proxy-connect-timeout", "250ms"), ("proxy-read-timeout", "5m")],
            ),
            (json!({"retry": {"attempts": 0}}), &[("proxy-next-upstream-tries", "1")]),
            (json!({"maxBodyBytes": 8_388_608}), &[("proxy-body-size", "8388608")]),
            (
                json!({"access": {"allow": ["10.0.0.0/8", "::1"]}}),
                &[("whitelist-source-range", "10.0.0.0/8,::1")],
            ),
            (
                json!({"externalAuth": {"url": "http://a/", "cache": {"key": "$host", "times": [
                    {"statuses": [200, 202], "duration": "1m"}, {"duration": "1s"}]}}}),
                &[
                    ("global-auth-cache-duration", "200 202 1m,any 1s"),
                    ("global-auth-cache-key", "$host"),
                    ("global-auth-url", "http://a/"),
                ],
            ),
            (
                json!({"compression": {"gzip": {}, "brotli": {"level": 5, "minBytes": 10, "types": ["a/b", "*"]}}}),
                &[
                    ("brotli-level", "5"),
                    ("brotli-min-length", "10"),
                    ("brotli-types", "a/b *"),
                    ("enable-brotli", "true"),
                    ("use-gzip", "true"),
                ],
            ),
            (json!({"compression": {}}), &[("enable-brotli", "false"), ("use-gzip", "false")]),
            (
                json!({"accessLog": false}),
                &[("disable-access-log", "true"), ("disable-http-access-log", "true")],
            ),
            (
                json!({"traces": {"enabled": true, "trustIncoming": false, "operationName": "shop"}}),
                &[
                    ("enable-opentelemetry", "true"),
                    ("opentelemetry-operation-name", "shop"),
                    ("opentelemetry-trust-incoming-span", "false"),
                ],
            ),
        ];
        for (spec, wanted) in table {
            let (_, problems) = Globals::of_parameters(&parameters(spec.clone()), false);
            assert_eq!(problems, [], "{spec}");
            let said = over(&[], spec);
            let said: Vec<_> = said.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            assert_eq!(said, wanted);
        }
    }

    #[test]
    fn a_service_takes_the_place_of_all_that_was_said_of_another_one() {
        let data = [("global-auth-signin", "http://old/"), ("proxy-body-size", "1m")];
        let kept = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let of_both = over(&data, json!({"externalAuth": {"url": "http://new/"}}));
        assert_eq!(of_both, [kept("global-auth-url", "http://new/"), kept("proxy-body-size", "1m")]);
        let of_one = over(&data, json!({"maxBodyBytes": 0}));
        assert_eq!(of_one, [kept("global-auth-signin", "http://old/"), kept("proxy-body-size", "0")]);
    }

    #[test]
    fn what_is_wrong_is_told_on_its_field_and_closes_where_it_protects() {
        let table = [
            (json!({"access": {"allow": ["office"]}}), "spec.access.allow", false),
            (json!({"access": {"block": ["office"]}}), "spec.access.block", true),
            (json!({"access": {"blockUserAgents": ["~("]}}), "spec.access.blockUserAgents", true),
            (json!({"externalAuth": {"url": "http://$host/"}}), "spec.externalAuth.url", false),
            (json!({"timeouts": {"read": "0s"}}), "spec.timeouts.read", false),
            (json!({"limitStatus": {"rate": 200}}), "spec.limitStatus.rate", false),
            (
                json!({"headers": {"response": {"set": {"connection": "close"}}}}),
                "spec.headers.response.set.connection",
                false,
            ),
        ];
        for (spec, field, closed) in table {
            let (globals, problems) = Globals::of_parameters(&parameters(spec.clone()), false);
            let fields: Vec<_> = problems.iter().map(|problem| problem.field.as_str()).collect();
            assert_eq!((&fields[..], globals.unprotected), (&[field][..], closed), "{spec}: {problems:?}");
            assert_eq!(problems[0].object.to_string(), "EdgeParameters public", "{spec}");
        }
    }
}
