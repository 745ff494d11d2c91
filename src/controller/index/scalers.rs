//! Scalers by workload: HorizontalPodAutoscalers, KEDA's ScaledObjects, ScalableServices.

use std::collections::HashMap;

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::{
    ResourceExt,
    api::{ApiResource, DynamicObject, GroupVersionKind},
    core::DeserializeGuard,
};

use super::follow::{Follow, Workload};
use plimsoll_api::{GatewayRule, ScalableService};

/// One object that scales a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scaler {
    /// Its kind.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Creation time in seconds; the older one of two ScalableServices keeps the target.
    pub created: i64,
    /// The workload that it scales.
    pub workload: Workload,
}

/// Scalers of one kind, by workload.
#[derive(Debug, Default)]
pub struct ScalerIndex {
    by_workload: HashMap<Workload, Vec<Scaler>>,
    by_name: HashMap<(String, String), Workload>,
    /// ScalableServices only: the rule that each steers, if any, and its creation time.
    rules: HashMap<(String, String), (GatewayRule, i64)>,
}

impl ScalerIndex {
    /// The scalers of `workload`.
    #[must_use]
    pub fn of(&self, workload: &Workload) -> &[Scaler] {
        self.by_workload.get(workload).map_or(&[], Vec::as_slice)
    }

    /// Names of the services in `namespace` that steer the HTTPRoute `route`.
    #[must_use]
    pub fn steering(&self, namespace: &str, route: &str) -> Vec<String> {
        let steers =
            self.rules.iter().filter(|(key, (rule, _))| key.0 == namespace && rule.http_route == route);
        steers.map(|((_, name), _)| name.clone()).collect()
    }

    /// The service that steers a rule: the oldest one in `namespace` that names it, and of two of the same age the one whose
    /// name sorts first.
    #[must_use]
    pub fn keeper(&self, namespace: &str, rule: &GatewayRule) -> Option<&str> {
        let same = |known: &GatewayRule| known.http_route == rule.http_route && known.rule == rule.rule;
        let want = self.rules.iter().filter(|(key, (known, _))| key.0 == namespace && same(known));
        want.min_by_key(|((_, name), (_, created))| (created, name)).map(|((_, name), _)| name.as_str())
    }

    fn put(&mut self, scaler: Scaler) -> Option<Workload> {
        let workload = scaler.workload.clone();
        self.remove(&workload.namespace, &scaler.name);
        self.by_name.insert((workload.namespace.clone(), scaler.name.clone()), workload.clone());
        self.by_workload.entry(workload.clone()).or_default().push(scaler);
        Some(workload)
    }

    fn remove(&mut self, namespace: &str, name: &str) -> Option<Workload> {
        let key = (namespace.to_owned(), name.to_owned());
        self.rules.remove(&key);
        let workload = self.by_name.remove(&key)?;
        if let Some(scalers) = self.by_workload.get_mut(&workload) {
            scalers.retain(|scaler| scaler.name != name);
            if scalers.is_empty() {
                self.by_workload.remove(&workload);
            }
        }
        Some(workload)
    }
}

fn created(object: &impl ResourceExt) -> i64 {
    object.creation_timestamp().map_or(0, |time| time.0.as_second())
}

impl Follow<HorizontalPodAutoscaler> for ScalerIndex {
    fn apply(&mut self, object: HorizontalPodAutoscaler) -> Option<Workload> {
        let target = object.spec.as_ref()?.scale_target_ref.clone();
        let namespace = object.namespace().unwrap_or_default();
        let workload = Workload { kind: target.kind, namespace, name: target.name };
        let created = created(&object);
        self.put(Scaler { kind: "HorizontalPodAutoscaler", name: object.name_any(), created, workload })
    }

    fn delete(&mut self, object: &HorizontalPodAutoscaler) -> Option<Workload> {
        self.remove(&object.namespace().unwrap_or_default(), &object.name_any())
    }
}

/// The resource of KEDA's ScaledObject, which the cluster may not serve.
#[must_use]
pub fn scaled_object_resource() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("keda.sh", "v1alpha1", "ScaledObject"))
}

impl Follow<DynamicObject> for ScalerIndex {
    fn apply(&mut self, object: DynamicObject) -> Option<Workload> {
        let target = object.data.pointer("/spec/scaleTargetRef")?;
        let text = |field: &str| target.get(field).and_then(serde_json::Value::as_str).map(str::to_owned);
        let namespace = object.namespace().unwrap_or_default();
        // KEDA's own default: a ScaledObject without a kind scales a Deployment.
        let kind = text("kind").unwrap_or_else(|| "Deployment".to_owned());
        let workload = Workload { kind, namespace, name: text("name")? };
        let created = created(&object);
        self.put(Scaler { kind: "ScaledObject", name: object.name_any(), created, workload })
    }

    fn delete(&mut self, object: &DynamicObject) -> Option<Workload> {
        self.remove(&object.namespace().unwrap_or_default(), &object.name_any())
    }
}

impl Follow<DeserializeGuard<ScalableService>> for ScalerIndex {
    fn apply(&mut self, object: DeserializeGuard<ScalableService>) -> Option<Workload> {
        let Ok(service) = object.0 else {
            // A service that can't be parsed keeps no target.
            return self.remove(&object.namespace().unwrap_or_default(), &object.name_any());
        };
        let target = &service.spec.scale_target_ref;
        let namespace = service.namespace().unwrap_or_default();
        let workload = Workload { kind: target.kind.clone(), namespace, name: target.name.clone() };
        let created = created(&service);
        let key = (workload.namespace.clone(), service.name_any());
        let rule = service.spec.traffic.as_ref().and_then(|traffic| traffic.gateway.clone());
        let concerned = self.put(Scaler { kind: "ScalableService", name: key.1.clone(), created, workload });
        self.rules.extend(rule.map(|rule| (key, (rule, created))));
        concerned
    }

    fn delete(&mut self, object: &DeserializeGuard<ScalableService>) -> Option<Workload> {
        self.remove(&object.namespace().unwrap_or_default(), &object.name_any())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str, created: &str, rule: &str) -> DeserializeGuard<ScalableService> {
        let yaml = format!(
            "{{apiVersion: plimsoll.dev/v1alpha1, kind: ScalableService, \
             metadata: {{name: {name}, namespace: shop, creationTimestamp: '2026-01-01T00:00:{created}Z'}}, \
             spec: {{scaleTargetRef: {{kind: Deployment, name: {name}}}, maxReplicas: 4, \
             traffic: {{provider: Gateway, gateway: {{httpRoute: front, rule: {rule}}}}}}}}}"
        );
        serde_saphyr::from_str(&yaml).unwrap()
    }

    #[test]
    fn the_oldest_service_keeps_a_rule_until_it_is_deleted() {
        let mut index = ScalerIndex::default();
        let rule = |rule: &str| GatewayRule { http_route: "front".into(), rule: rule.into(), service: None };
        for (name, created, rule) in [("b", "10", "main"), ("a", "20", "main"), ("c", "05", "images")] {
            index.apply(service(name, created, rule));
        }
        assert_eq!(index.keeper("shop", &rule("main")), Some("b"));
        assert_eq!(index.keeper("shop", &rule("images")), Some("c"));
        assert_eq!(index.keeper("elsewhere", &rule("main")), None);
        index.delete(&service("b", "10", "main"));
        assert_eq!(index.keeper("shop", &rule("main")), Some("a"));
    }
}
