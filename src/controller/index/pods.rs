//! Pods by namespace and label: readiness and revision, nothing else.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt,
    core::{Expression, Selector, SelectorExt},
};

use super::{Follow, Workload};
use crate::engine;

/// All pods that are watched.
#[derive(Debug, Default)]
pub struct PodIndex {
    namespaces: HashMap<String, Namespace>,
}

#[derive(Debug, Default)]
struct Namespace {
    pods: HashMap<String, Entry>,
    by_label: HashMap<(String, String), BTreeSet<String>>,
}

#[derive(Debug)]
struct Entry {
    labels: BTreeMap<String, String>,
    ready: bool,
    /// Succeeded, failed or being deleted: neither capacity nor capacity to come.
    gone: bool,
}

impl PodIndex {
    /// The pods of `namespace` that `selector` selects and that are there to stay.
    ///
    /// `revision` is the label with its value that the target's current revision has, if that is known.
    #[must_use]
    pub fn select(
        &self,
        namespace: &str,
        selector: &Selector,
        revision: Option<&(String, String)>,
    ) -> Vec<engine::Pod> {
        let Some(namespace) = self.namespaces.get(namespace) else { return Vec::new() };
        let entries: Box<dyn Iterator<Item = (&String, &Entry)>> = match narrowest(selector) {
            Some(pair) => {
                let names = namespace.by_label.get(&pair);
                Box::new(names.into_iter().flatten().filter_map(|name| namespace.pods.get_key_value(name)))
            }
            None => Box::new(namespace.pods.iter()),
        };
        let current =
            |entry: &Entry| revision.is_none_or(|(key, value)| entry.labels.get(key) == Some(value));
        entries
            .filter(|(_, entry)| !entry.gone && selector.matches(&entry.labels))
            .map(|(name, entry)| engine::Pod {
                name: name.clone(),
                ready: entry.ready,
                starting: !entry.ready && current(entry),
            })
            .collect()
    }
}

/// A label that all selected pods have, to look them up by.
fn narrowest(selector: &Selector) -> Option<(String, String)> {
    selector.clone().into_iter().find_map(|expression| match expression {
        Expression::Equal(key, value) => Some((key, value)),
        Expression::In(key, values) if values.len() == 1 => {
            values.into_iter().next().map(|value| (key, value))
        }
        _ => None,
    })
}

impl Follow<Pod> for PodIndex {
    fn apply(&mut self, pod: Pod) -> Option<Workload> {
        self.delete(&pod);
        let name = pod.name_any();
        let entry = Entry::from(&pod);
        let namespace = self.namespaces.entry(pod.metadata.namespace.unwrap_or_default()).or_default();
        for (key, value) in &entry.labels {
            namespace.by_label.entry((key.clone(), value.clone())).or_default().insert(name.clone());
        }
        namespace.pods.insert(name, entry);
        None
    }

    fn delete(&mut self, pod: &Pod) -> Option<Workload> {
        let in_namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let namespace = self.namespaces.get_mut(in_namespace)?;
        let name = pod.name_any();
        let entry = namespace.pods.remove(&name)?;
        for pair in entry.labels {
            if let Some(names) = namespace.by_label.get_mut(&pair) {
                names.remove(&name);
                if names.is_empty() {
                    namespace.by_label.remove(&pair);
                }
            }
        }
        if namespace.pods.is_empty() {
            self.namespaces.remove(in_namespace);
        }
        None
    }
}

impl From<&Pod> for Entry {
    fn from(pod: &Pod) -> Self {
        let status = pod.status.as_ref();
        let phase = status.and_then(|status| status.phase.as_deref()).unwrap_or_default();
        let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
        Self {
            labels: pod.metadata.labels.clone().unwrap_or_default(),
            ready: conditions
                .iter()
                .any(|condition| condition.type_ == "Ready" && condition.status == "True"),
            gone: pod.metadata.deletion_timestamp.is_some() || matches!(phase, "Succeeded" | "Failed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use kube::core::Selector;

    use super::{super::Follow, PodIndex};

    fn pod(name: &str, hash: &str, ready: &str, phase: &str, deleting: bool) -> Pod {
        let deletion = deleting.then_some("2026-01-01T00:00:00Z");
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": name, "namespace": "shop", "deletionTimestamp": deletion,
                "labels": {"app": "checkout", "pod-template-hash": hash}},
            "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]},
        }))
        .unwrap()
    }

    #[test]
    fn only_pods_that_stay_count_and_only_those_of_the_current_revision_are_starting() {
        let mut index = PodIndex::default();
        for pod in [
            pod("a", "old", "True", "Running", false),
            pod("b", "old", "False", "Running", false),
            pod("c", "new", "False", "Pending", false),
            pod("d", "new", "True", "Running", true),
            pod("e", "new", "False", "Failed", false),
        ] {
            index.apply(pod);
        }
        let selector: Selector = [("app", "checkout")].into_iter().collect();
        let current = ("pod-template-hash".to_owned(), "new".to_owned());
        let mut pods = index.select("shop", &selector, Some(&current));
        pods.sort_by(|a, b| a.name.cmp(&b.name));
        let seen: Vec<_> = pods.iter().map(|pod| (pod.name.as_str(), pod.ready, pod.starting)).collect();
        assert_eq!(seen, [("a", true, false), ("b", false, false), ("c", false, true)]);
        index.delete(&pod("a", "old", "True", "Running", false));
        index.delete(&pod("b", "old", "True", "Running", false));
        assert_eq!(index.select("shop", &selector, None).len(), 1);
        assert!(index.select("elsewhere", &selector, None).is_empty());
    }
}
