//! Ownership of fields: `metadata.managedFields`, maintained by updates and by server-side apply (KEP-555).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    fields::{FieldSet, Path, Step, merge, part, remove},
    kinds::Kind,
};

/// The field manager of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manager {
    pub(crate) name: String,
    /// `Apply` or `Update`.
    pub(crate) operation: &'static str,
    pub(crate) subresource: Option<String>,
}

#[derive(Clone, Debug)]
struct Entry {
    name: String,
    operation: String,
    subresource: Option<String>,
    fields: FieldSet,
    time: Value,
}

impl Entry {
    fn is_of(&self, manager: &Manager) -> bool {
        self.name == manager.name
            && self.operation == manager.operation
            && self.subresource == manager.subresource
    }
}

fn entries(object: &Value) -> Vec<Entry> {
    let text = |entry: &Value, field: &str| entry.get(field).and_then(Value::as_str).map(str::to_owned);
    let listed = object.pointer("/metadata/managedFields").and_then(Value::as_array);
    let entry = |entry: &Value| Entry {
        name: text(entry, "manager").unwrap_or_default(),
        operation: text(entry, "operation").unwrap_or_default(),
        subresource: text(entry, "subresource"),
        fields: FieldSet::from_json(entry.get("fieldsV1").unwrap_or(&Value::Null)),
        time: entry.get("time").cloned().unwrap_or_default(),
    };
    listed.into_iter().flatten().map(entry).collect()
}

fn write(object: &mut Value, entries: &[Entry], kind: &Kind) {
    let entry = |entry: &Entry| {
        let mut written = json!({
            "manager": entry.name,
            "operation": entry.operation,
            "apiVersion": kind.api_version(),
            "time": entry.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": entry.fields.to_json(),
        });
        if let Some(subresource) = &entry.subresource {
            written["subresource"] = json!(subresource);
        }
        written
    };
    let owned = entries.iter().filter(|entry| !entry.fields.0.is_empty());
    object["metadata"]["managedFields"] = owned.map(entry).collect();
}

/// Records an update: its manager becomes the only owner of the changed fields.
pub(crate) fn updated(old: &Value, new: &mut Value, manager: &Manager, kind: &Kind, time: &str) {
    let (before, after) = (FieldSet::of(old, kind), FieldSet::of(new, kind));
    // A built-in kind is a struct in the real server, so its spec and status always exist.
    let is_always = |path: &[Step]| {
        kind.is_built_in() && matches!(path, [Step::Field(name)] if name == "spec" || name == "status")
    };
    // The path of an item covers the item only; changes below it have paths of their own.
    let is_item = |path: &Path| matches!(path.last(), Some(Step::Item(_)));
    let differs = |path: &Path| !is_item(path) && part(old, path) != part(new, path);
    let mut written = BTreeSet::new();
    for path in after.0.iter().filter(|path| !before.0.contains(*path) || differs(path)) {
        // Containers of the field that did not exist are new as well.
        let containers = (1..path.len()).filter_map(|length| path.get(..length));
        let added = containers.filter(|container| part(old, container).is_none() && !is_always(container));
        written.extend(added.map(<[Step]>::to_vec));
        written.insert(path.clone());
    }
    let removed = |path: &Path| part(old, path).is_some() && part(new, path).is_none();
    let mut entries = entries(old);
    for entry in &mut entries {
        let own = entry.is_of(manager);
        entry.fields.0.retain(|path| !removed(path) && (own || !written.contains(path)));
    }
    own(&mut entries, manager, time, |fields| fields.0.extend(written));
    write(new, &entries, kind);
}

/// Applies `config` to `old` with force: sets its fields, and removes fields that the manager no longer sets unless another
/// manager owns them.
pub(crate) fn applied(old: &Value, config: &Value, manager: &Manager, kind: &Kind, time: &str) -> Value {
    let config_fields = FieldSet::of(config, kind);
    let mut new = old.clone();
    merge(&mut new, config, &mut Vec::new(), kind);
    let mut entries = entries(old);
    let before = entries.iter().find(|entry| entry.is_of(manager)).map(|entry| entry.fields.clone());
    for entry in entries.iter_mut().filter(|entry| !entry.is_of(manager)) {
        let taken = |path: &Path| config_fields.0.contains(path) && part(old, path) != part(&new, path);
        entry.fields.0.retain(|path| !taken(path));
    }
    let others = entries.iter().filter(|entry| !entry.is_of(manager));
    let owned: Vec<&FieldSet> = others.map(|entry| &entry.fields).chain([&config_fields]).collect();
    for path in before.unwrap_or_default().0 {
        // Containers of a field are removed with it, unless another manager owns a field in them.
        let parts = (1..=path.len()).filter_map(|length| path.get(..length));
        let mut parts = parts.filter(|part| !matches!(part, [Step::Field(name)] if name == "metadata"));
        let given_up = parts.find(|at| {
            // A list that is applied without items is in no field set, but it stays.
            part(config, at).is_none() && !owned.iter().any(|fields| fields.covers(at))
        });
        if let Some(given_up) = given_up {
            remove(&mut new, given_up);
        }
    }
    own(&mut entries, manager, time, |fields| *fields = config_fields);
    write(&mut new, &entries, kind);
    new
}

/// Changes the fields of `manager`, which gets an entry if it has none.
fn own(entries: &mut Vec<Entry>, manager: &Manager, time: &str, change: impl FnOnce(&mut FieldSet)) {
    let position = entries.iter().position(|entry| entry.is_of(manager));
    let position = position.unwrap_or_else(|| {
        entries.push(Entry {
            name: manager.name.clone(),
            operation: manager.operation.to_owned(),
            subresource: manager.subresource.clone(),
            fields: FieldSet::default(),
            time: Value::Null,
        });
        entries.len() - 1
    });
    if let Some(entry) = entries.get_mut(position) {
        change(&mut entry.fields);
        entry.time = json!(time);
    }
}
