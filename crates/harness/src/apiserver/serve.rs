//! Carries out the calls on resources as the API server does, but without schemas, defaults and admission.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    ending::end,
    eviction::take_from_budget,
    failure::Failure,
    kinds::Kind,
    managers::{self, Manager},
    request::{PatchType, Request, Verb},
    scale::scale_of,
    store::{Key, Store},
    times::seconds,
};

/// The result of a call.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A status code and an object.
    Object(u16, Value),
    /// The caller makes the list or begins the watch, since these depend on the client's faults.
    Read,
}

/// One call being carried out.
pub(crate) struct Call<'a> {
    pub(crate) store: &'a mut Store,
    pub(crate) request: &'a Request,
    pub(crate) uids: &'a mut u64,
    pub(crate) now: Timestamp,
}

impl Call<'_> {
    pub(crate) fn carry_out(mut self) -> Result<Answer, Failure> {
        let subresource = self.request.subresource.as_deref();
        let object = match (self.request.verb, subresource) {
            (Verb::List | Verb::Watch, None) => return Ok(Answer::Read),
            (Verb::Get, None) => Value::clone(&*self.found()?),
            (Verb::Get, Some("scale")) => scale_of(&self.request.kind, &*self.found()?),
            (Verb::Create, None) => return self.create().map(|object| Answer::Object(201, object)),
            (Verb::Create, Some("eviction")) => return self.evict(),
            (Verb::Update, None) => self.update()?,
            (Verb::Update, Some("scale")) => self.update_scale()?,
            (Verb::Patch(type_), None | Some("status")) => return self.patch(type_),
            (Verb::Delete, None) => return self.delete(),
            (verb, subresource) => {
                return Err(Failure::not_implemented(&format!("{} of {subresource:?}", verb.name())));
            }
        };
        Ok(Answer::Object(200, object))
    }

    fn key(&self) -> Key {
        let name = match self.request.name.as_str() {
            "" => self.request.body.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default(),
            name => name,
        };
        Key {
            resource: self.request.kind.resource(),
            namespace: self.request.namespace.clone().unwrap_or_default(),
            name: name.to_owned(),
        }
    }

    fn found(&self) -> Result<Arc<Value>, Failure> {
        let found = self.store.get(&self.key()).cloned();
        found.ok_or_else(|| Failure::not_found(&self.request.kind, &self.request.name))
    }

    fn manager(&self, operation: &'static str) -> Manager {
        let name = self.request.query.get("fieldManager").cloned().unwrap_or_else(|| "unknown".to_owned());
        Manager { name, operation, subresource: self.request.subresource.clone() }
    }

    fn create(&mut self) -> Result<Value, Failure> {
        let key = self.key();
        if self.store.get(&key).is_some() {
            return Err(Failure::already_exists(&self.request.kind, &key.name));
        }
        let body = self.request.body.clone();
        let manager = self.manager("Update");
        let mut object = self.initialized(&key, body);
        tidy(&mut object);
        managers::updated(&json!({}), &mut object, &manager, &self.request.kind, &self.now.to_string());
        Ok(Value::clone(&self.store.put(key, object)))
    }

    /// A new object with the fields that the server sets.
    fn initialized(&mut self, key: &Key, mut object: Value) -> Value {
        let kind = &self.request.kind;
        *self.uids += 1;
        object["apiVersion"] = json!(kind.api_version());
        object["kind"] = json!(kind.kind);
        let metadata = &mut object["metadata"];
        metadata["name"] = json!(key.name);
        if kind.namespaced {
            metadata["namespace"] = json!(key.namespace);
        }
        metadata["uid"] = json!(format!("00000000-0000-4000-8000-{:012x}", self.uids));
        metadata["creationTimestamp"] = json!(seconds(self.now));
        if kind.generation {
            metadata["generation"] = json!(1);
        }
        if kind.subresources.contains(&"status")
            && let Some(fields) = object.as_object_mut()
        {
            fields.remove("status");
        }
        object
    }

    fn update(&mut self) -> Result<Value, Failure> {
        let existing = self.store.get(&self.key()).cloned();
        // The real server would create a missing Lease from a replacement without a UID; no client sends one.
        if existing.is_some() || self.request.kind.plural == "leases" {
            self.check_replaced(existing.as_deref(), &self.request.body)?;
        }
        let old = self.found()?;
        self.check_version(&old, &self.request.body)?;
        let manager = self.manager("Update");
        self.write(&old, self.request.body.clone(), Some(&manager))
    }

    fn update_scale(&mut self) -> Result<Value, Failure> {
        let old = self.found()?;
        self.check_version(&old, &self.request.body)?;
        let kind = &self.request.kind;
        let replicas = self.request.body.pointer("/spec/replicas").cloned().unwrap_or(json!(0));
        let mut new = Value::clone(&old);
        set(&mut new, kind.scale.spec, replicas);
        let manager = self.manager("Update");
        let written = self.replace(&old, new, Some(&manager))?;
        Ok(scale_of(&self.request.kind, &written))
    }

    fn patch(&mut self, type_: PatchType) -> Result<Answer, Failure> {
        let existing = self.store.get(&self.key()).cloned();
        if type_ == PatchType::Apply {
            return self.apply(existing);
        }
        let old = self.found()?;
        let mut new = Value::clone(&old);
        if type_ == PatchType::Json {
            let patch: json_patch::Patch = serde_json::from_value(self.request.body.clone())
                .map_err(|error| Failure::bad_request(error.to_string()))?;
            json_patch::patch(&mut new, &patch).map_err(|_| Failure::patch_test_failed())?;
        } else {
            self.check_version(&old, &self.request.body)?;
            json_patch::merge(&mut new, &self.request.body);
        }
        let manager = self.manager("Update");
        self.write(&old, new, Some(&manager)).map(|object| Answer::Object(200, object))
    }

    fn apply(&mut self, existing: Option<Arc<Value>>) -> Result<Answer, Failure> {
        if self.request.query.get("force").is_none_or(|force| force != "true") {
            return Err(Failure::not_implemented("server-side apply without force"));
        }
        let key = self.key();
        let (kind, time) = (self.request.kind.clone(), self.now.to_string());
        let manager = self.manager("Apply");
        let config = self.restricted(&self.request.body);
        let Some(old) = existing else {
            if self.request.subresource.is_some() {
                return Err(Failure::not_found(&kind, &key.name));
            }
            let empty = self.initialized(&key, json!({"metadata": {}}));
            let mut object = managers::applied(&empty, &config, &manager, &kind, &time);
            tidy(&mut object);
            return Ok(Answer::Object(201, Value::clone(&self.store.put(key, object))));
        };
        let new = managers::applied(&old, &config, &manager, &kind, &time);
        self.write(&old, new, None).map(|object| Answer::Object(200, object))
    }

    /// The part of an applied configuration that this endpoint may change: for a subresource only its own part.
    fn restricted(&self, config: &Value) -> Value {
        let mut config = config.clone();
        if let (Some(part), Some(fields)) = (self.request.subresource.as_deref(), config.as_object_mut()) {
            fields.retain(|name, _| name == part || matches!(name.as_str(), "apiVersion" | "kind"));
        } else if self.request.kind.subresources.contains(&"status")
            && let Some(fields) = config.as_object_mut()
        {
            fields.remove("status");
        }
        config
    }

    /// Writes `new` over `old`, but only the part that this endpoint may change.
    fn write(&mut self, old: &Value, new: Value, manager: Option<&Manager>) -> Result<Value, Failure> {
        let has_status = self.request.kind.subresources.contains(&"status");
        let mut made = match self.request.subresource.as_deref() {
            Some(part) => {
                let mut made = old.clone();
                copy(&mut made, &new, part);
                made["metadata"]["managedFields"] = new["metadata"]["managedFields"].clone();
                made
            }
            None => {
                let mut made = new;
                if has_status {
                    copy(&mut made, old, "status");
                }
                made
            }
        };
        for field in ["name", "namespace", "uid", "creationTimestamp", "resourceVersion", "generation"] {
            keep(&mut made, old, field);
        }
        made["apiVersion"] = old["apiVersion"].clone();
        made["kind"] = old["kind"].clone();
        self.replace(old, made, manager)
    }

    /// Stores `new` instead of `old`, unless they are equal.
    fn replace(&mut self, old: &Value, mut new: Value, manager: Option<&Manager>) -> Result<Value, Failure> {
        let kind = self.request.kind.clone();
        tidy(&mut new);
        if kind.generation && differ(&kind, old, &new) {
            let generation = old.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or(0);
            new["metadata"]["generation"] = json!(generation + 1);
        }
        if let Some(manager) = manager {
            managers::updated(old, &mut new, manager, &kind, &self.now.to_string());
        }
        if without_times(old) == without_times(&new) {
            return Ok(old.clone());
        }
        let key = self.key();
        let ends = new.pointer("/metadata/deletionTimestamp").is_some_and(|at| !at.is_null());
        let finalizers = new.pointer("/metadata/finalizers").and_then(Value::as_array);
        let graceful = new.pointer("/metadata/deletionGracePeriodSeconds").is_some_and(|grace| *grace != 0);
        if ends && !graceful && finalizers.is_none_or(Vec::is_empty) {
            self.store.remove(&key);
            return Ok(new);
        }
        Ok(Value::clone(&self.store.put(key, new)))
    }

    fn delete(&mut self) -> Result<Answer, Failure> {
        let old = self.found()?;
        self.check_uid(&old, &self.request.body)?;
        let (kind, name) = (&self.request.kind, &self.request.name);
        let uid = old["metadata"]["uid"].clone();
        let answer = match end(self.store, &self.key(), self.now) {
            Some(ending) => ending,
            None if RETURNED.contains(&kind.plural) => {
                let mut deleted = Value::clone(&old);
                deleted["metadata"]["resourceVersion"] = json!(self.store.version().to_string());
                deleted
            }
            None => json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
                "details": {"name": name, "group": kind.group, "kind": kind.plural, "uid": uid},
            }),
        };
        Ok(Answer::Object(200, answer))
    }

    fn evict(&mut self) -> Result<Answer, Failure> {
        let pod = self.found()?;
        // The real server also takes from the budget before it checks the precondition.
        take_from_budget(self.store, &pod, self.now)?;
        if let Some(options) = self.request.body.get("deleteOptions") {
            self.check_uid(&pod, options)?;
        }
        end(self.store, &self.key(), self.now);
        let success =
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
        Ok(Answer::Object(201, success))
    }

    fn check_version(&self, old: &Value, new: &Value) -> Result<(), Failure> {
        let version = new.pointer("/metadata/resourceVersion").filter(|version| !version.is_null());
        if version.is_some_and(|version| *version != old["metadata"]["resourceVersion"]) {
            let why =
                "the object has been modified; please apply your changes to the latest version and try again";
            return Err(Failure::conflict(&self.request.kind, &self.request.name, why));
        }
        Ok(())
    }

    /// Checks the UID precondition in the options of a deletion.
    fn check_uid(&self, old: &Value, options: &Value) -> Result<(), Failure> {
        let wanted = options.pointer("/preconditions/uid").and_then(Value::as_str);
        let uid = old.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default();
        match wanted {
            Some(wanted) if wanted != uid => {
                let why = format!(
                    "the UID in the precondition ({wanted}) does not match the UID in record ({uid}). The object might \
                     have been deleted and then recreated"
                );
                Err(Failure::another_uid(&self.request.kind, &self.request.name, &why))
            }
            _ => Ok(()),
        }
    }

    /// Checks that the UID of a replacement, if set, is that of the existing object.
    fn check_replaced(&self, old: Option<&Value>, new: &Value) -> Result<(), Failure> {
        let Some(wanted) = new.pointer("/metadata/uid").and_then(Value::as_str) else { return Ok(()) };
        let uid = old.and_then(|old| old.pointer("/metadata/uid")?.as_str()).unwrap_or_default();
        if wanted == uid {
            return Ok(());
        }
        let Request { kind, name, namespace, .. } = self.request;
        let why = format!(
            "StorageError: invalid object, Code: 4, Key: /registry/{}/{}/{name}, ResourceVersion: 0, \
             AdditionalErrorMsg: Precondition failed: UID in precondition: {wanted}, UID in object meta: {uid}",
            kind.plural,
            namespace.as_deref().unwrap_or_default(),
        );
        Err(Failure::conflict(kind, name, &why))
    }
}

/// Kinds whose deletion returns the object instead of a Status.
const RETURNED: [&str; 3] = ["pods", "serviceaccounts", "services"];

fn set(object: &mut Value, pointer: &str, value: Value) {
    let mut at = object;
    for name in pointer.split('/').skip(1) {
        at = &mut at[name];
    }
    *at = value;
}

/// Copies a field of `from` to `object`, or removes it if `from` has none.
fn copy(object: &mut Value, from: &Value, field: &str) {
    match from.get(field) {
        Some(value) => object[field] = value.clone(),
        None => drop(object.as_object_mut().and_then(|object| object.remove(field))),
    }
}

fn keep(object: &mut Value, old: &Value, field: &str) {
    copy(&mut object["metadata"], &old["metadata"], field);
}

/// Removes empty fields of metadata, which the server does not store.
fn tidy(object: &mut Value) {
    let is_empty = |value: &Value| match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        value => value.is_null(),
    };
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.retain(|_, value| !is_empty(value));
    }
}

/// Whether the change raises `metadata.generation`: it is outside of metadata and status. A Deployment's annotations count
/// too, since its ReplicaSets get them.
fn differ(kind: &Kind, old: &Value, new: &Value) -> bool {
    if kind.kind == "Deployment" && old["metadata"].get("annotations") != new["metadata"].get("annotations") {
        return true;
    }
    let rest = |object: &Value| {
        let mut object = object.clone();
        if let Some(fields) = object.as_object_mut() {
            fields.retain(|name, _| name != "metadata" && name != "status");
        }
        object
    };
    rest(old) != rest(new)
}

/// An object without the times of `managedFields`, which do not count as a change.
fn without_times(object: &Value) -> Value {
    let mut object = object.clone();
    let managed = object.pointer_mut("/metadata/managedFields").and_then(Value::as_array_mut);
    managed.into_iter().flatten().for_each(|entry| entry["time"] = Value::Null);
    object
}
