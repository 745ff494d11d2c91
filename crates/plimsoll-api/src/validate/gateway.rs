//! Validation of provider Gateway: the same rules as those of the schema and its CEL rules.

use super::checks::{duration, is_object_name, text};
use crate::words::{key, quoted};
use crate::{
    AccessLog, Algorithm, Drain, FrontService, GatewayRule, Limits, Provider, RetryOn, ScalableServiceSpec,
    Timeouts, Traffic,
};

/// Checks all fields that depend on the provider Gateway.
pub(super) fn check(spec: &ScalableServiceSpec, errors: &mut Vec<String>) {
    let Some(traffic) = &spec.traffic else { return };
    let provider: &str = traffic.provider.into();
    match (&traffic.gateway, traffic.provider) {
        (Some(gateway), Provider::Gateway) => names(gateway, errors),
        (None, Provider::Gateway) => errors.push(
            "spec.traffic.gateway is missing; with provider Gateway it must name an HTTPRoute and one of its rules".into(),
        ),
        (Some(_), _) => {
            errors.push(format!("spec.traffic.gateway is set; it is not possible with provider {provider}"));
        }
        (None, _) => {}
    }
    if traffic.provider != Provider::Gateway {
        return;
    }
    for (field, found) in set(traffic) {
        errors.push(format!(
            "spec.traffic.{field} is {found}; with provider Gateway it must be left out, since Plimsoll runs no balancer"
        ));
    }
    if traffic.algorithm == Algorithm::SourceHash && !duration(&traffic.slow_start).is_zero() {
        errors.push(format!(
            "spec.traffic.slowStart is {}; with provider Gateway it is not possible with algorithm SourceHash",
            text(&traffic.slow_start)
        ));
    }
    let on = traffic.retries.on.as_deref().unwrap_or_default();
    if on.iter().any(|on| *on != RetryOn::ConnectFailure) {
        errors.push(format!(
            "spec.traffic.retries.retryOn is {on:?}; with provider Gateway it can have only ConnectFailure, since Envoy retries \
             regardless of the method"
        ));
    }
    if spec.min_replicas == 0 {
        errors.push(
            "spec.minReplicas is 0; with provider Gateway it must be at least 1, since no request can wait for the first \
             replica"
                .into(),
        );
    }
    let backends = spec.failover.iter().flat_map(|failover| failover.backends.iter().enumerate());
    for (index, backend) in backends {
        if backend.tls.is_some() {
            errors.push(format!(
                "spec.failover.backends[{index}].tls is set; with provider Gateway it must be left out: use a \
                 BackendTLSPolicy of the Gateway API"
            ));
        }
        if let Some(address) = &backend.address {
            let host = key(&address.host);
            errors.push(format!(
                "spec.failover.backends[{index}].address is {host}; with provider Gateway it must be a service, since an \
                 HTTPRoute has no addresses"
            ));
        }
    }
}

fn names(gateway: &GatewayRule, errors: &mut Vec<String>) {
    let path = "spec.traffic.gateway";
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    for (field, found) in [("httpRoute", &gateway.http_route), ("rule", &gateway.rule)] {
        if !is_object_name(found) {
            errors.push(format!(
                "{path}.{field} is {}; it must be 1 to 253 lower-case letters, digits, - and ., with a letter or a \
                 digit at both ends",
                quoted(found)
            ));
        }
    }
    if let Some(found) = &gateway.service {
        let fits = found.len() <= 63
            && found.chars().all(|c| edge(c) || c == '-')
            && found.starts_with(|c: char| c.is_ascii_lowercase())
            && found.ends_with(edge);
        if !fits {
            errors.push(format!(
                "{path}.service is {}; it must be 1 to 63 lower-case letters, digits and -, with a letter first",
                quoted(found)
            ));
        }
    }
}

/// The set fields that only a balancer of Plimsoll supports, with their values.
fn set(traffic: &Traffic) -> Vec<(&'static str, String)> {
    let limits = &traffic.limits;
    let mut found = Vec::new();
    let mut is = |field, set: bool, value: &dyn Fn() -> String| {
        if set {
            found.push((field, value()));
        }
    };
    let something = || "set".to_owned();
    let port = traffic.target_port.unwrap_or_default();
    is("targetPort", traffic.target_port.is_some(), &|| port.to_string());
    is("listeners", !traffic.listeners.is_empty(), &something);
    // Objects that were created when the field had a default may have that value.
    let replicas = traffic.replicas.filter(|replicas| *replicas != Traffic::REPLICAS);
    is("replicas", replicas.is_some(), &|| replicas.unwrap_or_default().to_string());
    is("minReadySeconds", traffic.min_ready_seconds.is_some(), &something);
    is("pod", traffic.pod.is_some(), &something);
    is("container", traffic.container.is_some(), &something);
    is("service", traffic.service != FrontService::default(), &something);
    is("sessionPersistence", traffic.session_persistence.is_some(), &something);
    is("drain.timeout", traffic.drain != Drain::default(), &|| text(&traffic.drain.timeout));
    is("limits", *limits != Limits::default(), &something);
    is("timeouts", traffic.timeouts != Timeouts::default(), &something);
    is("priorities", !traffic.priorities.is_empty(), &something);
    is("trustedProxies", !traffic.trusted_proxies.is_empty(), &something);
    is("proxyProtocol", traffic.proxy_protocol, &something);
    let access_log: &str = traffic.access_log.into();
    is("accessLog", traffic.access_log != AccessLog::Off, &|| access_log.to_owned());
    found
}

#[cfg(test)]
mod tests {
    use crate::{ScalableServiceSpec, Validated};

    fn errors(traffic: &str, more: &str) -> Vec<String> {
        let yaml = format!(
            "{{scaleTargetRef: {{kind: Deployment, name: x}}, maxReplicas: 4, \
             kpis: [{{name: load, type: Load, query: up, perReplica: '1'}}], traffic: {{{traffic}}}{more}}}"
        );
        let spec: ScalableServiceSpec = serde_saphyr::from_str(&yaml).unwrap();
        match Validated::new(&spec) {
            Ok(valid) => {
                assert_eq!(valid.traffic, None, "there are no balancers");
                Vec::new()
            }
            Err(invalid) => invalid.0,
        }
    }

    const VALID: &str = "provider: Gateway, gateway: {httpRoute: shop, rule: main}";

    #[test]
    fn each_field_of_a_balancer_is_refused_by_name() {
        assert_eq!(errors(VALID, ""), Vec::<String>::new());
        let standby = ", failover: {backends: [{name: b, service: {name: shop-b, port: 80}}]}";
        assert_eq!(errors(&format!("{VALID}, drain: {{timeout: 30s}}"), standby), Vec::<String>::new());
        // The API server set it when the field had a default.
        assert_eq!(errors(&format!("{VALID}, replicas: 2"), ""), Vec::<String>::new());
        let policy = "algorithm: RoundRobin, healthCheck: {path: /}, slowStart: 5s, retries: {attempts: 0}";
        assert_eq!(errors(&format!("{VALID}, {policy}"), ""), Vec::<String>::new());
        for (field, set) in [
            ("targetPort is 8080", "targetPort: 8080"),
            ("listeners is set", "listeners: [{port: 80}]"),
            ("replicas is 3", "replicas: 3"),
            ("minReadySeconds is set", "minReadySeconds: 0"),
            ("pod is set", "pod: {nodeSelector: {pool: edge}}"),
            ("container is set", "container: {}"),
            ("service is set", "service: {ipFamilyPolicy: PreferDualStack}"),
            ("service is set", "service: {type: LoadBalancer}"),
            ("sessionPersistence is set", "sessionPersistence: {cookie: SID}"),
            ("trustedProxies is set", "trustedProxies: [10.0.0.0/8]"),
            ("accessLog is All", "accessLog: All"),
            ("drain.timeout is 10s", "drain: {timeout: 10s}"),
            ("limits is set", "limits: {queueTimeout: 10s}"),
            ("timeouts is set", "timeouts: {backendRequest: 5s}"),
            ("priorities is set", "priorities: [{match: {pathPrefix: /a}, criticality: Critical}]"),
        ] {
            let sentences = errors(&format!("{VALID}, {set}"), "");
            assert_eq!(sentences.len(), 1, "{set}: {sentences:?}");
            assert!(
                sentences[0].starts_with(&format!("spec.traffic.{field}; with provider Gateway")),
                "{sentences:?}"
            );
        }
    }

    #[test]
    fn gateway_is_set_exactly_with_provider_gateway() {
        for (start, traffic, more) in [
            ("spec.traffic.gateway is missing", "provider: Gateway", ""),
            (
                "spec.traffic.gateway is set",
                "provider: HAProxy, targetPort: 80, listeners: [{port: 80}], gateway: {httpRoute: a, rule: b}",
                "",
            ),
            ("spec.traffic.targetPort is missing", "provider: NGINX, listeners: [{port: 80}]", ""),
            ("spec.traffic.listeners has 0", "provider: HAProxy, targetPort: 80", ""),
            (
                "spec.traffic.slowStart is 5s; with provider Gateway it is not possible with algorithm SourceHash",
                "provider: Gateway, gateway: {httpRoute: a, rule: b}, algorithm: SourceHash, slowStart: 5s",
                "",
            ),
            (
                "spec.traffic.retries.retryOn is [EmptyResponse]; with provider Gateway",
                "provider: Gateway, gateway: {httpRoute: a, rule: b}, retries: {retryOn: [EmptyResponse]}",
                "",
            ),
            ("spec.minReplicas is 0; with provider Gateway", VALID, ", minReplicas: 0"),
            (
                "spec.failover.backends[0].tls is set",
                VALID,
                ", failover: {backends: [{name: a, service: {name: a, port: 80}, tls: {hostname: a.example, caSecretName: a}}]}",
            ),
            (
                "spec.failover.backends[1].address is b.example.com",
                VALID,
                ", failover: {backends: [{name: a, service: {name: a, port: 80}}, \
                 {name: b, address: {host: b.example.com, port: 80}}]}",
            ),
            (
                "spec.traffic.gateway.rule is \"Main\"",
                "provider: Gateway, gateway: {httpRoute: shop, rule: Main}",
                "",
            ),
            (
                "spec.traffic.gateway.service is \"1a\"",
                "provider: Gateway, gateway: {httpRoute: shop, rule: main, service: 1a}",
                "",
            ),
        ] {
            let sentences = errors(traffic, more);
            assert_eq!(sentences.len(), 1, "{sentences:?}");
            assert!(sentences[0].starts_with(start), "{sentences:?}");
        }
    }
}
