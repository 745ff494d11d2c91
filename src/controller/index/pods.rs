//! Pods by namespace and label: readiness, revision, and the criteria for choosing pods to drain.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt,
    core::{Expression, Selector, SelectorExt},
};

use super::{
    follow::{Follow, Workload},
    nodes::ZONE_LABEL,
    owner::{OwnedBy, Selected},
};
use crate::actuate::COST_BEFORE;
use plimsoll_api::BALANCER_LABEL;

/// All watched pods.
#[derive(Debug, Default)]
pub struct PodIndex {
    namespaces: HashMap<String, Namespace>,
    /// Workloads to return when one of their pods becomes ready.
    calls: HashMap<Workload, Selector>,
}

#[derive(Debug, Default)]
struct Namespace {
    pods: HashMap<String, Entry>,
    by_label: HashMap<(String, String), BTreeSet<String>>,
}

#[derive(Debug)]
struct Entry {
    labels: BTreeMap<String, String>,
    owned_by: Option<OwnedBy>,
    ready: bool,
    ip: Option<IpAddr>,
    /// Succeeded, failed or being deleted: neither current nor future capacity.
    gone: bool,
    /// The end of its grace period, if it is being deleted.
    ends: Option<Timestamp>,
    /// Since when it is not ready.
    unready: Option<Timestamp>,
    created: Timestamp,
    node: Option<Box<str>>,
    /// Marked by us for deletion first.
    marked: bool,
}

/// A pod that runs a balancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BalancerPod {
    /// Its name.
    pub name: String,
    /// It accepts requests.
    pub ready: bool,
    /// It is being deleted, and finishes its requests.
    pub ending: bool,
    /// It was ready until a moment ago, and may still have requests.
    pub fading: bool,
}

/// Time after the end of its grace period from which a pod counts as terminated. On a dead node, the pod object remains.
const ENDS_LATE: SignedDuration = SignedDuration::from_secs(10);
/// Time for which a balancer that is no longer ready may still have requests. It gets no new connections, but it may be alive:
/// possibly only its kubelet is dead.
const FADES: SignedDuration = SignedDuration::from_secs(30);

impl PodIndex {
    /// The `selected` pods of `namespace`, without terminated and terminating ones.
    ///
    /// `revision` is the label and value of the target's current revision, if known.
    #[must_use]
    pub fn select(
        &self,
        namespace: &str,
        selected: Selected<'_>,
        revision: Option<&(String, String)>,
    ) -> Vec<plimsoll_engine::Pod> {
        let current =
            |entry: &Entry| revision.is_none_or(|(key, value)| entry.labels.get(key) == Some(value));
        self.staying(namespace, selected)
            .map(|(name, entry)| plimsoll_engine::Pod {
                name: name.clone(),
                ready: entry.ready,
                starting: !entry.ready && current(entry),
            })
            .collect()
    }

    /// The same pods, with the criteria for choosing among them.
    #[must_use]
    pub fn members(&self, namespace: &str, selected: Selected<'_>) -> Vec<plimsoll_engine::Member> {
        self.staying(namespace, selected)
            .map(|(name, entry)| plimsoll_engine::Member {
                name: name.clone(),
                ready: entry.ready,
                created: entry.created,
                node: entry.node.as_deref().map(str::to_owned),
                zone: entry.labels.get(ZONE_LABEL).cloned(),
                marked: entry.marked,
            })
            .collect()
    }

    /// The ready pods among them, with their addresses.
    #[must_use]
    pub fn ready(&self, namespace: &str, selected: Selected<'_>) -> BTreeMap<String, IpAddr> {
        let ready = self.staying(namespace, selected).filter(|(_, entry)| entry.ready);
        ready.filter_map(|(name, entry)| Some((name.clone(), entry.ip?))).collect()
    }

    /// Whether a ready pod of this workload triggers a turn.
    #[must_use]
    pub fn calls(&self, workload: &Workload) -> bool {
        self.calls.contains_key(workload)
    }

    /// Lets ready pods with this `selector` trigger turns of a workload's services; `None` ends that. A relist discards it.
    pub fn call(&mut self, workload: Workload, selector: Option<Selector>) {
        match selector {
            Some(selector) => self.calls.insert(workload, selector),
            None => self.calls.remove(&workload),
        };
    }

    fn called(&self, namespace: &str, entry: &Entry) -> Option<Workload> {
        let mut calls = self.calls.iter().filter(|(workload, _)| workload.namespace == namespace);
        let found = calls.find(|(_, selector)| selector.matches(&entry.labels));
        found.filter(|_| entry.ready && !entry.gone).map(|(workload, _)| workload.clone())
    }

    /// Whether the watch shows a pod as marked for deletion first, as terminating, or not at all.
    #[must_use]
    pub fn goes_first(&self, namespace: &str, pod: &str) -> bool {
        let found = self.namespaces.get(namespace).and_then(|namespace| namespace.pods.get(pod));
        found.is_none_or(|entry| entry.gone || entry.marked)
    }

    /// Namespace and name of the pods that are marked for deletion first and not terminating.
    pub fn marked(&self) -> impl Iterator<Item = (String, String)> {
        let pods = |(name, namespace): (&String, &Namespace)| {
            let marked = namespace.pods.iter().filter(|(_, entry)| entry.marked && !entry.gone);
            marked.map(|(pod, _)| (name.clone(), pod.clone())).collect::<Vec<_>>()
        };
        self.namespaces.iter().flat_map(pods)
    }

    /// The node of a pod, and its zone if the pod has the label.
    #[must_use]
    pub fn place(&self, namespace: &str, pod: &str) -> (Option<String>, Option<String>) {
        let Some(entry) = self.namespaces.get(namespace).and_then(|namespace| namespace.pods.get(pod)) else {
            return (None, None);
        };
        (entry.node.as_deref().map(str::to_owned), entry.labels.get(ZONE_LABEL).cloned())
    }

    /// The pods that run the balancers of a ScalableService, including those that are being deleted.
    #[must_use]
    pub fn balancers(&self, namespace: &str, service: &str, now: Timestamp) -> Vec<BalancerPod> {
        let since = |at: Option<Timestamp>, limit| at.is_some_and(|at| now.duration_since(at) < limit);
        let Some(namespace) = self.namespaces.get(namespace) else { return Vec::new() };
        let names = namespace.by_label.get(&(BALANCER_LABEL.to_owned(), service.to_owned()));
        let pods = names.into_iter().flatten().filter_map(|name| namespace.pods.get_key_value(name));
        pods.filter(|(_, entry)| !entry.gone || entry.ends.is_some())
            .map(|(name, entry)| BalancerPod {
                name: name.clone(),
                ready: entry.ready && !entry.gone,
                ending: since(entry.ends, ENDS_LATE),
                fading: !entry.gone && since(entry.unready, FADES),
            })
            .collect()
    }

    fn staying<'a>(
        &'a self,
        namespace: &str,
        Selected { selector, owner }: Selected<'a>,
    ) -> impl Iterator<Item = (&'a String, &'a Entry)> {
        let entries: Box<dyn Iterator<Item = (&'a String, &'a Entry)>> =
            match (self.namespaces.get(namespace), narrowest(selector)) {
                (None, _) => Box::new(std::iter::empty()),
                (Some(namespace), Some(pair)) => {
                    let names = namespace.by_label.get(&pair).into_iter().flatten();
                    Box::new(names.filter_map(|name| namespace.pods.get_key_value(name)))
                }
                (Some(namespace), None) => Box::new(namespace.pods.iter()),
            };
        entries.filter(|(_, entry)| {
            !entry.gone && selector.matches(&entry.labels) && owner.owns(entry.owned_by.as_ref())
        })
    }
}

/// A label that all selected pods have, for the lookup.
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
        let namespace = pod.metadata.namespace.unwrap_or_default();
        let called = self.called(&namespace, &entry);
        let namespace = self.namespaces.entry(namespace).or_default();
        for (key, value) in &entry.labels {
            namespace.by_label.entry((key.clone(), value.clone())).or_default().insert(name.clone());
        }
        namespace.pods.insert(name, entry);
        called
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
        let ended = matches!(phase, "Succeeded" | "Failed");
        let deleted = pod.metadata.deletion_timestamp.is_some();
        let ready = conditions.iter().find(|condition| condition.type_ == "Ready");
        let unready = ready.filter(|condition| condition.status != "True");
        let created = pod.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).map(Box::from);
        Self {
            labels: pod.metadata.labels.clone().unwrap_or_default(),
            owned_by: OwnedBy::of(&pod.metadata),
            ready: ready.is_some_and(|condition| condition.status == "True"),
            ip: status.and_then(|status| status.pod_ip.as_deref()?.parse().ok()),
            unready: unready.and_then(|condition| Some(condition.last_transition_time.as_ref()?.0)),
            gone: deleted || ended,
            ends: pod.metadata.deletion_timestamp.as_ref().filter(|_| !ended).map(|time| time.0),
            created,
            node,
            marked: pod.metadata.annotations.as_ref().is_some_and(|own| own.contains_key(COST_BEFORE)),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use k8s_openapi::api::core::v1::Pod;
    use kube::core::Selector;

    use super::{
        super::{
            follow::{SharedIndex, write},
            owner::Owner,
            targets::TargetIndex,
        },
        COST_BEFORE, Follow, PodIndex, Selected, Workload,
    };

    fn pod(name: &str, hash: &str, ready: &str, phase: &str, deleting: bool) -> Pod {
        let deletion = deleting.then_some("2026-01-01T00:00:00Z");
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": name, "namespace": "shop", "deletionTimestamp": deletion,
                "labels": {"app": "checkout", "pod-template-hash": hash}},
            "status": {"phase": phase, "podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
        }))
        .unwrap()
    }

    #[test]
    fn terminating_pods_do_not_count_and_only_those_of_the_current_revision_are_starting() {
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
        let selected = Selected { selector: &selector, owner: &Owner::Any };
        let mut pods = index.select("shop", selected, Some(&current));
        pods.sort_by(|a, b| a.name.cmp(&b.name));
        let seen: Vec<_> = pods.iter().map(|pod| (pod.name.as_str(), pod.ready, pod.starting)).collect();
        assert_eq!(seen, [("a", true, false), ("b", false, false), ("c", false, true)]);
        index.delete(&pod("a", "old", "True", "Running", false));
        index.delete(&pod("b", "old", "True", "Running", false));
        assert_eq!(index.select("shop", selected, None).len(), 1);
        assert!(index.select("elsewhere", selected, None).is_empty());
    }

    #[test]
    fn pods_of_other_owners_with_the_same_labels_do_not_belong_to_the_target() {
        let mut index = PodIndex::default();
        let owned = |name: &str, kind: &str, uid: &str| {
            let mut pod = pod(name, "x", "True", "Running", false);
            pod.metadata.owner_references = serde_json::from_value(serde_json::json!([
                {"apiVersion": "apps/v1", "kind": kind, "name": "n", "uid": uid, "controller": true},
            ]))
            .unwrap();
            pod
        };
        index.apply(owned("own", "ReplicaSet", "own-set"));
        index.apply(owned("other", "ReplicaSet", "other-set"));
        index.apply(owned("alone", "ReplicaSet", "set-alone"));
        index.apply(owned("new", "ReplicaSet", "not-seen-yet"));
        index.apply(owned("job", "Job", "a-job"));
        index.apply(owned("stateful", "StatefulSet", "stateful"));
        index.apply(pod("bare", "x", "True", "Running", false));
        let sets = SharedIndex::<TargetIndex>::default();
        for (set, deployment) in
            [("own-set", Some("mine")), ("other-set", Some("theirs")), ("set-alone", None)]
        {
            let owner = deployment.map(|uid| {
                serde_json::json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": uid, "uid": uid, "controller": true}])
            });
            let set: k8s_openapi::api::apps::v1::ReplicaSet = serde_json::from_value(serde_json::json!({
                "metadata": {"name": set, "namespace": "shop", "uid": set, "ownerReferences": owner,
                    "labels": {"pod-template-hash": "x"}, "annotations": {"deployment.kubernetes.io/revision": "1"}},
                "spec": {"selector": {}},
            }))
            .unwrap();
            write(&sets, |sets| sets.apply(set));
        }
        let selector: Selector = [("app", "checkout")].into_iter().collect();
        let names = |owner: &Owner| {
            let members = index.members("shop", Selected { selector: &selector, owner });
            let mut names: Vec<String> = members.into_iter().map(|member| member.name).collect();
            names.sort();
            names
        };
        assert_eq!(names(&Owner::Deployment { uid: "mine".into(), sets }), ["new", "own"]);
        assert_eq!(names(&Owner::Itself("stateful".into())), ["stateful"]);
        assert_eq!(names(&Owner::Any).len(), 7);
    }

    #[test]
    fn a_ready_pod_triggers_a_turn_only_while_a_first_replica_is_awaited() {
        let mut index = PodIndex::default();
        let selector: Selector = [("app", "checkout")].into_iter().collect();
        let workload = |namespace: &str| Workload {
            kind: "Deployment".into(),
            namespace: namespace.into(),
            name: "checkout".into(),
        };
        index.call(workload("elsewhere"), Some(selector.clone()));
        assert_eq!(index.apply(pod("a", "x", "True", "Running", false)), None);
        index.call(workload("shop"), Some(selector.clone()));
        assert_eq!(index.apply(pod("b", "x", "False", "Running", false)), None);
        assert_eq!(index.apply(pod("c", "x", "True", "Running", true)), None, "terminating");
        assert_eq!(index.apply(pod("b", "x", "True", "Running", false)), Some(workload("shop")));
        let selected = Selected { selector: &selector, owner: &Owner::Any };
        let ready: Vec<String> = index.ready("shop", selected).into_keys().collect();
        assert_eq!(ready, ["a", "b"]);
        index.call(workload("shop"), None);
        assert_eq!(index.apply(pod("b", "x", "True", "Running", false)), None);
    }

    #[test]
    fn a_pod_goes_first_once_its_mark_is_seen_or_when_it_is_deleted() {
        let mut index = PodIndex::default();
        let unmarked = pod("a", "x", "True", "Running", false);
        index.apply(unmarked.clone());
        index.apply(pod("b", "x", "True", "Running", true));
        assert_eq!(["a", "b", "c"].map(|pod| index.goes_first("shop", pod)), [false, true, true]);
        let mut marked = unmarked;
        marked.metadata.annotations = Some([(COST_BEFORE.to_owned(), String::new())].into());
        index.apply(marked);
        assert!(index.goes_first("shop", "a"));
    }

    #[test]
    fn a_terminating_balancer_finishes_its_requests_and_accepts_no_others() {
        let mut index = PodIndex::default();
        for (name, ready, phase, deleting) in [
            ("a", "True", "Running", false),
            ("b", "False", "Running", false),
            ("c", "True", "Running", true),
            ("d", "False", "Failed", true),
        ] {
            let mut pod = pod(name, "x", ready, phase, deleting);
            pod.metadata.labels = Some([("plimsoll.dev/balancer".to_owned(), "checkout".to_owned())].into());
            index.apply(pod);
        }
        let seen = |time: &str| {
            let seen = index.balancers("shop", "checkout", time.parse().unwrap());
            seen.into_iter().map(|pod| (pod.name, pod.ready, pod.ending, pod.fading)).collect::<Vec<_>>()
        };
        let (a, b, c) = ("a".to_owned(), "b".to_owned(), "c".to_owned());
        let soon = [
            (a.clone(), true, false, false),
            (b.clone(), false, false, true),
            (c.clone(), false, true, false),
        ];
        assert_eq!(seen("2026-01-01T00:00:05Z"), soon);
        // A pod on a dead node is never removed, and no longer counts.
        let late = [(a, true, false, false), (b, false, false, false), (c, false, false, false)];
        assert_eq!(seen("2026-01-01T00:01:00Z"), late);
        assert!(index.balancers("shop", "cart", Timestamp::UNIX_EPOCH).is_empty());
    }
}
