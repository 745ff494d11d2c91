//! Validation of `spec.traffic`: the same rules as those of the schema and its CEL rules.

mod objects;

use std::{collections::BTreeSet, ops::RangeInclusive};

use jiff::SignedDuration;

use super::checks::{chars, duration, number, text};
use crate::words::quoted;
use crate::{Algorithm, HealthCheck, Listener, Priority, RequestMatch, Traffic, is_network};

/// The part of `spec.traffic` that affects the replicas; the rest is only for the balancers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrafficRules {
    /// Maximum time for a draining replica to finish its requests, 0 s to 1 h.
    pub drain_timeout: SignedDuration,
    /// Maximum number of concurrent requests per replica, at least 1; `None` for no limit.
    pub connections_per_replica: Option<i32>,
}

/// Checks `traffic`, and returns the part that affects the replicas.
pub(super) fn rules(traffic: &Traffic, errors: &mut Vec<String>) -> TrafficRules {
    let path = "spec.traffic";
    let provider: &str = traffic.provider.into();
    if let Some(replicas) = traffic.replicas {
        number(&format!("{path}.replicas"), replicas, 2..=20, errors);
    }
    objects::check(traffic, errors);
    match traffic.target_port {
        Some(port) => number(&format!("{path}.targetPort"), port, 1..=65_535, errors),
        None => errors.push(format!("{path}.targetPort is missing; it is required with provider {provider}")),
    }
    listeners(&traffic.listeners, errors);
    if let Some(check) = &traffic.health_check {
        health_check(check, errors);
    }
    if let Some(persistence) = &traffic.session_persistence {
        let field = format!("{path}.sessionPersistence");
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        chars(
            &format!("{field}.cookie"),
            &persistence.cookie,
            64,
            allowed,
            "letters, digits, _ and -",
            errors,
        );
        if traffic.algorithm == Algorithm::SourceHash {
            errors.push(format!("{field} is set; algorithm SourceHash already binds clients"));
        }
    }
    length(&format!("{path}.slowStart"), traffic.slow_start, ZERO..=minutes(10), "0s to 10m", errors);
    let drain_timeout = length(
        &format!("{path}.drain.timeout"),
        traffic.drain.timeout,
        ZERO..=minutes(60),
        "0s to 1h",
        errors,
    );
    number(&format!("{path}.retries.attempts"), traffic.retries.attempts, 0..=10, errors);
    if let Some(on) = &traffic.retries.on
        && !(1..=3).contains(&on.len())
    {
        let found = on.len();
        errors.push(format!("{path}.retries.retryOn has {found} entries; it must have 1 to 3"));
    }
    let limits = &traffic.limits;
    if let Some(connections) = limits.connections_per_replica {
        number(&format!("{path}.limits.connectionsPerReplica"), connections, 1..=100_000, errors);
    }
    let second = SignedDuration::from_secs(1);
    length(
        &format!("{path}.limits.queueTimeout"),
        limits.queue_timeout,
        second..=minutes(10),
        "1s to 10m",
        errors,
    );
    let answer = traffic.timeouts.backend_request;
    length(&format!("{path}.timeouts.backendRequest"), answer, second..=minutes(60), "1s to 1h", errors);
    priorities(&traffic.priorities, errors);
    proxies(traffic, errors);
    TrafficRules { drain_timeout, connections_per_replica: limits.connections_per_replica }
}

const ZERO: SignedDuration = SignedDuration::ZERO;

fn minutes(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

fn listeners(listeners: &[Listener], errors: &mut Vec<String>) {
    if !(1..=8).contains(&listeners.len()) {
        let found = listeners.len();
        errors.push(format!("spec.traffic.listeners has {found} entries; it must have 1 to 8"));
    }
    let mut ports = BTreeSet::new();
    for (index, listener) in listeners.iter().enumerate() {
        let path = format!("spec.traffic.listeners[{index}]");
        number(&format!("{path}.port"), listener.port, 1..=65_535, errors);
        if !ports.insert(listener.port) {
            let port = listener.port;
            errors
                .push(format!("{path}.port is {port}, like that of another listener; ports must be unique"));
        }
        if let Some(tls) = &listener.tls {
            let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
            let field = format!("{path}.tls.secretName");
            chars(&field, &tls.secret_name, 253, allowed, "lower-case letters, digits, - and .", errors);
            let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
            let name = &tls.secret_name;
            let valid = name.is_empty() || (name.starts_with(edge) && name.ends_with(edge));
            if !valid {
                let found = quoted(name);
                errors.push(format!("{field} is {found}; it must begin and end with a letter or a digit"));
            }
        }
    }
}

fn health_check(check: &HealthCheck, errors: &mut Vec<String>) {
    let path = "spec.traffic.healthCheck";
    if let Some(request) = &check.path {
        request_path(&format!("{path}.path"), request, errors);
    }
    let least = SignedDuration::from_millis(100);
    length(&format!("{path}.interval"), check.interval, least..=minutes(1), "100ms to 1m", errors);
    number(&format!("{path}.rise"), check.rise, 1..=10, errors);
    number(&format!("{path}.fall"), check.fall, 1..=10, errors);
    if let Some(passive) = check.passive {
        number(&format!("{path}.passive.consecutiveErrors"), passive.consecutive_errors, 1..=1000, errors);
    }
}

fn priorities(priorities: &[Priority], errors: &mut Vec<String>) {
    if priorities.len() > 16 {
        let found = priorities.len();
        errors.push(format!("spec.traffic.priorities has {found} entries; it must have at most 16"));
    }
    for (index, priority) in priorities.iter().enumerate() {
        let path = format!("spec.traffic.priorities[{index}].match");
        let RequestMatch { path_prefix, header } = &priority.match_;
        if path_prefix.is_none() && header.is_none() {
            errors.push(format!("{path} is empty; it needs a pathPrefix or a header"));
        }
        if let Some(prefix) = path_prefix {
            request_path(&format!("{path}.pathPrefix"), prefix, errors);
        }
        if let Some(header) = header {
            let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-';
            chars(&format!("{path}.header.name"), &header.name, 64, allowed, "letters, digits and -", errors);
            let printable = |c: char| (' '..='~').contains(&c);
            let field = format!("{path}.header.value");
            chars(&field, &header.value, 256, printable, "printable ASCII characters", errors);
        }
    }
}

fn proxies(traffic: &Traffic, errors: &mut Vec<String>) {
    let path = "spec.traffic.trustedProxies";
    if traffic.trusted_proxies.len() > 32 {
        let found = traffic.trusted_proxies.len();
        errors.push(format!("{path} has {found} entries; it must have at most 32"));
    }
    for (index, network) in traffic.trusted_proxies.iter().enumerate() {
        if !is_network(network) {
            let found = quoted(network);
            errors.push(format!(
                "{path}[{index}] is {found}; it must be a network such as 10.0.0.0/8 or 2001:db8::/32"
            ));
        }
    }
    if traffic.proxy_protocol && traffic.trusted_proxies.is_empty() {
        errors.push(
            "spec.traffic.proxyProtocol is true; it needs trustedProxies, since otherwise any client could claim any address"
                .to_owned(),
        );
    }
}

fn request_path(path: &str, found: &str, errors: &mut Vec<String>) {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._~!$&()*+,;=:@%/-".contains(c);
    chars(path, found, 256, allowed, "characters that a URL path can have unescaped", errors);
    if !found.is_empty() && !found.starts_with('/') {
        errors.push(format!("{path} is {}; it must begin with /", quoted(found)));
    }
}

fn length(
    path: &str,
    found: kube::core::Duration,
    allowed: RangeInclusive<SignedDuration>,
    range: &str,
    errors: &mut Vec<String>,
) -> SignedDuration {
    let length = duration(&found);
    if !allowed.contains(&length) {
        errors.push(format!("{path} is {}; it must be from {range}", text(&found)));
    }
    length
}

#[cfg(test)]
mod tests {
    use crate::{ScalableServiceSpec, Validated};

    fn errors(traffic: &str) -> Vec<String> {
        let yaml = format!(
            "{{scaleTargetRef: {{kind: Deployment, name: x}}, maxReplicas: 4, \
             kpis: [{{name: load, type: Load, query: up, perReplica: '1'}}], traffic: {{provider: HAProxy, {traffic}}}}}"
        );
        let spec: ScalableServiceSpec = serde_saphyr::from_str(&yaml).unwrap();
        Validated::new(&spec).err().map(|invalid| invalid.0).unwrap_or_default()
    }

    #[test]
    fn what_the_schema_allows_is_valid() {
        let all = "replicas: 2, targetPort: 8080, listeners: [{port: 80}, {port: 443, tls: {secretName: shop.tls-1}}], \
                   algorithm: RoundRobin, sessionPersistence: {cookie: SID}, slowStart: 10s, drain: {timeout: 0s}, \
                   healthCheck: {path: /healthz?, interval: 100ms, passive: {consecutiveErrors: 5}}, \
                   retries: {attempts: 0, retryOn: [ConnectFailure, EmptyResponse]}, \
                   limits: {connectionsPerReplica: 64, queueTimeout: 1s}, timeouts: {backendRequest: 1h}, \
                   trustedProxies: [10.0.0.0/8, '2001:db8::/32'], proxyProtocol: true, accessLog: Sampled, \
                   priorities: [{match: {pathPrefix: /a, header: {name: X-Tier, value: 'a \"b\" c'}}, criticality: Sheddable}], \
                   service: {type: LoadBalancer, loadBalancerClass: example.com/internal, externalTrafficPolicy: Local, \
                   loadBalancerSourceRanges: [192.0.2.0/24, '2001:db8::/48'], ipFamilyPolicy: PreferDualStack}, \
                   minReadySeconds: 0, container: {resources: {requests: {cpu: 1, memory: 64Mi}}}, \
                   pod: {nodeSelector: {pool: edge}, tolerations: [{key: edge, operator: Exists}], priorityClassName: edge, \
                   imagePullSecrets: [{name: mirror}], securityContext: {runAsNonRoot: true}}";
        assert_eq!(errors(&all.replace("healthz?", "healthz")), Vec::<String>::new());
        assert!(
            errors(all).first().is_some_and(|sentence| sentence.contains("healthCheck.path")),
            "? starts a query string"
        );
    }

    #[test]
    fn each_invalid_field_has_a_sentence_with_its_path() {
        let base = "targetPort: 8080, listeners: [{port: 80}]";
        for (field, change) in [
            ("replicas", "replicas: 1"),
            ("minReadySeconds", "minReadySeconds: 301"),
            ("container.resources.limits.memory", "container: {resources: {limits: {memory: 1 GB}}}"),
            ("container.resources.requests.cpu", "container: {resources: {requests: {cpu: -1}}}"),
            ("pod.priorityClassName", "pod: {priorityClassName: Very High}"),
            ("service.loadBalancerClass", "service: {loadBalancerClass: example.com/internal}"),
            ("service.loadBalancerClass", "service: {type: LoadBalancer, loadBalancerClass: '-'}"),
            ("service.loadBalancerSourceRanges", "service: {loadBalancerSourceRanges: [192.0.2.0/24]}"),
            (
                "service.loadBalancerSourceRanges[1]",
                "service: {type: LoadBalancer, loadBalancerSourceRanges: ['2001:db8::/48', 192.0.2.0/33]}",
            ),
            ("service.externalTrafficPolicy", "service: {externalTrafficPolicy: Local}"),
            ("slowStart", "slowStart: 11m"),
            ("drain.timeout", "drain: {timeout: 61m}"),
            ("limits.queueTimeout", "limits: {queueTimeout: 500ms}"),
            ("limits.connectionsPerReplica", "limits: {connectionsPerReplica: 0}"),
            ("timeouts.backendRequest", "timeouts: {backendRequest: 0s}"),
            ("healthCheck.interval", "healthCheck: {interval: 50ms}"),
            ("healthCheck.rise", "healthCheck: {rise: 0}"),
            ("healthCheck.path", "healthCheck: {path: healthz}"),
            ("retries.attempts", "retries: {attempts: 11}"),
            ("retries.retryOn", "retries: {retryOn: []}"),
            ("sessionPersistence.cookie", "sessionPersistence: {cookie: 'a;b'}"),
            ("sessionPersistence is set", "algorithm: SourceHash, sessionPersistence: {cookie: SID}"),
            ("trustedProxies[0]", "trustedProxies: [10.0.0.0]"),
            ("trustedProxies[1]", "trustedProxies: ['2001:db8::/128', 10.0.0.0/33]"),
            ("trustedProxies[0]", "trustedProxies: [10.0.0.0/08]"),
            ("proxyProtocol is true", "proxyProtocol: true"),
            ("priorities[0].match is empty", "priorities: [{match: {}, criticality: Critical}]"),
            ("pathPrefix", "priorities: [{match: {pathPrefix: \"/a\\nb\"}, criticality: Critical}]"),
            (
                "header.value",
                "priorities: [{match: {header: {name: A, value: \"a\\tb\"}}, criticality: Critical}]",
            ),
            (
                "header.name",
                "priorities: [{match: {header: {name: 'A b', value: c}}, criticality: Critical}]",
            ),
        ] {
            let sentences = errors(&format!("{base}, {change}"));
            assert_eq!(sentences.len(), 1, "{change}: {sentences:?}");
            assert!(
                sentences[0].starts_with(&format!("spec.traffic.{field}")) || sentences[0].contains(field),
                "{sentences:?}"
            );
        }
        for (field, traffic) in [
            ("targetPort", "targetPort: 0, listeners: [{port: 80}]"),
            ("listeners", "targetPort: 80, listeners: []"),
            ("listeners[1].port", "targetPort: 80, listeners: [{port: 80}, {port: 80}]"),
            (
                "listeners[0].tls.secretName",
                "targetPort: 80, listeners: [{port: 80, tls: {secretName: '../x'}}]",
            ),
        ] {
            let sentences = errors(traffic);
            assert!(
                sentences.iter().all(|sentence| sentence.starts_with(&format!("spec.traffic.{field}")))
                    && !sentences.is_empty(),
                "{sentences:?}"
            );
        }
    }
}
