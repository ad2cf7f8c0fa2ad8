//! EdgeParameters: what counts for all Ingresses of a class, where they say nothing themselves.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{action::HeaderChanges, compression::Compression, duration::Duration, limits, status::Status};

/// What is written in EdgeParameters.
///
/// An IngressClass names them in `spec.parameters`, by `apiGroup: selvedge.dev`, `kind: EdgeParameters` and their name;
/// like the class they are of the whole cluster, and several classes may name the same ones. They count for Ingresses
/// of the class, a field comes before what ingress-nginx's ConfigMap says, and an annotation of the Ingress that
/// says the same thing before the field. A field that is absent leaves what counts without it. Where a field counts
/// it does so as the annotation would, and thus before TrafficPolicies.
///
/// They may hold what protects paths. So while an IngressClass names some that are not there all its paths answer 503,
/// and while a field of `access` or `externalAuth` cannot be read those of Ingresses that depend on it.
///
/// What concerns a connection before it is known for which class a request is, is not in here: how long connections are
/// kept, sizes of heads, versions of TLS, the PROXY protocol and which proxies are believed. All classes share the
/// listeners, so flags say that, or ingress-nginx's ConfigMap.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "selvedge.dev",
    version = "v1alpha1",
    kind = "EdgeParameters",
    plural = "edgeparameters",
    shortname = "edp",
    category = "selvedge",
    status = "Status",
    derive = "PartialEq",
    derive = "Default",
    doc = "What counts for all Ingresses of the IngressClasses that name it in spec.parameters. Annotations of an \
           Ingress come before it, but for access.block, the blocked headers and headers, which count in any case.",
    printcolumn(
        name = "Redirect",
        type_ = "string",
        json_path = ".spec.redirectToHttps.when",
        description = "Which plain requests are redirected to HTTPS"
    ),
    printcolumn(
        name = "Max Body",
        type_ = "integer",
        json_path = ".spec.maxBodyBytes",
        description = "Largest body of a request in bytes"
    ),
    printcolumn(
        name = "External Auth",
        type_ = "string",
        json_path = ".spec.externalAuth.url",
        description = "Who is asked whether requests may pass"
    ),
    printcolumn(
        name = "Edge",
        type_ = "string",
        json_path = ".status.controllers[?(@.name==\"selvedge.dev/ingress\")].accepted",
        description = "For how many of the classes that name it the edge accepts it"
    ),
    printcolumn(
        name = "Edge Problems",
        type_ = "string",
        json_path = ".status.controllers[?(@.name==\"selvedge.dev/ingress\")].problems",
        description = "What is wrong, as the edge sees it",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct EdgeParametersSpec {
    /// Redirects of plain requests to HTTPS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect_to_https: Option<RedirectToHttps>,
    /// What browsers are told in answers over HTTPS: to come over HTTPS from now on (RFC 6797). Absent: a year in
    /// classes of ingress-nginx, nothing in others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict_transport: Option<StrictTransport>,
    /// How long backends may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<EdgeTimeouts>,
    /// How often requests are tried again that failed without an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<EdgeRetry>,
    /// Whether requests go to the cluster IP of Services instead of their endpoints. Absent: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_upstream: Option<bool>,
    /// Largest body of a request, in bytes; a larger one is answered 413. 0: no limit. Absent: 1 MiB in classes of
    /// ingress-nginx, no limit in others.
    #[schemars(range(max = 1_099_511_627_776_u64))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_body_bytes: Option<u64>,
    /// How fast answers go to clients. Absent: as fast as clients take them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_rate: Option<ResponseRate>,
    /// How answers of backends are compressed for clients that take them so: those with status 200, 403 or 404 that are not
    /// compressed already and have no `Cache-Control: no-transform`. Absent: they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
    /// Answers of backends in whose place another Service answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_pages: Option<ErrorPages>,
    /// Who comes in, by address and by what clients say they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access: Option<EdgeAccess>,
    /// A service that is asked whether requests may pass. It takes the place of all that ingress-nginx's ConfigMap says
    /// of one. Ingresses with annotations `auth-url` or `enable-global-auth: "false"` do without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_auth: Option<ExternalAuth>,
    /// Statuses of requests that the limits of annotations turn away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_status: Option<LimitStatus>,
    /// Changes headers of all requests before they go to a backend, and of the responses of backends. `request` takes the
    /// place of `proxy-set-headers` of ingress-nginx's ConfigMap, `response` that of `add-headers`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<HeaderChanges>,
    /// Whether requests are in the access log. Absent: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_log: Option<bool>,
    /// How requests are traced with OpenTelemetry. Where spans are sent concerns the whole process: flags say it, or
    /// ingress-nginx's ConfigMap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traces: Option<EdgeTraces>,
}

/// Redirects of plain requests to HTTPS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RedirectToHttps {
    /// Which requests. Absent: `WithTls` in classes of ingress-nginx, `Never` in others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<RedirectWhen>,
    /// Status of the redirect: 301, 302, 303, 307 or 308. Absent: 308.
    #[schemars(transform = limits::redirect_status)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Paths of Ingresses that begin so are not redirected. Absent: `/.well-known/acme-challenge`.
    #[schemars(length(min = 1, max = 16), transform = limits::path_beginnings)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except_paths: Vec<String>,
}

/// Which plain requests are redirected to HTTPS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RedirectWhen {
    /// None.
    Never,
    /// Those for hosts that some Ingress names under `spec.tls`.
    WithTls,
    /// All, also where TLS ends in front of the edge.
    Always,
}

/// What browsers are told of coming over HTTPS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StrictTransport {
    /// For how long, in whole seconds. 0s: they are told nothing.
    pub max_age: Duration,
    /// Whether it holds for hosts below, too.
    #[serde(default)]
    pub include_subdomains: bool,
    /// Whether browsers may know it without having come.
    #[serde(default)]
    pub preload: bool,
}

/// How long backends may take.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "!has(self.connect) || !self.connect.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$') || \
     duration(self.connect) > duration('0s')",
    "connect must be longer than 0s, as otherwise every request would fail",
))]
#[x_kube(validation = (
    "!has(self.read) || !self.read.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$') || \
     duration(self.read) > duration('0s')",
    "read must be longer than 0s, as otherwise every request would fail",
))]
pub struct EdgeTimeouts {
    /// To take a connection. Absent: as flags say, which is 5s without any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<Duration>,
    /// From the end of the request to the head of the response, for each try, and longest silence within the response.
    /// Absent: as flags say, which is 60s without any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<Duration>,
}

/// How often requests are tried again that failed without an answer: by a failed connection or a timeout.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EdgeRetry {
    /// How often a request is tried again after the first try. 0: never. Absent: 2.
    #[schemars(range(max = 9))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u8>,
    /// Time after which no other try begins. 0s: no limit. Absent: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<Duration>,
    /// Whether requests such as POST, which may not bear being done twice, are tried again too. Absent: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub non_idempotent: Option<bool>,
}

/// How fast answers go to clients.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResponseRate {
    /// KiB in a second, for each response. 0: no limit.
    #[schemars(range(max = 4_294_967_295_u64))]
    pub kibibytes_per_second: u32,
    /// KiB of a response before that counts. Absent: 0.
    #[schemars(range(max = 4_294_967_295_u64))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_kibibytes: Option<u32>,
}

/// Answers of backends in whose place another Service answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorPages {
    /// Statuses from 400 to 599. The Service is the one that an Ingress names by its annotation `default-backend`; those
    /// without it answer as they would without this.
    #[schemars(length(min = 1, max = 64), transform = limits::error_statuses)]
    pub statuses: Vec<u16>,
}

/// Who comes in. Lists of networks hold addresses or ranges such as `10.0.0.0/8`; what is not let in is answered 403.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EdgeAccess {
    /// Only these networks. Absent: all.
    #[schemars(length(min = 1, max = 256), transform = limits::networks)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// Not these networks. Absent: none is kept out.
    #[schemars(length(min = 1, max = 256), transform = limits::networks)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
    /// Not these networks, whatever annotations say. Absent: none is kept out.
    #[schemars(length(min = 1, max = 256), transform = limits::networks)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub block: Vec<String>,
    /// Not requests with one of these as `User-Agent`, whatever annotations say: whole values in either case, or after
    /// `~` a regular expression that a part of the value must match, after `~*` one in either case.
    #[schemars(length(min = 1, max = 64), transform = limits::field_values)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub block_user_agents: Vec<String>,
    /// The same for `Referer`.
    #[schemars(length(min = 1, max = 64), transform = limits::field_values)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub block_referers: Vec<String>,
}

/// A service that is asked whether requests may pass. Texts may hold variables such as `$host` and `$request_uri`, but not
/// in the host of a URL.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalAuth {
    /// URL that is asked: 2xx lets a request pass, 401 and 403 are the answer, all else is answered 500.
    #[schemars(transform = limits::url)]
    pub url: String,
    /// Method it is asked with. Absent: GET.
    #[schemars(transform = limits::method)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// URL where clients are sent to log in instead of 401. Absent: they get the 401.
    #[schemars(transform = limits::url)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signin: Option<String>,
    /// Parameter of that URL that says where they came from. Absent: `rd`.
    #[schemars(transform = limits::token)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signin_redirect_parameter: Option<String>,
    /// Value of `X-Auth-Request-Redirect` that the service sees. Absent: it sees none.
    #[schemars(length(min = 1, max = 1024))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_redirect: Option<String>,
    /// Headers of its answer that backends see. Absent: none.
    #[schemars(length(min = 1, max = 32), transform = limits::tokens)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub response_headers: Vec<String>,
    /// Whether clients get its cookies with errors, too. Absent: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub always_set_cookie: Option<bool>,
    /// Answers that are kept. Absent: it is asked for each request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<AuthCache>,
    /// Paths of Ingresses that begin so ask neither it nor for a password. Absent: `/.well-known/acme-challenge`.
    #[schemars(length(min = 1, max = 16), transform = limits::path_beginnings)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except_paths: Vec<String>,
}

/// Answers of the service that are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthCache {
    /// What of a request its answer is kept for, such as `$cookie_session`.
    #[schemars(length(min = 1, max = 1024))]
    pub key: String,
    /// Which answers are kept, and for how long. Absent: 200, 202 and 401 for 5m.
    #[schemars(length(min = 1, max = 16))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub times: Vec<AuthCacheTime>,
}

/// How long answers of some statuses are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthCacheTime {
    /// Their statuses. Absent: all.
    #[schemars(length(min = 1, max = 16), transform = limits::statuses)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statuses: Vec<u16>,
    /// For how long.
    pub duration: Duration,
}

/// Statuses of requests that limits turn away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LimitStatus {
    /// Of those that come too fast. Absent: 503.
    #[schemars(range(min = 400, max = 599))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<u16>,
    /// Of those whose address has too many under way. Absent: 503.
    #[schemars(range(min = 400, max = 599))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<u16>,
}

/// How requests are traced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EdgeTraces {
    /// Whether they are. Absent: where a flag says where spans are sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Whether they go on with the trace that their clients say they belong to (`traceparent`). Absent: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust_incoming: Option<bool>,
    /// Name of spans, with variables such as `$request_method` and `$service_name`. Absent: the method and the path of the
    /// route.
    #[schemars(length(min = 1, max = 1024))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation_name: Option<String>,
}
