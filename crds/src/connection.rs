//! Connections to endpoints: their time, TLS and PROXY protocol.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    duration::Duration,
    limits,
    reference::{SecretOrConfigMap, SecretReference},
};

/// Connections to endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// How long making a connection may take. Absent: 1s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
}

/// TLS to endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "!(has(self.mode) && self.mode == 'Plain') || \
     !(has(self.ca) || has(self.serverName) || has(self.clientCertificate) || has(self.insecureSkipVerify))",
    "mode Plain means connections without TLS: remove ca, serverName, clientCertificate and insecureSkipVerify",
))]
#[x_kube(validation = (
    "!(has(self.insecureSkipVerify) && self.insecureSkipVerify && has(self.ca))",
    "with insecureSkipVerify nothing is checked against ca; remove one of them",
))]
pub struct BackendTls {
    /// `Tls`: with TLS. `Plain`: without, where a less near policy says TLS. Absent: Tls.
    // Not `On` and `Off`: what reads YAML 1.1, as kubectl does, takes those words for `true` and `false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<TlsMode>,
    /// Authorities whose certificates endpoints have: key `ca.crt`, PEM. Absent: those of the router's system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<SecretOrConfigMap>,
    /// Name that the endpoint's certificate has, sent as SNI. Absent: `<service>.<namespace>.svc`.
    #[schemars(transform = limits::host)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// Certificate and key that the router shows: a Secret of type kubernetes.io/tls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<SecretReference>,
    /// Whether any certificate is taken. Whoever is in between can then read and change everything. Absent: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub insecure_skip_verify: Option<bool>,
}

/// Whether connections have TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TlsMode {
    /// They have.
    #[default]
    Tls,
    /// They have not.
    Plain,
}

/// Version of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProxyProtocol {
    /// As text.
    V1,
    /// As bytes.
    V2,
}

/// How long requests and connections may take.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "!(has(self.request) && has(self.backend)) || !self.request.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$') || \
     !self.backend.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$') || duration(self.request) == duration('0s') || \
     duration(self.backend) <= duration(self.request)",
    "backend is the time of one try, so it must not be longer than request, the time of all tries",
))]
pub struct PolicyTimeouts {
    /// From the end of the request to the head of the response, all tries together; while a caller still sends its
    /// body, the limits for bodies hold instead. 0s: no limit. Absent: 60s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<Duration>,
    /// The same for each try. 0s: no limit. Absent: as long as the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<Duration>,
    /// How long an endpoint may be silent within the body of a response. 0s: no limit. Absent: 60s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<Duration>,
}
