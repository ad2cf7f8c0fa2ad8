//! RouteGrant: a namespace lets routes of other namespaces use its Services.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::limits;

/// What is written in a RouteGrant.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "selvedge.dev",
    version = "v1alpha1",
    kind = "RouteGrant",
    plural = "routegrants",
    shortname = "rg",
    category = "selvedge",
    namespaced,
    derive = "PartialEq",
    derive = "Default",
    doc = "Lets objects of other namespaces name Services of this one as backends. Without it they cannot.",
    printcolumn(name = "From", type_ = "string", json_path = ".spec.from", description = "Who may"),
    printcolumn(
        name = "To",
        type_ = "string",
        json_path = ".spec.to",
        description = "Which Services; none means all"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct RouteGrantSpec {
    /// Who may use the Services.
    #[schemars(length(min = 1, max = 16))]
    pub from: Vec<GrantFrom>,
    /// Which Services of this namespace they may use. Absent or empty: all.
    #[schemars(length(max = 16))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<GrantTo>,
}

/// Who may use Services.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GrantFrom {
    /// Namespace of the objects that may.
    #[schemars(transform = limits::label)]
    pub namespace: String,
    /// Kind of the objects that may. Absent: each of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<GrantKind>,
}

/// Which Services may be used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GrantTo {
    /// Name of a Service of this namespace. Absent: all.
    #[schemars(transform = limits::label)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}

/// Kinds of objects that may be allowed to use Services of another namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum GrantKind {
    /// RouteRules.
    RouteRule,
    /// Ingresses.
    Ingress,
    /// TrafficPolicies.
    TrafficPolicy,
}

impl RouteGrantSpec {
    /// Whether it lets objects of this kind and namespace use this Service.
    pub fn allows(&self, kind: GrantKind, namespace: &str, service: &str) -> bool {
        let from = |from: &GrantFrom| from.namespace == namespace && from.kind.is_none_or(|of| of == kind);
        let to = |to: &GrantTo| to.service.as_deref().is_none_or(|of| of == service);
        self.from.iter().any(from) && (self.to.is_empty() || self.to.iter().any(to))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_grant_allows_what_it_names_and_nothing_else() {
        let narrow =
            json!({"from": [{"namespace": "web", "kind": "RouteRule"}], "to": [{"service": "orders"}]});
        let wide = json!({"from": [{"namespace": "web"}]});
        let any = json!({"from": [{"namespace": "web"}], "to": [{}]});
        let cases = [
            (&narrow, GrantKind::RouteRule, "web", "orders", true),
            (&narrow, GrantKind::Ingress, "web", "orders", false),
            (&narrow, GrantKind::RouteRule, "shop", "orders", false),
            (&narrow, GrantKind::RouteRule, "web", "users", false),
            (&wide, GrantKind::TrafficPolicy, "web", "users", true),
            (&wide, GrantKind::RouteRule, "shop", "users", false),
            (&any, GrantKind::Ingress, "web", "users", true),
        ];
        for (grant, kind, namespace, service, allowed) in cases {
            let spec: RouteGrantSpec = serde_json::from_value(grant.clone()).unwrap();
            assert_eq!(
                spec.allows(kind, namespace, service),
                allowed,
                "{grant} {kind:?} {namespace} {service}"
            );
        }
    }
}
