//! The two servers, and a user's actions on them.

use std::time::Duration;

use kube::{
    Api, Client,
    api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams},
};
use plimsoll_harness::apiserver::{ApiServer, Kind};
use serde_json::{Value, json};

/// The namespace of all objects.
pub const NAMESPACE: &str = "conformance";

/// The server under test.
pub enum Stage {
    Memory(ApiServer),
    /// With the administrator's client.
    #[cfg_attr(not(feature = "real"), allow(dead_code))]
    Real(Client),
}

/// A custom resource that is not served from the start.
pub struct Definition {
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    pub plural: &'static str,
    pub schema: Value,
}

/// The resource of a kind by its plural.
pub fn resource(plural: &str) -> ApiResource {
    let (group, version, kind) = match plural {
        "pods" => ("", "v1", "Pod"),
        "services" => ("", "v1", "Service"),
        "serviceaccounts" => ("", "v1", "ServiceAccount"),
        "nodes" => ("", "v1", "Node"),
        "deployments" => ("apps", "v1", "Deployment"),
        "statefulsets" => ("apps", "v1", "StatefulSet"),
        "replicasets" => ("apps", "v1", "ReplicaSet"),
        "horizontalpodautoscalers" => ("autoscaling", "v2", "HorizontalPodAutoscaler"),
        "leases" => ("coordination.k8s.io", "v1", "Lease"),
        "events" => ("events.k8s.io", "v1", "Event"),
        "networkpolicies" => ("networking.k8s.io", "v1", "NetworkPolicy"),
        "poddisruptionbudgets" => ("policy", "v1", "PodDisruptionBudget"),
        "roles" => ("rbac.authorization.k8s.io", "v1", "Role"),
        "rolebindings" => ("rbac.authorization.k8s.io", "v1", "RoleBinding"),
        "scalableservices" => ("plimsoll.dev", "v1alpha1", "ScalableService"),
        "httproutes" => ("gateway.networking.k8s.io", "v1", "HTTPRoute"),
        "backendtrafficpolicies" => ("gateway.envoyproxy.io", "v1alpha1", "BackendTrafficPolicy"),
        "scaledobjects" => ("keda.sh", "v1alpha1", "ScaledObject"),
        other => panic!("unknown resource {other}"),
    };
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}

/// The API of a kind, in the namespace of the test or for the cluster.
pub fn api(client: &Client, plural: &str) -> Api<DynamicObject> {
    let resource = resource(plural);
    match plural {
        "nodes" => Api::all_with(client.clone(), &resource),
        _ => Api::namespaced_with(client.clone(), NAMESPACE, &resource),
    }
}

fn namespace(plural: &str) -> &'static str {
    if plural == "nodes" { "" } else { NAMESPACE }
}

impl Stage {
    pub async fn get(&self, plural: &str, name: &str) -> Option<Value> {
        match self {
            Self::Memory(server) => server.objects().get(plural, namespace(plural), name),
            Self::Real(client) => {
                let found = api(client, plural).get_opt(name).await.unwrap();
                found.map(|object| serde_json::to_value(object).unwrap())
            }
        }
    }

    pub async fn list(&self, plural: &str) -> Vec<Value> {
        match self {
            Self::Memory(server) => server.objects().list(plural, namespace(plural)),
            Self::Real(client) => {
                let list = api(client, plural).list(&ListParams::default()).await.unwrap();
                list.items.into_iter().map(|object| serde_json::to_value(object).unwrap()).collect()
            }
        }
    }

    pub async fn apply(&self, plural: &str, mut object: Value) {
        let resource = resource(plural);
        (object["apiVersion"], object["kind"]) = (json!(resource.api_version), json!(resource.kind));
        if !namespace(plural).is_empty() {
            object["metadata"]["namespace"] = json!(namespace(plural));
        }
        match self {
            Self::Memory(server) => server.objects().apply(&object.to_string()),
            Self::Real(client) => {
                let name = object["metadata"]["name"].as_str().unwrap();
                let params = PatchParams::apply("kubectl").force();
                let applied = api(client, plural).patch(name, &params, &Patch::Apply(&object)).await;
                applied.unwrap_or_else(|error| panic!("{object}: {error}"));
            }
        }
    }

    pub async fn patch(&self, plural: &str, name: &str, subresource: Option<&str>, patch: Value) {
        match (self, subresource) {
            (Self::Memory(server), None) => server.objects().patch(plural, namespace(plural), name, patch),
            (Self::Memory(server), Some(_)) => {
                server.objects().patch_status(plural, namespace(plural), name, patch);
            }
            (Self::Real(client), subresource) => {
                let (params, patch) = (
                    PatchParams { field_manager: Some("kubectl".into()), ..Default::default() },
                    Patch::Merge(patch),
                );
                let api = api(client, plural);
                let patched = match subresource {
                    None => api.patch(name, &params, &patch).await,
                    Some(subresource) => api.patch_subresource(subresource, name, &params, &patch).await,
                };
                patched.unwrap_or_else(|error| panic!("{name}: {error}"));
            }
        }
    }

    pub async fn delete(&self, plural: &str, name: &str) {
        match self {
            Self::Memory(server) => server.objects().delete(plural, namespace(plural), name),
            Self::Real(client) => {
                drop(api(client, plural).delete(name, &DeleteParams::default()).await.unwrap())
            }
        }
    }

    /// Makes the first resourceVersions unavailable to watches. The real server has no changes from before its start.
    pub fn compact(&self) {
        if let Self::Memory(server) = self {
            server.compact();
        }
    }

    /// Serves a custom resource from now on.
    pub async fn serve(&self, definition: Definition) {
        let Definition { group, version, kind, plural, schema } = definition;
        let client = match self {
            Self::Memory(server) => return server.serve(Kind::custom(group, version, kind, plural, schema)),
            Self::Real(client) => client,
        };
        let definitions = GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
        let name = format!("{plural}.{group}");
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": definitions.kind, "metadata": {
                "name": name,
                // Required for a group of k8s.io.
                "annotations": {"api-approved.kubernetes.io": "unapproved, a test"},
            },
            "spec": {
                "group": group, "scope": "Namespaced",
                "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase()},
                "versions": [{
                    "name": version, "served": true, "storage": true, "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": schema},
                }],
            },
        });
        let all: Api<DynamicObject> = Api::all_with(client.clone(), &ApiResource::from_gvk(&definitions));
        all.patch(&name, &PatchParams::apply("kubectl"), &Patch::Apply(&definition)).await.unwrap();
        served(client, plural).await;
    }
}

/// Waits until the real server serves a kind, which is a moment after its definition is created.
pub async fn served(client: &Client, plural: &str) {
    let resource = resource(plural);
    let gvk = GroupVersionKind::gvk(&resource.group, &resource.version, &resource.kind);
    for _ in 0..200 {
        let found = kube::discovery::pinned_kind(client, &gvk).await.is_ok();
        if found && api(client, plural).list(&ListParams::default()).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{plural} are not served in time");
}
