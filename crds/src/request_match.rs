//! Which requests a rule is for: path, methods, headers, query, and who calls.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::limits;

/// A description of requests; a request fits when all parts that are given hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequestMatch {
    /// The path, without query. Absent: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathMatch>,
    /// The method is one of these. Absent or empty: any.
    #[schemars(length(max = 16), transform = limits::methods)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// All of these hold for the headers.
    #[schemars(length(max = 16))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderMatch>,
    /// All of these hold for the parameters of the query.
    #[schemars(length(max = 16))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<QueryMatch>,
    /// The caller is one of these. Absent or empty: any.
    #[schemars(length(max = 16))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<Caller>,
}

/// What the path is; exactly one form is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "[has(self.exact), has(self.prefix), has(self.regex)].filter(one, one).size() == 1",
    "give exactly one of exact, prefix and regex",
))]
pub struct PathMatch {
    /// The whole path.
    #[schemars(transform = limits::path)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exact: Option<String>,
    /// Its first segments: `/v1` fits `/v1` and `/v1/orders`, but not `/v10`.
    #[schemars(transform = limits::path)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// A regular expression (syntax of RE2) that the whole path fits. It is asked after exact paths and before
    /// prefixes, the longest one first.
    #[schemars(transform = limits::regex)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
}

/// What a header is; exactly one form is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "[has(self.exact), has(self.regex), has(self.present)].filter(one, one).size() == 1",
    "give exactly one of exact, regex and present",
))]
pub struct HeaderMatch {
    /// Name of the header, in upper or lower case.
    #[schemars(transform = limits::token)]
    pub name: String,
    /// The whole value.
    #[schemars(length(max = 4096))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exact: Option<String>,
    /// A regular expression (syntax of RE2) that the whole value fits.
    #[schemars(transform = limits::regex)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
    /// Whether the header is there at all: true for there, false for not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub present: Option<bool>,
}

/// What a parameter of the query is; exactly one form is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "[has(self.exact), has(self.regex), has(self.present)].filter(one, one).size() == 1",
    "give exactly one of exact, regex and present",
))]
pub struct QueryMatch {
    /// Name of the parameter, as it is after percent-decoding.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// The whole value, as it is after percent-decoding.
    #[schemars(length(max = 4096))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exact: Option<String>,
    /// A regular expression (syntax of RE2) that the whole value fits.
    #[schemars(transform = limits::regex)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
    /// Whether the parameter is there at all: true for there, false for not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub present: Option<bool>,
}

/// Who calls: pods of a namespace, or those that run as a service account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "has(self.namespace) || has(self.serviceAccount)",
    "say who may call: namespace, serviceAccount or both",
))]
pub struct Caller {
    /// Namespace of the caller. Absent: that of this object.
    #[schemars(transform = limits::label)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name of the service account that the caller runs as. Absent: any of the namespace.
    #[schemars(transform = limits::name)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account: Option<String>,
}
