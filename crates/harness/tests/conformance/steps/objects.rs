//! Objects that the real server accepts.

use plimsoll_api::ScalableService;
use serde_json::{Value, json};

use crate::{play::Play, stage::NAMESPACE};

pub fn pod_spec() -> Value {
    json!({
        "schedulerName": "nobody", "automountServiceAccountToken": false,
        "containers": [{"name": "app", "image": "none", "ports": [{"containerPort": 8080, "name": "http"}]}],
    })
}

/// A workload or a pod, with the label `app`.
pub fn object(plural: &str, name: &str) -> Value {
    let labels = json!({"app": name});
    let template = json!({"metadata": {"labels": labels}, "spec": pod_spec()});
    let spec = match plural {
        "pods" => pod_spec(),
        "deployments" | "replicasets" => {
            json!({"replicas": 2, "selector": {"matchLabels": labels}, "template": template})
        }
        "statefulsets" => json!({
            "replicas": 2, "selector": {"matchLabels": labels}, "template": template, "serviceName": name,
        }),
        "horizontalpodautoscalers" => json!({
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}, "maxReplicas": 5,
        }),
        "scalableservices" => json!({
            "scaleTargetRef": {"kind": "Deployment", "name": name}, "minReplicas": 2, "maxReplicas": 10,
            "kpis": [{"name": "load", "type": "Load", "query": "load", "perReplica": "10"}],
        }),
        "networkpolicies" => json!({"podSelector": {"matchLabels": labels}, "policyTypes": ["Ingress"]}),
        "poddisruptionbudgets" => json!({"maxUnavailable": 1, "selector": {"matchLabels": labels}}),
        "services" => json!({"selector": labels, "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}),
        "httproutes" => json!({"rules": [{"backendRefs": [
            {"name": name, "port": 80, "weight": 100}, {"name": "standby", "port": 80, "weight": 0},
        ]}]}),
        "scaledobjects" => json!({"scaleTargetRef": {"name": name}}),
        "roles" | "serviceaccounts" => return json!({"metadata": {"name": name, "labels": labels}}),
        "rolebindings" => {
            let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name});
            return json!({"metadata": {"name": name, "labels": labels}, "roleRef": role});
        }
        "nodes" => json!({"unschedulable": true}),
        other => panic!("no step makes {other}"),
    };
    json!({"metadata": {"name": name, "labels": labels}, "spec": spec})
}

/// The ScalableService as the controller reads it.
pub async fn service(play: &Play, name: &str) -> ScalableService {
    let object = play.stage().get("scalableservices", name).await;
    let object = object.unwrap_or_else(|| json!({"metadata": {"name": name, "namespace": NAMESPACE}}));
    serde_json::from_value(object).unwrap()
}
