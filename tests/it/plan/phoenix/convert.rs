//! From a scenario to manifests and lines of `plimsoll plan`.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::{Map, Value, json};

use super::scenario::{App, Scenario, Service};

/// A namespace for each application, a Deployment and a ScalableService for each service, and one budget of all nodes.
pub fn manifests(scenario: &Scenario) -> String {
    let mut text = "\
apiVersion: plimsoll.dev/v1alpha1
kind: CapacityBudget
metadata: {name: cpu}
spec:
  resource: cpu
  mode: Enforce
  limit: {type: Nodes, nodes: {}}
  consumers:
  - {name: all, namespaceSelector: {}, maxCriticality: CriticalPlus}
"
    .to_owned();
    for app in &scenario.apps {
        let callers = callers(app);
        for service in &app.services {
            let (criticality, weight) = criticality(service);
            let caller = callers.get(service.name.as_str());
            let depends_on = caller.map(|caller| format!("{{name: {caller}}}")).unwrap_or_default();
            let Service { name, cpu, replicas, .. } = service;
            let namespace = &app.name;
            write!(
                text,
                "\
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: [{{name: app, image: app, resources: {{requests: {{cpu: {cpu}m}}}}}}]}}
---
apiVersion: plimsoll.dev/v1alpha1
kind: ScalableService
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  scaleTargetRef: {{kind: Deployment, name: {name}}}
  minReplicas: {replicas}
  maxReplicas: {replicas}
  criticality: {criticality}
  weight: {weight}
  dependsOn: [{depends_on}]
  kpis: [{{name: load, type: Load, query: load, perReplica: \"1\"}}]
"
            )
            .unwrap();
        }
    }
    text
}

/// The four most critical tags are Plimsoll's criticalities. Further ones have weights in steps of ten below Sheddable.
fn criticality(service: &Service) -> (&'static str, u32) {
    match service.criticality {
        0 | 1 => ("CriticalPlus", 1),
        2 => ("Critical", 1),
        3 => ("SheddablePlus", 1),
        tag => ("Sheddable", 1000 / 10_u32.pow((tag - 4).min(3))),
    }
}

/// The caller through which each service is of use: on the way from an entry on which the least critical service is as critical
/// as possible, and then the shortest way.
fn callers(app: &App) -> BTreeMap<&str, &str> {
    let services = app.by_name();
    let entries = app.entries();
    let mut best: BTreeMap<&str, (u32, u32)> =
        entries.iter().map(|entry| (entry.name.as_str(), (entry.criticality, 0))).collect();
    let mut callers: BTreeMap<&str, &str> = BTreeMap::new();
    let mut changed = true;
    while changed {
        changed = false;
        for (caller, (criticality, steps)) in best.clone() {
            for name in &services[caller].depends_on {
                let Some(called) = services.get(name.as_str()) else { continue };
                let way = (criticality.max(called.criticality), steps + 1);
                let is_entry = entries.iter().any(|entry| entry.name == called.name);
                if !is_entry && best.get(name.as_str()).is_none_or(|known| way < *known) {
                    best.insert(&called.name, way);
                    callers.insert(&called.name, caller);
                    changed = true;
                }
            }
        }
    }
    callers
}

/// A line for each failure: every service asks for its replicas and runs none, since the published planners place all of them
/// anew.
pub fn lines(scenario: &Scenario) -> String {
    let mut services = Map::new();
    for app in &scenario.apps {
        for service in &app.services {
            services.insert(format!("{}/{}", app.name, service.name), json!({"wanted": service.replicas}));
        }
    }
    let mut lines = String::new();
    for (time, failure) in scenario.failures.iter().enumerate() {
        let node = |cpu: u32| json!({"allocatable": {"cpu": format!("{cpu}m")}});
        let nodes: Map<String, Value> =
            scenario.left(failure).iter().map(|left| (left.name.clone(), node(left.cpu))).collect();
        writeln!(lines, "{}", json!({"time": time, "services": services, "nodes": nodes})).unwrap();
    }
    lines
}
