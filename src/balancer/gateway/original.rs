//! The weights that a rule had before Plimsoll changed them. They are recorded on the route in the patch that changes them,
//! and restored when the service that changed them is deleted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    change::{Change, set_weight, unchanged},
    route::{BackendRef, Route, Rule},
};

/// The annotation ([`super::ORIGINALS_ANNOTATION`]) as a JSON pointer.
const POINTER: &str = "/metadata/annotations/plimsoll.dev~1original-weights";

/// The changed rules, by name.
type Originals = BTreeMap<String, Original>;

/// The weights of one rule before the first change and after the last one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Original {
    /// Name of the ScalableService that changed them.
    by: String,
    /// The original weights.
    before: Vec<Weight>,
    /// The weights that Plimsoll set last.
    given: Vec<Weight>,
}

/// The weight of one backendRef.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Weight {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    port: Option<i32>,
    weight: i32,
}

impl Weight {
    fn of(backend: &BackendRef, weight: i32) -> Self {
        let BackendRef { name, namespace, port, .. } = backend;
        Self { name: name.clone(), namespace: namespace.clone(), port: *port, weight }
    }

    fn is_of(&self, backend: &BackendRef) -> bool {
        backend.name == self.name && backend.namespace == self.namespace && backend.port == self.port
    }
}

/// The route's annotation. Users can write it, so an invalid one counts as empty.
fn read(route: &Route) -> Originals {
    route.originals.as_ref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// Operations that record the weights of the rule `name` before the service `by` sets those of `given`.
pub(super) fn record(route: &Route, name: &str, by: &str, given: &[(&BackendRef, i32)]) -> Vec<Value> {
    let mut originals = read(route);
    let known = originals.remove(name).filter(|original| original.by == by);
    let before = |backend: &BackendRef| {
        let known = known.iter().flat_map(|original| &original.before).find(|weight| weight.is_of(backend));
        known.cloned().unwrap_or_else(|| Weight::of(backend, backend.weight()))
    };
    let original = Original {
        by: by.to_owned(),
        before: given.iter().map(|(backend, _)| before(backend)).collect(),
        given: given.iter().map(|(backend, weight)| Weight::of(backend, *weight)).collect(),
    };
    originals.insert(name.to_owned(), original);
    write(route, &originals)
}

fn write(route: &Route, originals: &Originals) -> Vec<Value> {
    if originals.is_empty() {
        return vec![json!({"op": "remove", "path": POINTER})];
    }
    // Serializing a map with string keys can't fail.
    let value = serde_json::to_string(originals).unwrap_or_default();
    let none =
        (!route.is_annotated).then(|| json!({"op": "add", "path": "/metadata/annotations", "value": {}}));
    none.into_iter().chain([json!({"op": "add", "path": POINTER, "value": value})]).collect()
}

/// The change that restores the weights changed by the service `by`; `None` if it changed nothing. Rules that another client
/// has changed since are left as they are, which [`Change::what`] mentions.
#[must_use]
pub fn put_back(route: &Route, by: &str) -> Option<Change> {
    let (own, left): (Originals, Originals) =
        read(route).into_iter().partition(|(_, original)| original.by == by);
    if own.is_empty() {
        return None;
    }
    let mut patch = unchanged(route);
    let mut what = Vec::new();
    for (name, original) in &own {
        let named = |(_, rule): &(usize, &Rule)| rule.name.as_ref() == Some(name);
        let Some((index, rule)) = route.rules.iter().enumerate().find(named) else { continue };
        match restored(rule, original) {
            Some(weights) => {
                for (place, backend, weight) in weights {
                    patch.push(set_weight(index, place, weight));
                    what.push(format!("{} {} -> {weight}", backend.name, backend.weight()));
                }
            }
            None => what.push(format!("rule {name} was changed by another client since and stays as it is")),
        }
    }
    patch.extend(write(route, &left));
    Some(Change { patch, what: what.join(", ") })
}

/// The backends of a rule with their original weights; `None` if their current weights are not those that Plimsoll set.
fn restored<'a>(rule: &'a Rule, original: &Original) -> Option<Vec<(usize, &'a BackendRef, i32)>> {
    let find = |weight: &Weight| {
        let mut backends = rule.backend_refs.iter().enumerate();
        backends.find(|(_, backend)| weight.is_of(backend))
    };
    let is_set = |given: &Weight| find(given).is_some_and(|(_, backend)| backend.weight() == given.weight);
    if !original.given.iter().all(is_set) {
        return None;
    }
    original
        .before
        .iter()
        .map(|before| {
            let (place, backend) = find(before)?;
            // Users can write the annotation, so the weight must be checked against the range of the Gateway API.
            (0..=1_000_000).contains(&before.weight).then_some((place, backend, before.weight))
        })
        .collect()
}
