//! What an HTTPRoute can't say, as Envoy Gateway's BackendTrafficPolicy (`gateway.envoyproxy.io/v1alpha1`) says it: how
//! a replica is chosen and found fit, and when a request is sent again.
//!
//! What the policy can't say as `spec.traffic` means it is refused with provider Gateway: a limit of connections is one
//! of each Envoy there, and refuses instead of letting wait.

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

/// Answers of a check that are good: 2xx and 3xx, as `healthCheck.path` promises; Envoy Gateway's default is 200 alone.
const GOOD: [u16; 19] =
    [200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 306, 307, 308];

/// The kind, as the API server knows it.
#[must_use]
pub fn policy_resource() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("gateway.envoyproxy.io", "v1alpha1", "BackendTrafficPolicy"))
}

/// The fields of `spec.traffic` that need a policy. One with its default is left to the Gateway.
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
/// It is merged into a policy for the whole Gateway, which would be without effect here otherwise (`mergeType` in Envoy
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

/// The object with one more field, if there is a value for it: a null would be one too.
fn with(mut object: Value, field: &str, value: Option<Value>) -> Value {
    if let (Some(fields), Some(value)) = (object.as_object_mut(), value) {
        fields.insert(field.to_owned(), value);
    }
    object
}

/// Envoy's LeastRequest draws two replicas and takes the better one, which is as near as it comes to either.
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
    // Of few replicas a tenth is none, which would make the check one in name only.
    let passive = check.passive.map(
        |passive| json!({"consecutive5XxErrors": passive.consecutive_errors, "alwaysEjectOneEndpoint": true}),
    );
    with(json!({"active": with(active, field, Some(how))}), "passive", passive)
}

/// After a connection that did not come about, and nothing else: Envoy sends again whatever the method is, also what
/// must not be done twice.
fn retry(traffic: &Traffic) -> Value {
    json!({"numRetries": traffic.retries.attempts, "retryOn": {"triggers": ["connect-failure"]}})
}

fn length(duration: kube::core::Duration) -> std::time::Duration {
    duration.into()
}

/// As the Gateway API writes a duration: at most five digits before each unit (GEP-2257).
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

/// What the controllers of all Gateways say of the policy as it is now; what was said of an older generation is nothing.
#[must_use]
pub fn policy_accepted(policy: &DynamicObject) -> Acceptance {
    let name = policy.metadata.name.as_deref().unwrap_or_default();
    let generation = policy.metadata.generation.unwrap_or_default();
    let status = policy.data.get("status").cloned().unwrap_or_default();
    let status: Status = serde_json::from_value(status).unwrap_or_default();
    if status.ancestors.is_empty() {
        return Acceptance::Waiting(format!("nobody has said yet that it takes BackendTrafficPolicy {name}"));
    }
    let ancestors = &status.ancestors;
    let words =
        ancestors.iter().filter_map(|ancestor| match find(&ancestor.conditions, "Accepted", generation) {
            // Envoy Gateway says of a listener that the policy was merged into another one, and whether it is accepted of the
            // whole Gateway.
            Found::None if ancestors.iter().any(|other| other.says_more_than(ancestor)) => None,
            found => Some(ancestor.word(name, generation, &found)),
        });
    words.fold(Acceptance::Yes, Acceptance::and)
}

impl Ancestor {
    /// Whether it is the same controller's word on the same Gateway, and says whether the policy is accepted.
    fn says_more_than(&self, other: &Self) -> bool {
        self.controller_name == other.controller_name
            && self.ancestor_ref.is_same_object(&other.ancestor_ref)
            && self.conditions.iter().any(|condition| condition.type_ == "Accepted")
    }

    fn word(&self, policy: &str, generation: i64, found: &Found<'_>) -> Acceptance {
        let (who, at) = (&self.controller_name, &self.ancestor_ref.name);
        match found {
            Found::Current(Condition { status, .. }) if status == "True" => Acceptance::Yes,
            Found::Current(Condition { status, reason, message, .. }) if status == "False" => {
                Acceptance::No(format!(
                    "{who} says at {at} that BackendTrafficPolicy {policy} is not accepted ({reason}): {message}"
                ))
            }
            _ => Acceptance::Waiting(format!(
                "{who} has yet to say at {at} whether it accepts generation {generation} of BackendTrafficPolicy {policy}"
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
    fn what_nobody_set_is_left_to_the_gateway() {
        assert_eq!(made(""), None);
        assert_eq!(made(", algorithm: LeastConnections, slowStart: 0s, retries: {attempts: 2}"), None);
    }

    #[test]
    fn each_field_says_what_it_means() {
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
    fn only_what_is_said_of_this_generation_counts() {
        let word = |ancestors: Value| {
            let policy = json!({"apiVersion": "gateway.envoyproxy.io/v1alpha1", "kind": "BackendTrafficPolicy",
                "metadata": {"name": "web", "generation": 2}, "status": {"ancestors": ancestors}});
            policy_accepted(&serde_json::from_value(policy).unwrap())
        };
        let said = |status: &str, generation: i64| {
            json!({"ancestorRef": {"name": "front"}, "controllerName": "example.com/envoy", "conditions": [{
                "type": "Accepted", "status": status, "reason": "Conflicted", "message": "there is another",
                "observedGeneration": generation, "lastTransitionTime": "2026-01-01T00:00:00Z"}]})
        };
        assert!(matches!(word(json!([])), Acceptance::Waiting(_)));
        assert!(matches!(word(json!([said("True", 1)])), Acceptance::Waiting(_)));
        assert!(matches!(word(json!([said("False", 1)])), Acceptance::Waiting(_)));
        assert_eq!(word(json!([said("True", 2), said("True", 2)])), Acceptance::Yes);
        assert!(matches!(word(json!([said("True", 2), said("Unknown", 2)])), Acceptance::Waiting(_)));
        // It was merged into a policy of the whole Gateway, which is said of the listener alone.
        let merged = json!({"ancestorRef": {"name": "front", "sectionName": "web"}, "controllerName": "example.com/envoy",
            "conditions": [{"type": "Merged", "status": "True", "reason": "Merged", "message": "",
                "observedGeneration": 2, "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
        assert_eq!(word(json!([merged, said("True", 2)])), Acceptance::Yes);
        assert!(matches!(word(json!([merged, said("True", 1)])), Acceptance::Waiting(_)));
        assert!(matches!(word(json!([merged])), Acceptance::Waiting(_)));
        let Acceptance::No(sentence) = word(json!([said("True", 2), said("False", 2)])) else { panic!() };
        assert_eq!(
            sentence,
            "example.com/envoy says at front that BackendTrafficPolicy web is not accepted (Conflicted): there is another"
        );
    }
}
