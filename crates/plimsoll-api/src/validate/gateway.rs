//! `spec.traffic` with provider Gateway: everything that the schema and its CEL rules refuse, a sentence each.

use super::checks::{duration, is_object_name, text};
use crate::words::{key, quoted};
use crate::{
    AccessLog, Algorithm, Drain, FrontService, GatewayRule, Limits, Provider, RetryOn, ScalableServiceSpec,
    Timeouts, Traffic,
};

/// Checks what has to do with a Gateway.
pub(super) fn check(spec: &ScalableServiceSpec, wrong: &mut Vec<String>) {
    let Some(traffic) = &spec.traffic else { return };
    let provider: &str = traffic.provider.into();
    match (&traffic.gateway, traffic.provider) {
        (Some(gateway), Provider::Gateway) => names(gateway, wrong),
        (None, Provider::Gateway) => wrong.push(
            "spec.traffic.gateway is missing; with provider Gateway it must name an HTTPRoute and a rule of it".into(),
        ),
        (Some(_), _) => {
            wrong.push(format!("spec.traffic.gateway is set; it is not possible with provider {provider}"));
        }
        (None, _) => {}
    }
    if traffic.provider != Provider::Gateway {
        return;
    }
    for (field, found) in set(traffic) {
        wrong.push(format!(
            "spec.traffic.{field} is {found}; with provider Gateway it must be left out, since Plimsoll runs no balancer"
        ));
    }
    if traffic.algorithm == Algorithm::SourceHash && !duration(&traffic.slow_start).is_zero() {
        wrong.push(format!(
            "spec.traffic.slowStart is {}; with provider Gateway it is not possible with algorithm SourceHash",
            text(&traffic.slow_start)
        ));
    }
    let on = traffic.retries.on.as_deref().unwrap_or_default();
    if on.iter().any(|on| *on != RetryOn::ConnectFailure) {
        wrong.push(format!(
            "spec.traffic.retries.retryOn is {on:?}; with provider Gateway it can have ConnectFailure alone, since Envoy sends \
             again whatever the method is"
        ));
    }
    if spec.min_replicas == 0 {
        wrong.push(
            "spec.minReplicas is 0; with provider Gateway it must be at least 1, since no request can wait for the first \
             replica"
                .into(),
        );
    }
    let backends = spec.failover.iter().flat_map(|failover| failover.backends.iter().enumerate());
    for (index, backend) in backends {
        if backend.tls.is_some() {
            wrong.push(format!(
                "spec.failover.backends[{index}].tls is set; with provider Gateway it must be left out: a BackendTLSPolicy of \
                 the Gateway API is for that"
            ));
        }
        if let Some(address) = &backend.address {
            let host = key(&address.host);
            wrong.push(format!(
                "spec.failover.backends[{index}].address is {host}; with provider Gateway it must be a service, since a rule \
                 of an HTTPRoute has no addresses"
            ));
        }
    }
}

fn names(gateway: &GatewayRule, wrong: &mut Vec<String>) {
    let path = "spec.traffic.gateway";
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    for (field, found) in [("httpRoute", &gateway.http_route), ("rule", &gateway.rule)] {
        if !is_object_name(found) {
            wrong.push(format!(
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
            wrong.push(format!(
                "{path}.service is {}; it must be 1 to 63 lower-case letters, digits and -, a letter first",
                quoted(found)
            ));
        }
    }
}

/// The fields that say something which only a balancer of ours could do, with what they say.
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
    // Objects from before it had no default have the default of that time.
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

    fn wrong(traffic: &str, more: &str) -> Vec<String> {
        let yaml = format!(
            "{{scaleTargetRef: {{kind: Deployment, name: x}}, maxReplicas: 4, \
             kpis: [{{name: load, type: Load, query: up, perReplica: '1'}}], traffic: {{{traffic}}}{more}}}"
        );
        let spec: ScalableServiceSpec = serde_saphyr::from_str(&yaml).unwrap();
        match Validated::new(&spec) {
            Ok(valid) => {
                assert_eq!(valid.traffic, None, "no balancer drains or holds anything");
                Vec::new()
            }
            Err(invalid) => invalid.0,
        }
    }

    const RIGHT: &str = "provider: Gateway, gateway: {httpRoute: shop, rule: main}";

    #[test]
    fn each_field_of_a_balancer_is_refused_by_name() {
        assert_eq!(wrong(RIGHT, ""), Vec::<String>::new());
        let standby = ", failover: {backends: [{name: b, service: {name: shop-b, port: 80}}]}";
        assert_eq!(wrong(&format!("{RIGHT}, drain: {{timeout: 30s}}"), standby), Vec::<String>::new());
        // As the API server filled it in when it had a default.
        assert_eq!(wrong(&format!("{RIGHT}, replicas: 2"), ""), Vec::<String>::new());
        let policy = "algorithm: RoundRobin, healthCheck: {path: /}, slowStart: 5s, retries: {attempts: 0}";
        assert_eq!(wrong(&format!("{RIGHT}, {policy}"), ""), Vec::<String>::new());
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
            let sentences = wrong(&format!("{RIGHT}, {set}"), "");
            assert_eq!(sentences.len(), 1, "{set}: {sentences:?}");
            assert!(
                sentences[0].starts_with(&format!("spec.traffic.{field}; with provider Gateway")),
                "{sentences:?}"
            );
        }
    }

    #[test]
    fn gateway_and_its_provider_need_each_other() {
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
            ("spec.minReplicas is 0; with provider Gateway", RIGHT, ", minReplicas: 0"),
            (
                "spec.failover.backends[0].tls is set",
                RIGHT,
                ", failover: {backends: [{name: a, service: {name: a, port: 80}, tls: {hostname: a.example, caSecretName: a}}]}",
            ),
            (
                "spec.failover.backends[1].address is b.example.com",
                RIGHT,
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
            let sentences = wrong(traffic, more);
            assert_eq!(sentences.len(), 1, "{sentences:?}");
            assert!(sentences[0].starts_with(start), "{sentences:?}");
        }
    }
}
