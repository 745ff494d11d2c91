//! Field sets (`fieldsV1`) and the parts of objects that they name: the basis of server-side apply (KEP-555).

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::kinds::{Kind, ListType};

/// One element of a path from an object to one of its parts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// `f:NAME`, a field of an object.
    Field(String),
    /// `k:{…}`, an item of a list, by its keys as JSON.
    Item(String),
    /// `v:…`, a member of a set, as JSON.
    Member(String),
}

pub(crate) type Path = Vec<Step>;

/// Fields of one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldSet(pub(crate) BTreeSet<Path>);

impl FieldSet {
    /// The fields that `object` sets: its leaves and the items of its lists.
    pub(crate) fn of(object: &Value, kind: &Kind) -> Self {
        let mut fields = BTreeSet::new();
        collect(object, &mut Vec::new(), kind, &mut fields);
        Self(fields)
    }

    /// Whether `path` or something below it is in the set.
    pub(crate) fn covers(&self, path: &[Step]) -> bool {
        self.0.range(path.to_vec()..).next().is_some_and(|next| next.starts_with(path))
    }

    /// The set in the format `fieldsV1`.
    pub(crate) fn to_json(&self) -> Value {
        let mut root = json!({});
        for path in &self.0 {
            let mut at = &mut root;
            for step in path {
                at = &mut at[step.to_string()];
                if at.is_null() {
                    *at = json!({});
                }
            }
        }
        // A path that is in the set and also has members below it gets the marker `.`.
        for path in &self.0 {
            let node = path.iter().try_fold(&mut root, |at, step| at.get_mut(step.to_string()));
            if let Some(Value::Object(below)) = node
                && !below.is_empty()
            {
                below.insert(".".to_owned(), json!({}));
            }
        }
        root
    }

    /// Reads [`Self::to_json`].
    pub(crate) fn from_json(fields: &Value) -> Self {
        let mut paths = BTreeSet::new();
        read(fields, &mut Vec::new(), &mut paths);
        Self(paths)
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Field(name) => write!(formatter, "f:{name}"),
            Self::Item(keys) => write!(formatter, "k:{keys}"),
            Self::Member(value) => write!(formatter, "v:{value}"),
        }
    }
}

impl Step {
    fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        match kind {
            "f" => Some(Self::Field(rest.to_owned())),
            "k" => Some(Self::Item(rest.to_owned())),
            "v" => Some(Self::Member(rest.to_owned())),
            _ => None,
        }
    }
}

fn read(fields: &Value, path: &mut Path, paths: &mut BTreeSet<Path>) {
    let Some(fields) = fields.as_object() else { return };
    if fields.is_empty() || fields.contains_key(".") {
        paths.insert(path.clone());
    }
    for (name, below) in fields {
        if let Some(step) = Step::parse(name) {
            path.push(step);
            read(below, path, paths);
            path.pop();
        }
    }
}

/// The names of the fields on the path, which determine the type of a list.
fn names(path: &[Step]) -> Vec<&str> {
    let field = |step: &'_ Step| matches!(step, Step::Field(_));
    path.iter()
        .filter(|step| field(step))
        .map(|step| match step {
            Step::Field(name) | Step::Item(name) | Step::Member(name) => name.as_str(),
        })
        .collect()
}

/// Whether the field is maintained by the server and has no manager.
pub(crate) fn is_system(path: &[Step]) -> bool {
    let system_fields = [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "managedFields",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
    ];
    match path {
        [Step::Field(first)] => matches!(first.as_str(), "apiVersion" | "kind"),
        [Step::Field(first), Step::Field(second), ..] => {
            first == "metadata" && system_fields.contains(&second.as_str())
        }
        _ => false,
    }
}

fn collect(value: &Value, path: &mut Path, kind: &Kind, fields: &mut BTreeSet<Path>) {
    if is_system(path) {
        return;
    }
    match value {
        Value::Object(object) if !object.is_empty() && !is_atomic_map(path, kind) => {
            for (name, below) in object {
                path.push(Step::Field(name.clone()));
                collect(below, path, kind, fields);
                path.pop();
            }
        }
        Value::Array(items) => match kind.list_type(&names(path)) {
            ListType::Atomic => drop(fields.insert(path.clone())),
            ListType::Set => {
                for item in items {
                    path.push(Step::Member(item.to_string()));
                    fields.insert(path.clone());
                    path.pop();
                }
            }
            ListType::Map(keys) => {
                for item in items {
                    path.push(item_step(item, &keys));
                    fields.insert(path.clone());
                    collect(item, path, kind, fields);
                    path.pop();
                }
            }
        },
        Value::Object(_) if path.is_empty() => {}
        _ => drop(fields.insert(path.clone())),
    }
}

/// Whether the object at `path` is replaced as a whole (`x-kubernetes-map-type: atomic`).
fn is_atomic_map(path: &[Step], kind: &Kind) -> bool {
    const ATOMIC: [&str; 9] = [
        "selector",
        "podSelector",
        "nodeSelector",
        "labelSelector",
        "roleRef",
        "fieldRef",
        "resourceFieldRef",
        "secretKeyRef",
        "regarding",
    ];
    match path {
        [Step::Field(metadata), Step::Field(owners), Step::Item(_)] => {
            metadata == "metadata" && owners == "ownerReferences"
        }
        [.., Step::Field(name)] => kind.is_built_in() && ATOMIC.contains(&name.as_str()),
        _ => false,
    }
}

/// An item of a list by its keys; an unset key has its default, which exists only for `protocol` here.
fn item_step(item: &Value, keys: &[String]) -> Step {
    let value = |key: &String| match (item.get(key), key.as_str()) {
        (Some(value), _) => value.clone(),
        (None, "protocol") => json!("TCP"),
        (None, _) => Value::Null,
    };
    let keys: Map<String, Value> =
        keys.iter().map(|key| (key.clone(), value(key))).filter(|(_, value)| !value.is_null()).collect();
    Step::Item(Value::Object(keys).to_string())
}

/// The part of `object` at `path`.
pub(crate) fn part<'a>(object: &'a Value, path: &[Step]) -> Option<&'a Value> {
    let mut at = object;
    for step in path {
        at = match step {
            Step::Field(name) => at.get(name)?,
            Step::Item(keys) => {
                let position = position(at, keys)?;
                at.get(position)?
            }
            Step::Member(value) => at.as_array()?.iter().find(|item| item.to_string() == *value)?,
        };
    }
    Some(at)
}

fn position(list: &Value, keys: &str) -> Option<usize> {
    let keys: Map<String, Value> = serde_json::from_str(keys).ok()?;
    let names: Vec<String> = keys.keys().cloned().collect();
    let wanted = Step::Item(Value::Object(keys).to_string());
    list.as_array()?.iter().position(|item| item_step(item, &names) == wanted)
}

/// Removes the part at `path`.
pub(crate) fn remove(object: &mut Value, path: &[Step]) {
    let Some((last, parents)) = path.split_last() else { return };
    let mut at = object;
    for step in parents {
        let next = match step {
            Step::Field(name) => at.get_mut(name),
            Step::Item(keys) => match position(at, keys) {
                Some(position) => at.get_mut(position),
                None => None,
            },
            Step::Member(_) => None,
        };
        let Some(next) = next else { return };
        at = next;
    }
    match (last, at) {
        (Step::Field(name), Value::Object(object)) => drop(object.remove(name)),
        (Step::Item(keys), list) => {
            if let (Some(position), Value::Array(items)) = (position(list, keys), list) {
                items.remove(position);
            }
        }
        (Step::Member(value), Value::Array(items)) => {
            let member: Option<Value> = serde_json::from_str(value).ok();
            items.retain(|item| Some(item) != member.as_ref());
        }
        _ => {}
    }
}

/// Merges the fields of `config` into `object`.
pub(crate) fn merge(object: &mut Value, config: &Value, path: &mut Path, kind: &Kind) {
    match (object, config) {
        (Value::Object(object), Value::Object(config)) if !is_atomic_map(path, kind) => {
            for (name, value) in config {
                path.push(Step::Field(name.clone()));
                match object.get_mut(name) {
                    Some(existing) => merge(existing, value, path, kind),
                    None => drop(object.insert(name.clone(), value.clone())),
                }
                path.pop();
            }
        }
        (Value::Array(items), Value::Array(config)) => match kind.list_type(&names(path)) {
            ListType::Atomic => items.clone_from(config),
            ListType::Set => {
                items.extend(config.iter().filter(|item| !items.contains(item)).cloned().collect::<Vec<_>>());
            }
            ListType::Map(keys) => {
                for item in config {
                    let step = item_step(item, &keys);
                    match items.iter_mut().find(|existing| item_step(existing, &keys) == step) {
                        Some(existing) => {
                            path.push(step);
                            merge(existing, item, path, kind);
                            path.pop();
                        }
                        None => items.push(item.clone()),
                    }
                }
            }
        },
        (object, config) => object.clone_from(config),
    }
}
