//! Objects of the in-process API server: versions, optimistic concurrency, server-side apply of what is owned.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Map, Value, json};

/// Group, version and plural as in the address, for example `apis/networking.k8s.io/v1/ingresses`.
pub type ResourcePath = String;

/// What names an object: resource, namespace, name.
pub type Key = (ResourcePath, String, String);

/// One change of one object.
#[derive(Clone, Debug)]
pub struct Change {
    /// Version after it.
    pub version: u64,
    /// Resource of the object.
    pub resource: ResourcePath,
    /// `ADDED`, `MODIFIED` or `DELETED`.
    pub action: &'static str,
    /// The object after it.
    pub object: Value,
}

/// A refusal: code, reason, message.
pub type Refusal = (u16, &'static str, String);

/// Lists of which an apply means entries by their key (`x-kubernetes-list-type: map`), in the status of our kinds.
const KEYS: [(&str, &str); 3] = [("controllers", "name"), ("targets", "target"), ("conditions", "type")];

/// All objects and their history.
#[derive(Debug, Default)]
pub struct Store {
    version: u64,
    objects: BTreeMap<Key, Value>,
    history: Vec<Change>,
    /// Versions up to this one are forgotten.
    compacted: u64,
    /// What each manager has applied.
    applied: BTreeMap<(Key, String), Value>,
}

impl Store {
    /// The newest version.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The object of this key.
    pub fn get(&self, key: &Key) -> Option<&Value> {
        self.objects.get(key)
    }

    /// Objects of a resource, of one namespace or of all.
    pub fn list(&self, resource: &str, namespace: Option<&str>) -> impl Iterator<Item = &Value> {
        let objects = self.objects.iter().filter(move |((of, within, _), _)| {
            of == resource && namespace.is_none_or(|namespace| within == namespace)
        });
        objects.map(|(_, object)| object)
    }

    /// Changes after a version; `None` if they are forgotten.
    pub fn since(&self, version: u64) -> Option<impl Iterator<Item = &Change>> {
        (version >= self.compacted)
            .then(|| self.history.iter().filter(move |change| change.version > version))
    }

    /// Forgets the history.
    pub fn compact(&mut self) {
        // So that even the newest version that was told is too old.
        self.version += 1;
        self.compacted = self.version;
        self.history.clear();
    }

    /// Creates an object.
    pub fn create(&mut self, key: Key, mut object: Value) -> Result<Change, Refusal> {
        if self.objects.contains_key(&key) {
            return Err((409, "AlreadyExists", format!("{} already exists", key.2)));
        }
        if !object["metadata"].is_object() {
            return Err((422, "Invalid", "metadata is missing".into()));
        }
        object["metadata"]["uid"] = format!("uid-{}", self.version + 1).into();
        object["metadata"]["creationTimestamp"] = self.now().to_string().into();
        if !key.1.is_empty() {
            object["metadata"]["namespace"] = key.1.clone().into();
        }
        Ok(self.put(key, object, "ADDED"))
    }

    /// Creates an object by what a manager applies.
    pub fn create_applied(&mut self, key: Key, object: Value, manager: &str) -> Result<Change, Refusal> {
        self.applied.insert((key.clone(), manager.to_owned()), object.clone());
        self.create(key, object)
    }

    /// Replaces an object, if the version that came with it is the newest.
    pub fn replace(&mut self, key: Key, mut object: Value) -> Result<Change, Refusal> {
        let current = self.objects.get(&key).ok_or_else(|| not_found(&key))?;
        check_version(current, &object)?;
        for field in ["uid", "creationTimestamp"] {
            object["metadata"][field] = current["metadata"][field].clone();
        }
        if !key.1.is_empty() {
            object["metadata"]["namespace"] = key.1.clone().into();
        }
        Ok(self.put(key, object, "MODIFIED"))
    }

    /// Merges a patch into an object. With a manager it is an apply: what the manager applied before and leaves
    /// out now is removed.
    pub fn patch(
        &mut self,
        key: Key,
        patch: Value,
        manager: Option<&str>,
    ) -> Result<Option<Change>, Refusal> {
        let current = self.objects.get(&key).ok_or_else(|| not_found(&key))?;
        check_version(current, &patch)?;
        let mut object = current.clone();
        if let Some(manager) = manager {
            let before = self.applied.insert((key.clone(), manager.to_owned()), patch.clone());
            if let Some(before) = before {
                remove_left_out(&mut object, &before, Some(&patch));
            }
        }
        merge(&mut object, &patch, manager.is_some());
        if object == *current {
            return Ok(None);
        }
        Ok(Some(self.put(key, object, "MODIFIED")))
    }

    /// Deletes an object, if it is the one that is meant.
    pub fn delete(&mut self, key: &Key, uid: Option<&str>) -> Result<Change, Refusal> {
        let current = self.objects.get(key).ok_or_else(|| not_found(key))?;
        if uid.is_some_and(|uid| current["metadata"]["uid"] != uid) {
            return Err((409, "Conflict", "it is another object of this name".into()));
        }
        let mut object = self.objects.remove(key).unwrap_or_default();
        self.applied.retain(|(applied, _), _| applied != key);
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        Ok(self.record(key.0.clone(), object, "DELETED"))
    }

    /// The time of this server: a second passes with each change, so that each object has an age of its own.
    fn now(&self) -> Timestamp {
        let passed = i64::try_from(self.version).unwrap_or_default();
        Timestamp::from_second(1_767_225_600 + passed).unwrap_or_default()
    }

    fn put(&mut self, key: Key, mut object: Value, action: &'static str) -> Change {
        self.version += 1;
        let generation = self.objects.get(&key).map_or(1, |before| {
            let number = before["metadata"]["generation"].as_i64().unwrap_or_default();
            number + i64::from(!same_but_status(before, &object))
        });
        object["metadata"]["generation"] = generation.into();
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.objects.insert(key.clone(), object.clone());
        self.record(key.0, object, action)
    }

    fn record(&mut self, resource: ResourcePath, object: Value, action: &'static str) -> Change {
        let change = Change { version: self.version, resource, action, object };
        self.history.push(change.clone());
        change
    }
}

/// Refuses what is based on another version than the newest.
fn check_version(current: &Value, change: &Value) -> Result<(), Refusal> {
    let based_on = &change["metadata"]["resourceVersion"];
    match based_on.as_str().is_some_and(|version| !version.is_empty()) {
        true if *based_on != current["metadata"]["resourceVersion"] => {
            Err((409, "Conflict", "the object has been modified".into()))
        }
        _ => Ok(()),
    }
}

fn not_found(key: &Key) -> Refusal {
    (404, "NotFound", format!("{} not found", key.2))
}

/// `{"kind":"Status",…}` as an API server answers.
pub fn status(refusal: &Refusal) -> Value {
    let (code, reason, message) = refusal;
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "code": code, "reason": reason, "message": message})
}

/// Whether a change from one to the other leaves the generation as it is.
fn same_but_status(a: &Value, b: &Value) -> bool {
    let rest = |object: &Value| -> Map<String, Value> {
        let fields = object.as_object().into_iter().flatten();
        let rest = fields.filter(|(name, _)| !["metadata", "status"].contains(&name.as_str()));
        rest.map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    rest(a) == rest(b)
}

/// As RFC 7396: what is null in the patch is removed. What is applied meets lists with keys entry by entry.
fn merge(object: &mut Value, patch: &Value, is_apply: bool) {
    let Value::Object(patch) = patch else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = json!({});
    }
    let Value::Object(object) = object else { return };
    for (name, value) in patch {
        if value.is_null() {
            object.remove(name);
            continue;
        }
        let own = object.entry(name).or_insert(Value::Null);
        match (own, key_of(name, value).filter(|_| is_apply)) {
            (Value::Array(own), Some(key)) => merge_entries(own, value, key),
            (own, _) => merge(own, value, is_apply),
        }
    }
}

fn merge_entries(own: &mut Vec<Value>, applied: &Value, key: &str) {
    for entry in applied.as_array().into_iter().flatten() {
        match own.iter_mut().find(|own| own[key] == entry[key]) {
            Some(own) => merge(own, entry, true),
            None => own.push(entry.clone()),
        }
    }
}

fn remove_left_out(object: &mut Value, before: &Value, now: Option<&Value>) {
    let (Value::Object(object), Value::Object(before)) = (object, before) else { return };
    for (name, value) in before {
        let Some(own) = object.get_mut(name) else { continue };
        let now = now.and_then(|now| now.get(name));
        let left = match (own, key_of(name, value), now) {
            (Value::Array(own), Some(key), now) => {
                remove_entries(own, (value, now), key);
                !own.is_empty()
            }
            // What others have applied in it stays.
            (own @ Value::Object(_), _, now) => {
                remove_left_out(own, value, now);
                own.as_object().is_some_and(|own| !own.is_empty())
            }
            _ => false,
        };
        if now.is_none() && !left {
            object.remove(name);
        }
    }
}

/// Removes the entries that are left out, and of the others what is left out in them.
fn remove_entries(own: &mut Vec<Value>, (before, now): (&Value, Option<&Value>), key: &str) {
    for entry in before.as_array().into_iter().flatten() {
        let same = |other: &&Value| other[key] == entry[key];
        let now = now.and_then(Value::as_array).and_then(|now| now.iter().find(same));
        match (now, own.iter().position(|own| own[key] == entry[key])) {
            (None, Some(at)) => drop(own.remove(at)),
            (Some(now), Some(at)) => remove_left_out(&mut own[at], entry, Some(now)),
            (_, None) => {}
        }
    }
}

/// The key of the entries of this list, if it has one.
fn key_of(name: &str, list: &Value) -> Option<&'static str> {
    let (_, key) = KEYS.iter().find(|(known, _)| *known == name)?;
    list.as_array()?.iter().all(|entry| entry[*key].is_string()).then_some(key)
}
