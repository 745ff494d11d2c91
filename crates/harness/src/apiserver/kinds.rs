//! The kinds that the server serves, with their subresources, generations and list types.

use std::sync::Arc;

use serde_json::{Value, json};

/// A kind of resource.
#[derive(Clone, Debug)]
pub struct Kind {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Its only version.
    pub version: &'static str,
    /// For example `Deployment`.
    pub kind: &'static str,
    /// For example `deployments`.
    pub plural: &'static str,
    /// Whether its objects are namespaced.
    pub namespaced: bool,
    /// `status`, `scale`, `eviction`.
    pub subresources: &'static [&'static str],
    /// Whether a change of anything but metadata and status raises `metadata.generation`.
    pub generation: bool,
    /// How lists are merged by server-side apply.
    pub(crate) lists: Lists,
    /// The paths of the scale subresource.
    pub(crate) scale: ScalePaths,
}

/// JSON pointers of a scale subresource.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScalePaths {
    pub(crate) spec: &'static str,
    pub(crate) status: &'static str,
    /// A label selector as text; the built-in kinds have one as an object in `spec.selector` instead.
    pub(crate) selector: Option<&'static str>,
}

/// The origin of the list types.
#[derive(Clone, Debug)]
pub(crate) enum Lists {
    /// The built-in kinds, by the name of the field.
    BuiltIn,
    /// `x-kubernetes-list-type` of a structural schema; shared, since each request has its kind.
    Schema(Arc<Value>),
}

/// How a list is merged (KEP-555, `x-kubernetes-list-type`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListType {
    /// The list is replaced as a whole.
    Atomic,
    /// A set of scalars.
    Set,
    /// Objects, identified by these fields.
    Map(Vec<String>),
}

const WORKLOAD: ScalePaths =
    ScalePaths { spec: "/spec/replicas", status: "/status/replicas", selector: None };

impl Kind {
    const fn built_in(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        plural: &'static str,
        subresources: &'static [&'static str],
    ) -> Self {
        let (namespaced, generation) = (true, false);
        let (lists, scale) = (Lists::BuiltIn, WORKLOAD);
        Self { group, version, kind, plural, namespaced, subresources, generation, lists, scale }
    }

    fn with_generation(self) -> Self {
        Self { generation: true, ..self }
    }

    fn of_cluster(self) -> Self {
        Self { namespaced: false, ..self }
    }

    /// A namespaced custom resource with a status. Lists without a type in `schema` are atomic.
    #[must_use]
    pub fn custom(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        plural: &'static str,
        schema: Value,
    ) -> Self {
        let kind = Self::built_in(group, version, kind, plural, &["status"]).with_generation();
        Self { lists: Lists::Schema(Arc::new(schema)), ..kind }
    }

    /// The same with a scale subresource at `spec.replicas`, `status.replicas` and `status.selector`.
    #[must_use]
    pub fn with_scale(self) -> Self {
        let scale = ScalePaths { selector: Some("/status/selector"), ..WORKLOAD };
        Self { subresources: &["status", "scale"], scale, ..self }
    }

    /// Its name in [`super::CALLS`], where the ScalableService represents all custom resources with a scale.
    pub(crate) fn called(&self) -> &'static str {
        let scaled = !self.is_built_in() && self.subresources.contains(&"scale");
        if scaled { "scalableservices" } else { self.plural }
    }

    /// The ScalableService with the generated CRD.
    #[must_use]
    pub fn scalable_service() -> Self {
        use kube::CustomResourceExt as _;
        let crd = serde_json::to_value(plimsoll_api::ScalableService::crd()).unwrap_or_default();
        let schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema").cloned().unwrap_or_default();
        let kind = Self::custom("plimsoll.dev", "v1alpha1", "ScalableService", "scalableservices", schema);
        let scale = ScalePaths {
            spec: "/spec/minReplicas",
            status: "/status/replicas",
            selector: Some("/status/selector"),
        };
        Self { subresources: &["status", "scale"], scale, ..kind }
    }

    /// The `apiVersion` of its objects.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// The resource as in error messages: `deployments.apps`, `pods`.
    #[must_use]
    pub fn resource(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// Whether it is built into Kubernetes, not a custom resource.
    pub(crate) fn is_built_in(&self) -> bool {
        matches!(self.lists, Lists::BuiltIn)
    }

    /// An object as an item of a list. Only items of custom resources have apiVersion and kind.
    pub(crate) fn as_item(&self, object: &Value) -> Value {
        let mut item = object.clone();
        if let (true, Some(fields)) = (self.is_built_in(), item.as_object_mut()) {
            fields.retain(|name, _| name != "apiVersion" && name != "kind");
        }
        item
    }

    /// The type of the list at `path` (names of fields, without items).
    pub(crate) fn list_type(&self, path: &[&str]) -> ListType {
        match &self.lists {
            Lists::BuiltIn => built_in_list(path),
            Lists::Schema(schema) => match path {
                ["metadata", ..] => built_in_list(path),
                _ => list_of_schema(schema, path),
            },
        }
    }

    /// The entries of the kind and its subresources in the discovery of its group.
    pub(crate) fn discovery(&self) -> Vec<Value> {
        let verbs = ["create", "delete", "get", "list", "patch", "update", "watch"];
        let own = json!({
            "name": self.plural,
            "singularName": self.kind.to_lowercase(),
            "namespaced": self.namespaced,
            "kind": self.kind,
            "verbs": verbs,
        });
        let sub = |name: &&str| match *name {
            "scale" => {
                json!({"name": format!("{}/scale", self.plural), "singularName": "", "namespaced": true,
                "group": "autoscaling", "version": "v1", "kind": "Scale", "verbs": ["get", "patch", "update"]})
            }
            name => json!({"name": format!("{}/{name}", self.plural), "singularName": "",
                "namespaced": self.namespaced, "kind": self.kind, "verbs": ["get", "patch", "update"]}),
        };
        std::iter::once(own).chain(self.subresources.iter().map(sub)).collect()
    }
}

/// The kinds of Kubernetes itself that the controller uses.
pub(crate) fn built_in() -> Vec<Kind> {
    let kind = Kind::built_in;
    vec![
        kind("", "v1", "Pod", "pods", &["status", "eviction"]).with_generation(),
        kind("", "v1", "Service", "services", &["status"]),
        kind("", "v1", "ServiceAccount", "serviceaccounts", &[]),
        kind("", "v1", "Node", "nodes", &["status"]).of_cluster(),
        kind("apps", "v1", "Deployment", "deployments", &["status", "scale"]).with_generation(),
        kind("apps", "v1", "StatefulSet", "statefulsets", &["status", "scale"]).with_generation(),
        kind("apps", "v1", "ReplicaSet", "replicasets", &["status", "scale"]).with_generation(),
        kind("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", &["status"]),
        kind("coordination.k8s.io", "v1", "Lease", "leases", &[]),
        kind("events.k8s.io", "v1", "Event", "events", &[]),
        kind("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", &[]).with_generation(),
        kind("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", &["status"]).with_generation(),
        kind("rbac.authorization.k8s.io", "v1", "Role", "roles", &[]),
        kind("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", &[]),
    ]
}

fn built_in_list(path: &[&str]) -> ListType {
    let keys = |keys: &[&str]| ListType::Map(keys.iter().map(|key| (*key).to_owned()).collect());
    match path {
        ["metadata", "finalizers"] => ListType::Set,
        ["metadata", "ownerReferences"] => keys(&["uid"]),
        [.., "containers" | "initContainers", "ports"] => keys(&["containerPort", "protocol"]),
        [.., "spec", "ports"] => keys(&["port", "protocol"]),
        [.., "containers" | "initContainers" | "env" | "volumes" | "imagePullSecrets"] => keys(&["name"]),
        [.., "volumeMounts"] => keys(&["mountPath"]),
        [.., "topologySpreadConstraints"] => keys(&["topologyKey", "whenUnsatisfiable"]),
        [.., "conditions"] => keys(&["type"]),
        _ => ListType::Atomic,
    }
}

fn list_of_schema(schema: &Value, path: &[&str]) -> ListType {
    let mut at = schema;
    for name in path {
        // The fields of a list's items are those of `items`, of a map's values those of `additionalProperties`.
        while let Some(items) = at.get("items") {
            at = items;
        }
        let field = at.get("properties").and_then(|fields| fields.get(name));
        match field.or_else(|| at.get("additionalProperties")) {
            Some(next) => at = next,
            None => return ListType::Atomic,
        }
    }
    match at.get("x-kubernetes-list-type").and_then(Value::as_str) {
        Some("map") => {
            let keys = at.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
            let keys = keys.into_iter().flatten().filter_map(Value::as_str);
            ListType::Map(keys.map(str::to_owned).collect())
        }
        Some("set") => ListType::Set,
        _ => ListType::Atomic,
    }
}
