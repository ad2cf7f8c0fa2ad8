//! Pods: as much of them as is kept, which is what tells who is behind an address.

use std::borrow::Cow;

use k8s_openapi::{
    api::core::v1 as core,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::Resource;
use serde::Deserialize;

/// Label that the controller of Deployments puts on pods: the end of the name of their ReplicaSet.
pub const TEMPLATE_HASH_LABEL: &str = "pod-template-hash";

/// A `v1` Pod without what is not looked at: there may be many, and they are large and change often.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(from = "core::Pod")]
pub struct Pod {
    /// Name, namespace, when it was made, its controller and the label [`TEMPLATE_HASH_LABEL`].
    pub metadata: ObjectMeta,
    /// Name of its ServiceAccount (`spec.serviceAccountName`); empty is `default`.
    pub service_account: String,
    /// Whether it has the address of its node (`spec.hostNetwork`).
    pub host_network: bool,
    /// How far its life is (`status.phase`), for example `Running`.
    pub phase: String,
    /// Its addresses as they are written (`status.podIPs`, else `status.podIP`).
    pub addresses: Vec<String>,
}

impl From<core::Pod> for Pod {
    fn from(pod: core::Pod) -> Self {
        let spec = pod.spec.unwrap_or_default();
        let status = pod.status.unwrap_or_default();
        let addresses: Vec<_> = status.pod_ips.into_iter().flatten().map(|address| address.ip).collect();
        let addresses = if addresses.is_empty() { status.pod_ip.into_iter().collect() } else { addresses };
        Self {
            metadata: slim(pod.metadata),
            service_account: spec.service_account_name.or(spec.service_account).unwrap_or_default(),
            host_network: spec.host_network.unwrap_or_default(),
            phase: status.phase.unwrap_or_default(),
            addresses,
        }
    }
}

/// What of the metadata is looked at.
fn slim(metadata: ObjectMeta) -> ObjectMeta {
    let mut labels = metadata.labels.unwrap_or_default();
    labels.retain(|name, _| name == TEMPLATE_HASH_LABEL);
    let owners = metadata.owner_references.unwrap_or_default().into_iter();
    let owners: Vec<OwnerReference> = owners.filter(|owner| owner.controller == Some(true)).collect();
    ObjectMeta {
        name: metadata.name,
        namespace: metadata.namespace,
        creation_timestamp: metadata.creation_timestamp,
        labels: Some(labels).filter(|labels| !labels.is_empty()),
        owner_references: Some(owners).filter(|owners| !owners.is_empty()),
        ..ObjectMeta::default()
    }
}

impl Resource for Pod {
    type DynamicType = ();
    type Scope = k8s_openapi::NamespaceResourceScope;

    fn kind(cx: &()) -> Cow<'_, str> {
        core::Pod::kind(cx)
    }

    fn group(cx: &()) -> Cow<'_, str> {
        core::Pod::group(cx)
    }

    fn version(cx: &()) -> Cow<'_, str> {
        core::Pod::version(cx)
    }

    fn plural(cx: &()) -> Cow<'_, str> {
        core::Pod::plural(cx)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_looked_at_is_kept() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {
                "name": "web-1", "namespace": "shop", "uid": "u", "resourceVersion": "7",
                "labels": {"app": "web", "pod-template-hash": "abc"}, "annotations": {"a": "b"},
                "ownerReferences": [
                    {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-abc", "uid": "r", "controller": true},
                    {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "n"},
                ],
            },
            "spec": {"serviceAccountName": "frontend", "containers": [{"name": "web", "image": "web"}]},
            "status": {"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
                "conditions": [{"type": "Ready", "status": "True"}]},
        }))
        .unwrap();
        let metadata = &pod.metadata;
        assert_eq!(metadata.labels.as_ref().unwrap().len(), 1);
        assert_eq!(metadata.owner_references.as_ref().unwrap().len(), 1);
        assert!(
            metadata.uid.is_none() && metadata.resource_version.is_none() && metadata.annotations.is_none()
        );
        assert_eq!((pod.service_account.as_str(), pod.phase.as_str()), ("frontend", "Running"));
        assert_eq!(pod.addresses, ["10.0.0.1", "fd00::1"]);
        assert!(!pod.host_network);
    }
}
