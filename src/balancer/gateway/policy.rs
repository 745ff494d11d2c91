//! Settings that an HTTPRoute lacks, as Envoy Gateway's BackendTrafficPolicy (`gateway.envoyproxy.io/v1alpha1`): load
//! balancing, health checks and retries.
//!
//! Fields of `spec.traffic` without an equivalent in the policy are refused with provider Gateway. For example, a connection
//! limit there applies to each Envoy, and rejects requests instead of queueing them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Acceptance,
    accepted::{Found, find},
    route::{GROUP, ParentRef},
};
use plimsoll_api::{Algorithm, GatewayRule, HealthCheck, Retries, Traffic};

/// Status codes of a passed health check: 2xx and 3xx, as documented for `healthCheck.path`; Envoy Gateway's default is 200.
const GOOD: [u16; 19] =
    [200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 306, 307, 308];

/// The resource BackendTrafficPolicy.
#[must_use]
pub fn policy_resource() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("gateway.envoyproxy.io", "v1alpha1", "BackendTrafficPolicy"))
}

/// The fields of `spec.traffic` that need a policy. Fields with their default are left to the Gateway.
#[must_use]
pub fn policy_fields(traffic: &Traffic) -> Vec<&'static str> {
    let fields = [
        ("algorithm", traffic.algorithm != Algorithm::default()),
        ("healthCheck", traffic.health_check.is_some()),
        ("slowStart", !length(traffic.slow_start).is_zero()),
        ("retries", traffic.retries != Retries::default()),
    ];
    fields.into_iter().filter(|(_, set)| *set).map(|(field, _)| field).collect()
}

/// `spec` of the policy for a rule; `None` if no field needs one.
///
/// It is merged with a policy for the whole Gateway, which would have no effect on the rule otherwise (`mergeType` in Envoy
/// Gateway's API reference).
#[must_use]
pub fn policy(traffic: &Traffic, rule: &GatewayRule) -> Option<Value> {
    let fields = policy_fields(traffic);
    if fields.is_empty() {
        return None;
    }
    let balances = fields.contains(&"algorithm") || fields.contains(&"slowStart");
    let spec = json!({
        "targetRefs": [{
            "group": GROUP,
            "kind": "HTTPRoute",
            "name": rule.http_route,
            "sectionName": rule.rule,
        }],
        "mergeType": "StrategicMerge",
    });
    let spec = with(spec, "loadBalancer", balances.then(|| load_balancer(traffic)));
    let spec = with(spec, "healthCheck", traffic.health_check.as_ref().map(health_check));
    Some(with(spec, "retry", fields.contains(&"retries").then(|| retry(traffic))))
}

/// Adds a field to the object if it has a value; a null would be a value too.
fn with(mut object: Value, field: &str, value: Option<Value>) -> Value {
    if let (Some(fields), Some(value)) = (object.as_object_mut(), value) {
        fields.insert(field.to_owned(), value);
    }
    object
}

/// Envoy's LeastRequest picks the better of two random replicas, the closest to both LeastConnections and RandomOfTwo.
fn load_balancer(traffic: &Traffic) -> Value {
    let balancer = match traffic.algorithm {
        Algorithm::RoundRobin => json!({"type": "RoundRobin"}),
        Algorithm::LeastConnections | Algorithm::RandomOfTwo => json!({"type": "LeastRequest"}),
        Algorithm::SourceHash => json!({"type": "ConsistentHash", "consistentHash": {"type": "SourceIP"}}),
    };
    let window = length(traffic.slow_start);
    with(balancer, "slowStart", (!window.is_zero()).then(|| json!({"window": gep_2257(window)})))
}

fn health_check(check: &HealthCheck) -> Value {
    let (type_, field, how) = match &check.path {
        Some(path) => ("HTTP", "http", json!({"path": path, "expectedStatuses": GOOD})),
        None => ("TCP", "tcp", json!({})),
    };
    let active = json!({
        "type": type_,
        "interval": gep_2257(length(check.interval)),
        "healthyThreshold": check.rise,
        "unhealthyThreshold": check.fall,
    });
    // The default limit of a tenth rounds down to no replica if there are few, so that the check would have no effect.
    let passive = check.passive.map(
        |passive| json!({"consecutive5XxErrors": passive.consecutive_errors, "alwaysEjectOneEndpoint": true}),
    );
    with(json!({"active": with(active, field, Some(how))}), "passive", passive)
}

/// Retries only after a failed connection, since Envoy retries requests of any method, even those that must not be repeated.
fn retry(traffic: &Traffic) -> Value {
    json!({"numRetries": traffic.retries.attempts, "retryOn": {"triggers": ["connect-failure"]}})
}

fn length(duration: kube::core::Duration) -> std::time::Duration {
    duration.into()
}

/// A duration in the format of the Gateway API: at most five digits before each unit (GEP-2257).
fn gep_2257(length: std::time::Duration) -> String {
    match (length.as_secs(), length.subsec_millis()) {
        (seconds, 0) => format!("{seconds}s"),
        (0, milliseconds) => format!("{milliseconds}ms"),
        (seconds, milliseconds) => format!("{seconds}s{milliseconds}ms"),
    }
}

#[derive(Default, Deserialize)]
struct Status {
    #[serde(default)]
    ancestors: Vec<Ancestor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ancestor {
    ancestor_ref: ParentRef,
    controller_name: String,
    #[serde(default)]
    conditions: Vec<Condition>,
}

/// The status that the controllers of all Gateways report for the current generation of the policy.
#[must_use]
pub fn policy_accepted(policy: &DynamicObject) -> Acceptance {
    let name = policy.metadata.name.as_deref().unwrap_or_default();
    let generation = policy.metadata.generation.unwrap_or_default();
    let status = policy.data.get("status").cloned().unwrap_or_default();
    let status: Status = serde_json::from_value(status).unwrap_or_default();
    if status.ancestors.is_empty() {
        return Acceptance::Waiting(format!("no controller has accepted BackendTrafficPolicy {name} yet"));
    }
    let ancestors = &status.ancestors;
    let acceptances =
        ancestors.iter().filter_map(|ancestor| match find(&ancestor.conditions, "Accepted", generation) {
            // Envoy Gateway reports for a listener that the policy was merged into another one, and its acceptance for the
            // whole Gateway.
            Found::None if ancestors.iter().any(|other| other.has_acceptance_for(ancestor)) => None,
            found => Some(ancestor.acceptance(name, generation, &found)),
        });
    acceptances.fold(Acceptance::Yes, Acceptance::and)
}

impl Ancestor {
    /// Whether it is the status of the same controller for the same Gateway, and has the condition `Accepted`.
    fn has_acceptance_for(&self, other: &Self) -> bool {
        self.controller_name == other.controller_name
            && self.ancestor_ref.is_same_object(&other.ancestor_ref)
            && self.conditions.iter().any(|condition| condition.type_ == "Accepted")
    }

    fn acceptance(&self, policy: &str, generation: i64, found: &Found<'_>) -> Acceptance {
        let (controller, at) = (&self.controller_name, &self.ancestor_ref.name);
        match found {
            Found::Current(Condition { status, .. }) if status == "True" => Acceptance::Yes,
            Found::Current(Condition { status, reason, message, .. }) if status == "False" => {
                Acceptance::No(format!(
                    "{controller} does not accept BackendTrafficPolicy {policy} at {at} ({reason}): {message}"
                ))
            }
            _ => Acceptance::Waiting(format!(
                "{controller} has not accepted generation {generation} of BackendTrafficPolicy {policy} at {at} yet"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(traffic: &str) -> Option<Value> {
        let yaml = format!("{{provider: Gateway, gateway: {{httpRoute: shop, rule: main}}{traffic}}}");
        let traffic: Traffic = serde_saphyr::from_str(&yaml).unwrap();
        let mut spec = policy(&traffic, traffic.gateway.as_ref().unwrap())?;
        let target = json!([{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "shop",
            "sectionName": "main"}]);
        let fields = spec.as_object_mut().unwrap();
        assert_eq!(fields.remove("targetRefs"), Some(target));
        assert_eq!(fields.remove("mergeType"), Some(json!("StrategicMerge")));
        Some(spec)
    }

    #[test]
    fn fields_with_their_default_need_no_policy() {
        assert_eq!(made(""), None);
        assert_eq!(made(", algorithm: LeastConnections, slowStart: 0s, retries: {attempts: 2}"), None);
    }

    #[test]
    fn each_field_has_its_equivalent_in_the_policy() {
        let least = |more: Value| json!({"loadBalancer": more});
        for (traffic, expected) in [
            (", algorithm: RoundRobin", least(json!({"type": "RoundRobin"}))),
            (", algorithm: RandomOfTwo", least(json!({"type": "LeastRequest"}))),
            (
                ", algorithm: SourceHash",
                least(json!({"type": "ConsistentHash", "consistentHash": {"type": "SourceIP"}})),
            ),
            (", slowStart: 10m", least(json!({"type": "LeastRequest", "slowStart": {"window": "600s"}}))),
            (
                ", algorithm: RoundRobin, slowStart: 1500ms",
                least(json!({"type": "RoundRobin", "slowStart": {"window": "1s500ms"}})),
            ),
            (
                ", healthCheck: {path: /fit, interval: 100ms, rise: 1, fall: 4}",
                json!({"healthCheck": {"active": {"type": "HTTP", "interval": "100ms", "healthyThreshold": 1,
                    "unhealthyThreshold": 4, "http": {"path": "/fit", "expectedStatuses": GOOD}}}}),
            ),
            (
                ", healthCheck: {passive: {consecutiveErrors: 7}}",
                json!({"healthCheck": {
                    "active": {"type": "TCP", "interval": "2s", "healthyThreshold": 2, "unhealthyThreshold": 3,
                        "tcp": {}},
                    "passive": {"consecutive5XxErrors": 7, "alwaysEjectOneEndpoint": true}}}),
            ),
            (
                ", retries: {attempts: 0}",
                json!({"retry": {"numRetries": 0, "retryOn": {"triggers": ["connect-failure"]}}}),
            ),
            (
                ", retries: {attempts: 3, retryOn: [ConnectFailure]}",
                json!({"retry": {"numRetries": 3, "retryOn": {"triggers": ["connect-failure"]}}}),
            ),
        ] {
            assert_eq!(made(traffic), Some(expected), "{traffic}");
        }
    }

    #[test]
    fn only_the_status_of_the_current_generation_counts() {
        let acceptance = |ancestors: Value| {
            let policy = json!({"apiVersion": "gateway.envoyproxy.io/v1alpha1", "kind": "BackendTrafficPolicy",
                "metadata": {"name": "web", "generation": 2}, "status": {"ancestors": ancestors}});
            policy_accepted(&serde_json::from_value(policy).unwrap())
        };
        let ancestor = |status: &str, generation: i64| {
            json!({"ancestorRef": {"name": "front"}, "controllerName": "example.com/envoy", "conditions": [{
                "type": "Accepted", "status": status, "reason": "Conflicted", "message": "there is another",
                "observedGeneration": generation, "lastTransitionTime": "2026-01-01T00:00:00Z"}]})
        };
        assert!(matches!(acceptance(json!([])), Acceptance::Waiting(_)));
        assert!(matches!(acceptance(json!([ancestor("True", 1)])), Acceptance::Waiting(_)));
        assert!(matches!(acceptance(json!([ancestor("False", 1)])), Acceptance::Waiting(_)));
        assert_eq!(acceptance(json!([ancestor("True", 2), ancestor("True", 2)])), Acceptance::Yes);
        let unknown = acceptance(json!([ancestor("True", 2), ancestor("Unknown", 2)]));
        assert!(matches!(unknown, Acceptance::Waiting(_)));
        // It was merged into a policy of the whole Gateway, which is reported only for the listener.
        let merged = json!({"ancestorRef": {"name": "front", "sectionName": "web"}, "controllerName": "example.com/envoy",
            "conditions": [{"type": "Merged", "status": "True", "reason": "Merged", "message": "",
                "observedGeneration": 2, "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
        assert_eq!(acceptance(json!([merged, ancestor("True", 2)])), Acceptance::Yes);
        assert!(matches!(acceptance(json!([merged, ancestor("True", 1)])), Acceptance::Waiting(_)));
        assert!(matches!(acceptance(json!([merged])), Acceptance::Waiting(_)));
        let refused = acceptance(json!([ancestor("True", 2), ancestor("False", 2)]));
        let Acceptance::No(sentence) = refused else { panic!() };
        assert_eq!(
            sentence,
            "example.com/envoy does not accept BackendTrafficPolicy web at front (Conflicted): there is another"
        );
    }
}
