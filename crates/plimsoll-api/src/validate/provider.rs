//! Refuses the fields that a provider does not support: the same rules as the CRD's CEL rules.

use std::collections::BTreeSet;

use super::checks::{duration, text};
use crate::{HealthCheck, Limits, RetryOn, ScalableServiceSpec, Traffic};

/// Checks the spec against the capabilities of its provider.
pub(super) fn check(spec: &ScalableServiceSpec, errors: &mut Vec<String>) {
    let Some(traffic) = &spec.traffic else { return };
    let Some(software) = traffic.provider.software() else { return };
    let name: &str = software.into();
    let can = software.capabilities();
    let mut not = |field: &str, found: &str, allowed: &str| {
        errors.push(format!("spec.{field} is {found}; with provider {name} {allowed}"));
    };
    if !can.queue && spec.min_replicas == 0 {
        not("minReplicas", "0", "it must be at least 1, since no request can wait for the first replica");
    }
    if !can.cookies && traffic.session_persistence.is_some() {
        not("traffic.sessionPersistence", "set", "clients are bound by algorithm SourceHash only");
    }
    if !can.active_checks && traffic.health_check.as_ref().is_some_and(is_active) {
        not("traffic.healthCheck", "set", "it can have only passive, since there are no active checks");
    }
    if !can.slow_start && !duration(&traffic.slow_start).is_zero() {
        not("traffic.slowStart", &text(&traffic.slow_start), "it must be 0s");
    }
    if !can.authorities_each {
        let standbys = spec.failover.iter().flat_map(|failover| &failover.backends);
        let secrets: BTreeSet<_> =
            standbys.filter_map(|standby| Some(&standby.tls.as_ref()?.ca_secret_name)).collect();
        if secrets.len() > 1 {
            let allowed = "it must be the same for all of them, since there is one CA bundle";
            let found = format!("one of {} different Secrets", secrets.len());
            not("failover.backends.tls.caSecretName", &found, allowed);
        }
    }
    if !can.queue {
        no_queue(traffic, &mut not);
    }
    if !can.distinguishes_connect_failure && traffic.retries.on.as_ref().is_some_and(|on| has_one_of_both(on))
    {
        let found = format!("{:?}", traffic.retries.on.as_deref().unwrap_or_default());
        let allowed =
            "it must have both or neither of ConnectFailure and EmptyResponse, which can't be distinguished";
        not("traffic.retries.retryOn", &found, allowed);
    }
}

fn no_queue(traffic: &Traffic, not: &mut impl FnMut(&str, &str, &str)) {
    let limits = &traffic.limits;
    let why = "it must be left out, since no request can wait";
    if let Some(most) = limits.connections_per_replica {
        not("traffic.limits.connectionsPerReplica", &most.to_string(), why);
    }
    if limits.queue_timeout != Limits::default().queue_timeout {
        not("traffic.limits.queueTimeout", &text(&limits.queue_timeout), why);
    }
    if !traffic.priorities.is_empty() {
        not("traffic.priorities", "set", why);
    }
}

/// Whether it has more than passive checks.
fn is_active(check: &HealthCheck) -> bool {
    *check != HealthCheck { passive: check.passive, ..HealthCheck::default() } || check.passive.is_none()
}

fn has_one_of_both(on: &[RetryOn]) -> bool {
    on.contains(&RetryOn::ConnectFailure) != on.contains(&RetryOn::EmptyResponse)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Provider, Validated};

    fn errors(provider: &str, minimum: i32, more: &str) -> Vec<String> {
        let yaml = format!(
            "{{scaleTargetRef: {{kind: Deployment, name: x}}, minReplicas: {minimum}, maxReplicas: 4, \
             kpis: [{{name: load, type: Load, query: up, perReplica: '1'}}], \
             traffic: {{provider: {provider}, targetPort: 8080, listeners: [{{port: 80}}]{more}}}}}"
        );
        let spec: ScalableServiceSpec = serde_saphyr::from_str(&yaml).unwrap();
        Validated::new(&spec).err().map(|invalid| invalid.0).unwrap_or_default()
    }

    #[test]
    fn fields_that_nginx_does_not_support_are_refused_only_with_nginx() {
        for (field, minimum, more) in [
            ("minReplicas is 0", 0, ""),
            ("traffic.sessionPersistence is set", 1, ", sessionPersistence: {cookie: SID}"),
            ("traffic.healthCheck is set", 1, ", healthCheck: {path: /, passive: {consecutiveErrors: 2}}"),
            ("traffic.healthCheck is set", 1, ", healthCheck: {}"),
            ("traffic.slowStart is 5s", 1, ", slowStart: 5s"),
            ("traffic.limits.connectionsPerReplica is 4", 1, ", limits: {connectionsPerReplica: 4}"),
            ("traffic.limits.queueTimeout is 10s", 1, ", limits: {queueTimeout: 10s}"),
            (
                "traffic.priorities is set",
                1,
                ", priorities: [{match: {pathPrefix: /a}, criticality: Critical}]",
            ),
            ("traffic.retries.retryOn is [ConnectFailure]", 1, ", retries: {retryOn: [ConnectFailure]}"),
        ] {
            let sentences = errors("NGINX", minimum, more);
            assert_eq!(sentences.len(), 1, "{more}: {sentences:?}");
            assert!(
                sentences[0].starts_with(&format!("spec.{field}; with provider NGINX ")),
                "{sentences:?}"
            );
            assert_eq!(errors("HAProxy", minimum, more), Vec::<String>::new());
        }
    }

    #[test]
    fn fields_that_nginx_supports_are_accepted() {
        for more in [
            "",
            ", algorithm: SourceHash, drain: {timeout: 0s}, timeouts: {backendRequest: 5m}",
            ", healthCheck: {passive: {consecutiveErrors: 3}}, limits: {queueTimeout: 30s}",
            ", retries: {attempts: 0}",
            ", retries: {retryOn: [Http503, EmptyResponse, ConnectFailure]}",
            ", retries: {retryOn: [Http503]}",
        ] {
            assert_eq!(errors("NGINX", 1, more), Vec::<String>::new(), "{more}");
        }
        assert_eq!(Provider::NGINX, "NGINX".parse().unwrap());
    }
}
