//! Discovery of kinds by kube's `pinned_kind`.

use kube::{
    api::GroupVersionKind,
    discovery::{Scope, pinned_kind},
};
use serde_json::json;

use crate::{play::Play, stage::Definition};

/// Third-party custom resources that the controller uses, with the fields that the steps set.
pub fn definitions() -> [Definition; 3] {
    let text = json!({"type": "string"});
    let number = json!({"type": "integer"});
    let object = |properties| json!({"type": "object", "properties": properties});
    let list = |items| json!({"type": "array", "items": items});
    let spec = |spec| object(json!({"spec": spec, "status": {"type": "object"}}));
    let backend = object(json!({"name": text, "port": number, "weight": number}));
    let target = object(json!({"group": text, "kind": text, "name": text, "sectionName": text}));
    [
        Definition {
            group: "gateway.networking.k8s.io",
            version: "v1",
            kind: "HTTPRoute",
            plural: "httproutes",
            schema: spec(object(json!({"rules": list(object(json!({"backendRefs": list(backend)})))}))),
        },
        Definition {
            group: "gateway.envoyproxy.io",
            version: "v1alpha1",
            kind: "BackendTrafficPolicy",
            plural: "backendtrafficpolicies",
            schema: spec(object(json!({
                "targetRefs": list(target),
                "loadBalancer": object(json!({"type": text})),
                "retry": object(json!({"numRetries": number, "retryOn": object(json!({"triggers": list(text.clone())}))})),
            }))),
        },
        Definition {
            group: "keda.sh",
            version: "v1alpha1",
            kind: "ScaledObject",
            plural: "scaledobjects",
            schema: spec(object(json!({"scaleTargetRef": object(json!({"name": text}))}))),
        },
    ]
}

pub async fn unserved(play: &mut Play) {
    discover(play, "gateway.networking.k8s.io", "v1", "HTTPRoute").await;
    discover(play, "keda.sh", "v1alpha1", "ScaledObject").await;
    discover(play, "apps", "v1", "DeploymentOfTomorrow").await;
    discover(play, "apps", "v7", "Deployment").await;
}

pub async fn served(play: &mut Play) {
    discover(play, "", "v1", "Pod").await;
    discover(play, "", "v1", "Node").await;
    discover(play, "apps", "v1", "Deployment").await;
    discover(play, "apps", "v1", "StatefulSet").await;
    discover(play, "plimsoll.dev", "v1alpha1", "ScalableService").await;
    discover(play, "gateway.networking.k8s.io", "v1", "HTTPRoute").await;
    discover(play, "keda.sh", "v1alpha1", "ScaledObject").await;
    discover(play, "keda.sh", "v1alpha1", "ScaledJob").await;
    discover(play, "plimsoll.dev", "v9", "ScalableService").await;
}

async fn discover(play: &mut Play, group: &str, version: &str, kind: &str) {
    let verbs = ["get", "list", "watch", "create", "update", "patch", "delete"];
    let found = pinned_kind(&play.client, &GroupVersionKind::gvk(group, version, kind)).await;
    let found = found.map(|(resource, capabilities)| {
        let has = |name: &str| {
            capabilities.subresources.iter().any(|(resource, _)| resource.plural.ends_with(name))
        };
        json!({
            "apiVersion": resource.api_version, "kind": resource.kind, "plural": resource.plural,
            "namespaced": capabilities.scope == Scope::Namespaced,
            "scale": has("scale"), "status": has("status"),
            "verbs": verbs.map(|verb| capabilities.supports_operation(verb)),
        })
    });
    play.record_answer(&format!("discover {group}/{version} {kind}"), found);
}
