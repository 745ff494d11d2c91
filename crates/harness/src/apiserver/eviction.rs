//! The subresource eviction of pods, and the PodDisruptionBudgets that it respects (policy/v1).

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    failure::Failure,
    store::{Key, Store},
    times::seconds,
};
use crate::pods::is_ready;

/// Checks that the budget of `pod` allows its eviction, and records the eviction in the status of the budget.
pub(crate) fn take_from_budget(store: &mut Store, pod: &Value, now: Timestamp) -> Result<(), Failure> {
    if !counts(pod) {
        return Ok(());
    }
    let namespace = pod.pointer("/metadata/namespace").and_then(Value::as_str);
    let budgets = store.list("poddisruptionbudgets.policy", namespace);
    let found: Option<(Key, Arc<Value>)> = budgets
        .filter(|(_, budget)| selects(budget, pod))
        .map(|(key, budget)| (Key::clone(key), Arc::clone(budget)))
        .next();
    let Some((key, budget)) = found else { return Ok(()) };
    let number = |field: &str| budget["status"][field].as_i64().unwrap_or(0);
    let (healthy, desired) = (number("currentHealthy"), number("desiredHealthy"));
    // The default of `spec.unhealthyPodEvictionPolicy`, IfHealthyBudget.
    if !is_ready(pod) && healthy >= desired && desired > 0 {
        return Ok(());
    }
    if number("observedGeneration") < budget["metadata"]["generation"].as_i64().unwrap_or(0) {
        let why = format!("The disruption budget {} is still being processed by the server.", key.name);
        return Err(Failure::disruption_budget(&why).retry_after(10));
    }
    let allowed = number("disruptionsAllowed");
    if allowed == 0 {
        let why = if healthy <= desired {
            format!("needs {desired} healthy pods and has {healthy} currently")
        } else {
            "does not allow evicting pods currently".to_owned()
        };
        return Err(Failure::disruption_budget(&format!("The disruption budget {} {why}", key.name)));
    }
    let mut taken = Value::clone(&budget);
    taken["status"]["disruptionsAllowed"] = json!(allowed - 1);
    let name = pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    taken["status"]["disruptedPods"][name] = json!(seconds(now));
    store.put(key, taken);
    Ok(())
}

/// Whether budgets count the pod; a pod without a phase is pending.
fn counts(pod: &Value) -> bool {
    let phase = pod.pointer("/status/phase").and_then(Value::as_str).unwrap_or("Pending");
    phase == "Running" && pod.pointer("/metadata/deletionTimestamp").is_none()
}

fn selects(budget: &Value, pod: &Value) -> bool {
    let wanted = budget.pointer("/spec/selector/matchLabels").and_then(Value::as_object);
    let labels = pod.pointer("/metadata/labels");
    wanted.is_some_and(|wanted| {
        wanted.iter().all(|(name, value)| labels.and_then(|labels| labels.get(name)) == Some(value))
    })
}
