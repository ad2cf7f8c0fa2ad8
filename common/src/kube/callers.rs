//! Callers: who is behind an address, from the pods that there are.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

use k8s_openapi::jiff::Timestamp;

use super::{
    objects::ObjectKey,
    pods::{Pod, TEMPLATE_HASH_LABEL},
};
use crate::model::{Caller, Source};

/// Name of the ServiceAccount of pods that name none.
const DEFAULT_ACCOUNT: &str = "default";

/// The addresses of a pod, and who is behind them. `None` if its addresses tell nothing: it has none yet, it has
/// ended and they may be another's, or they are those of its node, which its other processes have, too.
pub fn source_of(pod: &Pod) -> Option<(Vec<IpAddr>, Source)> {
    if pod.host_network || matches!(pod.phase.as_str(), "Succeeded" | "Failed") {
        return None;
    }
    let mut addresses: Vec<IpAddr> = pod.addresses.iter().filter_map(|text| text.parse().ok()).collect();
    addresses.sort();
    addresses.dedup();
    if addresses.is_empty() {
        return None;
    }
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let account = match pod.service_account.as_str() {
        "" => DEFAULT_ACCOUNT,
        name => name,
    };
    let source = Source::new(Caller::new(namespace, account), &format!("{namespace}/{}", workload(pod)));
    Some((addresses, source))
}

/// What the replicas of a pod have in common: the name of its controller, and of the Deployment where that is a
/// ReplicaSet of one; else its own name.
fn workload(pod: &Pod) -> &str {
    let metadata = &pod.metadata;
    let name = metadata.name.as_deref().unwrap_or_default();
    let Some(owner) = metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
    else {
        return name;
    };
    let hash = metadata.labels.as_ref().and_then(|labels| labels.get(TEMPLATE_HASH_LABEL));
    let deployment = hash.filter(|_| owner.kind == "ReplicaSet").and_then(|hash| {
        owner.name.strip_suffix(hash.as_str())?.strip_suffix('-').filter(|name| !name.is_empty())
    });
    match owner.kind.as_str() {
        // The pods of a node itself have it as their owner.
        "Node" => name,
        _ => deployment.unwrap_or(&owner.name),
    }
}

/// Who is behind each address, as pods come and go. Pods themselves are not kept.
#[derive(Debug, Default)]
pub struct CallerTable {
    pods: HashMap<ObjectKey, Vec<IpAddr>>,
    /// Those that claim an address; the last one, which is the youngest, has it.
    claims: HashMap<IpAddr, BTreeMap<Claim, Arc<Source>>>,
    /// Addresses that changed hands, with who had them before.
    before: BTreeMap<IpAddr, Option<Arc<Source>>>,
}

/// A pod that says an address is its own; a later one is greater.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Claim(Option<Timestamp>, ObjectKey);

impl CallerTable {
    /// A pod is new or has changed.
    pub fn set(&mut self, key: ObjectKey, pod: &Pod) {
        self.remove(&key);
        let Some((addresses, source)) = source_of(pod) else { return };
        let source = Arc::new(source);
        let created = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
        for address in &addresses {
            self.note(*address);
            let claims = self.claims.entry(*address).or_default();
            claims.insert(Claim(created, key.clone()), source.clone());
        }
        self.pods.insert(key, addresses);
    }

    /// A pod is gone.
    pub fn remove(&mut self, key: &ObjectKey) {
        for address in self.pods.remove(key).unwrap_or_default() {
            self.note(address);
            let Some(claims) = self.claims.get_mut(&address) else { continue };
            claims.retain(|claim, _| claim.1 != *key);
            if claims.is_empty() {
                self.claims.remove(&address);
            }
        }
    }

    /// The addresses that have another source than at the last call, sorted.
    pub fn take_changes(&mut self) -> Vec<(IpAddr, Option<Arc<Source>>)> {
        let before = std::mem::take(&mut self.before).into_iter();
        let changes = before.filter_map(|(address, before)| {
            let now = self.holder(address);
            (now != before.as_ref()).then(|| (address, now.cloned()))
        });
        changes.collect()
    }

    /// Every address with its source, sorted.
    pub fn whole(&self) -> Vec<(IpAddr, Option<Arc<Source>>)> {
        let addresses: BTreeSet<_> = self.claims.keys().collect();
        addresses.into_iter().map(|address| (*address, self.holder(*address).cloned())).collect()
    }

    fn note(&mut self, address: IpAddr) {
        let now = self.claims.get(&address).and_then(|claims| claims.values().next_back());
        self.before.entry(address).or_insert_with(|| now.cloned());
    }

    fn holder(&self, address: IpAddr) -> Option<&Arc<Source>> {
        self.claims.get(&address)?.values().next_back()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::kube::objects::Kind;

    fn pod(name: &str, created: u32, change: Value) -> Pod {
        let mut pod = json!({
            "metadata": {"name": name, "namespace": "shop",
                "creationTimestamp": format!("2026-01-01T00:00:{created:02}Z")},
            "spec": {"serviceAccountName": "web", "containers": []},
            "status": {"phase": "Running", "podIP": "10.0.0.1"},
        });
        for (part, fields) in change.as_object().unwrap() {
            pod[part].as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        }
        serde_json::from_value(pod).unwrap()
    }

    fn owned(kind: &str, owner: &str, hash: Option<&str>) -> Value {
        let labels = hash.map_or(json!({}), |hash| json!({"pod-template-hash": hash}));
        let owner =
            json!({"apiVersion": "apps/v1", "kind": kind, "name": owner, "uid": "u", "controller": true});
        json!({"metadata": {"labels": labels, "ownerReferences": [owner]}})
    }

    #[test]
    fn a_workload_is_what_its_replicas_have_in_common() {
        let cases = [
            (json!({}), "shop/p"),
            (owned("ReplicaSet", "web-7d9f", Some("7d9f")), "shop/web"),
            (owned("ReplicaSet", "web-7d9f", None), "shop/web-7d9f"),
            (owned("ReplicaSet", "other", Some("7d9f")), "shop/other"),
            (owned("ReplicaSet", "-7d9f", Some("7d9f")), "shop/-7d9f"),
            (owned("StatefulSet", "db", Some("7d9f")), "shop/db"),
            (owned("DaemonSet", "agent", None), "shop/agent"),
            (owned("Job", "report-1", None), "shop/report-1"),
            (owned("Node", "node-3", None), "shop/p"),
        ];
        for (change, workload) in cases {
            let (_, source) = source_of(&pod("p", 0, change.clone())).unwrap();
            assert_eq!(&*source.workload, workload, "{change}");
        }
    }

    #[test]
    fn an_address_tells_nothing_where_others_may_have_it() {
        let cases = [
            (json!({"spec": {"hostNetwork": true}}), 0),
            (json!({"status": {"phase": "Succeeded"}}), 0),
            (json!({"status": {"phase": "Failed"}}), 0),
            (json!({"status": {"podIP": null}}), 0),
            (json!({"status": {"podIP": "no address"}}), 0),
            (json!({"status": {"phase": "Pending"}}), 1),
            (json!({"status": {"podIPs": []}}), 1),
            (json!({"status": {"podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]}}), 2),
            (json!({"status": {"podIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.1"}]}}), 1),
        ];
        for (change, count) in cases {
            let addresses =
                source_of(&pod("p", 0, change.clone())).map_or(0, |(addresses, _)| addresses.len());
            assert_eq!(addresses, count, "{change}");
        }
    }

    #[test]
    fn a_pod_without_service_account_has_the_default_one() {
        let cases = [("web", "shop/web"), ("", "shop/default")];
        for (account, caller) in cases {
            let change = json!({"spec": {"serviceAccountName": account}});
            assert_eq!(source_of(&pod("p", 0, change)).unwrap().1.caller.to_string(), caller);
        }
    }

    fn told(changes: Vec<(IpAddr, Option<Arc<Source>>)>) -> Vec<String> {
        let tell = |(address, source): (IpAddr, Option<Arc<Source>>)| {
            format!("{address} {}", source.map_or("nobody".into(), |source| source.workload.to_string()))
        };
        changes.into_iter().map(tell).collect()
    }

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new(Kind::Pod, "shop", name)
    }

    #[test]
    fn the_youngest_of_two_pods_has_the_address_in_whatever_order_they_come() {
        let (old, young) = (pod("old", 1, json!({})), pod("young", 2, json!({})));
        for order in [[&old, &young], [&young, &old]] {
            let mut table = CallerTable::default();
            order.into_iter().for_each(|pod| table.set(key(pod.metadata.name.as_deref().unwrap()), pod));
            assert_eq!(told(table.take_changes()), ["10.0.0.1 shop/young"]);
            table.remove(&key("young"));
            assert_eq!(told(table.take_changes()), ["10.0.0.1 shop/old"]);
            table.remove(&key("old"));
            assert_eq!(told(table.take_changes()), ["10.0.0.1 nobody"]);
            assert!(table.claims.is_empty() && table.pods.is_empty());
        }
    }

    #[test]
    fn only_what_differs_in_the_end_is_told() {
        let mut table = CallerTable::default();
        let web = pod("web", 1, json!({}));
        table.set(key("web"), &web);
        assert_eq!(told(table.take_changes()), ["10.0.0.1 shop/web"]);
        table.set(key("web"), &web);
        table.remove(&key("web"));
        table.set(key("web"), &web);
        table.remove(&key("never there"));
        assert_eq!(table.take_changes(), []);
        table.set(key("web"), &pod("web", 1, json!({"status": {"podIP": "10.0.0.2"}})));
        assert_eq!(told(table.take_changes()), ["10.0.0.1 nobody", "10.0.0.2 shop/web"]);
        table.set(key("web"), &pod("web", 1, json!({"status": {"podIP": "10.0.0.2", "phase": "Succeeded"}})));
        assert_eq!(told(table.take_changes()), ["10.0.0.2 nobody"]);
    }
}
