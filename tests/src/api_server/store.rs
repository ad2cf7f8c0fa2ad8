//! Objects of the in-process API server: versions, optimistic concurrency, server-side apply of what is owned.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

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
                remove_left_out(&mut object, &before, &patch);
            }
        }
        merge(&mut object, &patch);
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

/// As RFC 7396: what is null in the patch is removed.
fn merge(object: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = json!({});
    }
    let Value::Object(object) = object else { return };
    for (name, value) in patch {
        match value {
            Value::Null => drop(object.remove(name)),
            value => merge(object.entry(name).or_insert(Value::Null), value),
        }
    }
}

fn remove_left_out(object: &mut Value, before: &Value, now: &Value) {
    let (Value::Object(object), Value::Object(before)) = (object, before) else { return };
    for (name, value) in before {
        match (now.get(name), object.get_mut(name)) {
            (None, Some(_)) => drop(object.remove(name)),
            (Some(now), Some(object)) => remove_left_out(object, value, now),
            (_, None) => {}
        }
    }
}
