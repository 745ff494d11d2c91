//! The objects and the history of their changes, from which lists and watches are served.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};
use tokio::time::Instant;

/// The identity of an object: its resource (`deployments.apps`), namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) resource: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// Type of a watch event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangeType {
    Added,
    Modified,
    Deleted,
}

/// One change.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) version: u64,
    pub(crate) at: Instant,
    pub(crate) type_: ChangeType,
    pub(crate) key: Key,
    /// The object after the change; for a deletion, the deleted object.
    pub(crate) object: Arc<Value>,
}

/// All objects of all kinds.
#[derive(Debug)]
pub(crate) struct Store {
    version: u64,
    /// Changes up to this version are no longer available to watches.
    oldest: u64,
    objects: BTreeMap<Key, Arc<Value>>,
    changes: Vec<Change>,
}

impl Default for Store {
    fn default() -> Self {
        // An empty list has a version too, and a watch from 0 has a different meaning.
        Self { version: 1, oldest: 0, objects: BTreeMap::new(), changes: Vec::new() }
    }
}

impl Store {
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// The version before which watches get 410 Gone.
    pub(crate) fn oldest(&self) -> u64 {
        self.oldest
    }

    /// Compacts the changes so far, so that no watch can begin before the current version.
    pub(crate) fn compact(&mut self) {
        self.oldest = self.version;
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&Arc<Value>> {
        self.objects.get(key)
    }

    /// The objects of a resource, in a namespace or in all.
    pub(crate) fn list<'a>(
        &'a self,
        resource: &'a str,
        namespace: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a Key, &'a Arc<Value>)> {
        self.objects.iter().filter(move |(key, _)| is_of(key, resource, namespace))
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        self.objects.iter()
    }

    /// The latest version at the time `at`; the first version if `at` is before all changes.
    pub(crate) fn version_at(&self, at: Option<Instant>) -> u64 {
        let before = self.changes.iter().take_while(|change| at.is_some_and(|at| change.at <= at));
        before.last().map_or(1, |change| change.version)
    }

    /// [`Self::list`] as of `version`.
    pub(crate) fn list_at(&self, resource: &str, namespace: Option<&str>, version: u64) -> Vec<Arc<Value>> {
        let mut objects = BTreeMap::new();
        let changes = self.changes.iter().take_while(|change| change.version <= version);
        for change in changes.filter(|change| is_of(&change.key, resource, namespace)) {
            match change.type_ {
                ChangeType::Deleted => drop(objects.remove(&change.key)),
                ChangeType::Added | ChangeType::Modified => {
                    objects.insert(change.key.clone(), Arc::clone(&change.object));
                }
            }
        }
        objects.into_values().collect()
    }

    /// The changes after `version`, oldest first.
    pub(crate) fn changes_after(&self, version: u64) -> &[Change] {
        let first = self.changes.partition_point(|change| change.version <= version);
        self.changes.get(first..).unwrap_or_default()
    }

    /// Stores `object` under `key` with a new resource version.
    pub(crate) fn put(&mut self, key: Key, mut object: Value) -> Arc<Value> {
        let type_ = if self.objects.contains_key(&key) { ChangeType::Modified } else { ChangeType::Added };
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let object = Arc::new(object);
        self.objects.insert(key.clone(), Arc::clone(&object));
        self.note(type_, key, &object);
        object
    }

    /// Removes the object under `key`.
    pub(crate) fn remove(&mut self, key: &Key) -> Option<Arc<Value>> {
        let mut object = self.objects.remove(key).map(|object| Value::clone(&object))?;
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let object = Arc::new(object);
        self.note(ChangeType::Deleted, key.clone(), &object);
        Some(object)
    }

    fn note(&mut self, type_: ChangeType, key: Key, object: &Arc<Value>) {
        let (version, at, object) = (self.version, Instant::now(), Arc::clone(object));
        self.changes.push(Change { version, at, type_, key, object });
    }
}

pub(crate) fn is_of(key: &Key, resource: &str, namespace: Option<&str>) -> bool {
    key.resource == resource && namespace.is_none_or(|namespace| key.namespace == namespace)
}
