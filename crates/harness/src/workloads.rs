//! A model of the Kubernetes controllers that matter to a scaler: Deployments get pods, pods become ready and terminate after
//! a while, and dependents of a deleted object are garbage-collected.

use std::{collections::HashMap, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use plimsoll::fingerprint;

use crate::{
    apiserver::{ApiServer, Objects},
    pods::is_ready,
};

/// Time from the creation of a pod until it is ready.
const READY_AFTER: Duration = Duration::from_millis(500);
/// Time from the deletion of a pod until its object is removed.
const GONE_AFTER: Duration = Duration::from_secs(1);

/// The controllers of one server.
pub(crate) struct Workloads {
    server: ApiServer,
    objects: Objects,
    /// When each pod (namespace, name) becomes ready or, if it is being deleted (`true`), is removed.
    due: HashMap<(String, String, bool), Instant>,
    created: u64,
}

/// A label of a pod: the pod never becomes ready if one of its containers has this image.
pub const NEVER_READY_WITH: &str = "harness.plimsoll.dev/never-ready-with";

impl Workloads {
    pub(crate) fn new(server: ApiServer) -> Self {
        Self { objects: server.objects(), server, due: HashMap::new(), created: 0 }
    }

    /// Runs the controllers until the returned future is dropped.
    pub(crate) async fn run(mut self) {
        let mut changes = self.server.changes();
        loop {
            changes.mark_unchanged();
            self.step();
            let next = self.due.values().min().copied();
            tokio::select! {
                biased;
                changed = changes.changed() => if changed.is_err() { return },
                () = at(next) => {}
            }
        }
    }

    fn step(&mut self) {
        let all = self.objects.all();
        let of_kind = |kind: &'static str| all.iter().filter(move |object| object["kind"] == kind);
        of_kind("Pod").for_each(|pod| self.pod(pod));
        let changed = self.objects.all();
        let now = |kind: &'static str| {
            changed.iter().map(|object| &**object).filter(move |object| object["kind"] == kind)
        };
        let (pods, replica_sets) = (now("Pod").collect::<Vec<_>>(), now("ReplicaSet").collect::<Vec<_>>());
        of_kind("Deployment").for_each(|deployment| self.deployment(deployment, &pods, &replica_sets));
        self.collect_garbage(&all);
    }

    /// Makes a new pod ready, or removes a pod that is being deleted.
    fn pod(&mut self, pod: &Value) {
        let (namespace, name) = named(pod);
        let ends = pod.pointer("/metadata/deletionTimestamp").is_some();
        let key = (namespace.clone(), name.clone(), ends);
        if ends {
            // The pod may have been deleted before it was ready.
            self.due.remove(&(namespace.clone(), name.clone(), false));
        } else if is_ready(pod) {
            self.due.remove(&key);
            return;
        } else if never_becomes_ready(pod) {
            return;
        }
        let (now, after) = (Instant::now(), if ends { GONE_AFTER } else { READY_AFTER });
        let due = *self.due.entry(key.clone()).or_insert(now + after);
        if due > now {
            return;
        }
        self.due.remove(&key);
        if ends {
            self.objects.remove("pods", &namespace, &name);
        } else {
            let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
            self.objects.patch_status("pods", &namespace, &name, ready);
        }
    }

    /// Rolls out the newest template with a surge of one, so that no pod is deleted before its replacement is ready.
    fn deployment(&mut self, deployment: &Value, all: &[&Value], replica_sets: &[&Value]) {
        let (namespace, name) = named(deployment);
        let current = format!("{name}-{}", hash(&deployment["spec"]["template"]));
        let belongs =
            |one: &&Value| one["metadata"]["ownerReferences"][0]["uid"] == deployment["metadata"]["uid"];
        let own: Vec<&Value> = replica_sets.iter().copied().filter(belongs).collect();
        let Some(owner) = own.iter().copied().find(|one| named(one).1 == current) else {
            // The next step creates its pods.
            return self.create_replica_set(deployment, &current, own.len() + 1);
        };
        let of = |replica_set: &Value| replica_set["metadata"]["uid"].clone();
        let old: Vec<Value> = own.into_iter().map(of).filter(|uid| *uid != of(owner)).collect();
        let lives = |pod: &&Value| pod.pointer("/metadata/deletionTimestamp").is_none();
        let owned = |pod: &Value| pod["metadata"]["ownerReferences"][0]["uid"].clone();
        let (uid, all) = (of(owner), || all.iter().copied().filter(lives));
        let mut before: Vec<&Value> = all().filter(|pod| old.contains(&owned(pod))).collect();
        let mut pods: Vec<&Value> = all().filter(|pod| owned(pod) == uid).collect();
        let wanted = deployment["spec"]["replicas"].as_u64().unwrap_or(1) as usize;
        let surge = usize::from(!before.is_empty());
        let missing = (wanted + surge).saturating_sub(pods.len() + before.len());
        let created = missing.min(wanted.saturating_sub(pods.len()));
        for _ in 0..created {
            self.create_pod(deployment, owner);
        }
        // The ReplicaSet controller's order of deletion: not ready, then the lowest deletion cost, then the youngest.
        pods.sort_by_key(|pod| (is_ready(pod), deletion_cost(pod), std::cmp::Reverse(named(pod).1)));
        let surplus = pods.len().saturating_sub(wanted);
        let mut deleted: Vec<&Value> = pods.drain(..surplus).collect();
        before.sort_by_key(|pod| is_ready(pod));
        let ready = pods.iter().chain(&before).filter(|pod| is_ready(pod)).count();
        let unready = before.iter().filter(|pod| !is_ready(pod)).count();
        deleted.extend(before.drain(..(unready + ready.saturating_sub(wanted)).min(before.len())));
        for pod in deleted {
            let (namespace, name) = named(pod);
            self.objects.delete("pods", &namespace, &name);
        }
        let ready = pods.iter().chain(&before).filter(|pod| is_ready(pod)).count();
        let status = json!({
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": pods.len() + created + before.len(),
            "updatedReplicas": pods.len() + created,
            "readyReplicas": ready,
            "availableReplicas": ready,
        });
        if deployment["status"] != status {
            self.objects.patch_status("deployments", &namespace, &name, json!({ "status": status }));
        }
    }

    fn create_replica_set(&self, deployment: &Value, name: &str, revision: usize) {
        let (namespace, _) = named(deployment);
        let template = &deployment["spec"]["template"];
        let mut labels = template["metadata"]["labels"].clone();
        labels["pod-template-hash"] = json!(hash(template));
        self.objects.create(json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": labels,
                "annotations": {"deployment.kubernetes.io/revision": revision.to_string()},
                "ownerReferences": [owner(deployment)],
            },
            "spec": {"selector": {"matchLabels": labels}, "template": template},
        }));
    }

    fn create_pod(&mut self, deployment: &Value, replica_set: &Value) {
        self.created += 1;
        let (namespace, name) = named(replica_set);
        let template = &deployment["spec"]["template"]["spec"];
        let mut spec = json!({"nodeName": "node-1", "containers": template["containers"]});
        if let Some(init) = template.get("initContainers") {
            spec["initContainers"] = init.clone();
        }
        self.objects.create(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": format!("{name}-{:05}", self.created),
                "namespace": namespace,
                "labels": replica_set["metadata"]["labels"],
                "ownerReferences": [owner(replica_set)],
            },
            "spec": spec,
            "status": {"phase": "Running", "podIP": format!("10.244.{}.{}", self.created / 250, self.created % 250 + 1),
                "conditions": [{"type": "Ready", "status": "False"}]},
        }));
    }

    /// Deletes the dependents of objects that no longer exist.
    fn collect_garbage(&self, all: &[Arc<Value>]) {
        for object in all {
            let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
            let Some(owner) = owners.and_then(|owners| owners.first()) else { continue };
            let has_owner = all.iter().any(|other| other["metadata"]["uid"] == owner["uid"]);
            let ends = object.pointer("/metadata/deletionTimestamp").is_some();
            if !has_owner && !ends {
                let (namespace, name) = named(object);
                self.objects.delete_object(object, &namespace, &name);
            }
        }
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

fn named(object: &Value) -> (String, String) {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    (text("namespace"), text("name"))
}

fn owner(object: &Value) -> Value {
    json!({
        "apiVersion": object["apiVersion"],
        "kind": object["kind"],
        "name": object["metadata"]["name"],
        "uid": object["metadata"]["uid"],
        "controller": true,
    })
}

fn never_becomes_ready(pod: &Value) -> bool {
    let image = pod["metadata"]["labels"][NEVER_READY_WITH].as_str();
    let containers = |field: &str| pod["spec"][field].as_array().cloned().unwrap_or_default();
    let mut all = containers("containers").into_iter().chain(containers("initContainers"));
    image.is_some_and(|image| all.any(|container| container["image"] == image))
}

/// The hash of a pod template (FNV-1a), as in the names of ReplicaSets.
fn hash(template: &Value) -> String {
    format!("{:010x}", fingerprint::hash(&template.to_string()) & 0xff_ffff_ffff)
}

fn deletion_cost(pod: &Value) -> i64 {
    let cost = &pod["metadata"]["annotations"]["controller.kubernetes.io/pod-deletion-cost"];
    cost.as_str().and_then(|cost| cost.parse().ok()).unwrap_or(0)
}
