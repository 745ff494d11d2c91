//! Validation of `spec.failover`: the same rules as those of the schema and its CEL rules.

use jiff::SignedDuration;

use super::{
    checks::{duration, is_object_name, text, unique},
    kpi::KpiRule,
    volume::{self, VolumeRule},
};
use crate::recovery::REQUEST_VOLUME;
use crate::words::{key, quoted};
use crate::{
    Failover, LeaveCondition, PRIMARY, Percent, Quantity, ReturnMode, ScalableService, ScalableServiceSpec,
    Standby, StandbyService, StandbyTls, balancer_name,
};

/// `spec.failover` with parsed numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct FailoverRules {
    /// The standbys in order of preference.
    pub standbys: Vec<Standby>,
    /// Signs of failure of the primary; at least one.
    pub signs: Vec<SignRule>,
    /// Required number of bad samples among the last `of`.
    pub samples: usize,
    /// Number of last samples that are evaluated.
    pub of: usize,
    /// Ratio of ready replicas that must be exceeded for a return, above 0 and below 1.
    pub return_above: f64,
    /// Time for which the primary must be healthy before a return, 1 s to 24 h.
    pub return_for: SignedDuration,
    /// Whether requests return without a manual override.
    pub automatic: bool,
    /// Rising shares of the requests; the last is 100 %.
    pub ramp: Vec<Percent>,
    /// Maximum number of switches within an hour, at least 2.
    pub max_switches: usize,
}

impl FailoverRules {
    /// Maximum time that requests stay at a standby before a return.
    #[must_use]
    pub fn longest_hold(&self) -> SignedDuration {
        self.return_for.max(SignedDuration::from_hours(1))
    }
}

/// One sign of failure of the primary.
#[derive(Clone, Debug, PartialEq)]
pub enum SignRule {
    /// The ratio of ready replicas is below this value, above 0 and at most 1.
    ReadyBelow(f64),
    /// A KPI is above a value.
    KpiAbove {
        /// Name of the KPI.
        kpi: String,
        /// The value.
        above: f64,
        /// Minimum number of requests behind the value, at least 0.
        volume: f64,
    },
}

impl SignRule {
    /// Sets up the count of requests behind the sign's KPI, if the sign needs it.
    pub(super) fn count_requests(&self, spec: &ScalableServiceSpec, kpis: &mut [KpiRule]) {
        let Self::KpiAbove { kpi, volume, .. } = self else { return };
        let query =
            spec.kpis.iter().find(|known| known.name == *kpi).and_then(|kpi| kpi.volume_query.as_ref());
        for rule in kpis.iter_mut().filter(|rule| rule.name == *kpi && *volume > 0.0) {
            rule.volume = VolumeRule::of(query);
        }
    }
}

/// Checks `failover` of `spec`.
pub(super) fn rules(
    failover: &Failover,
    spec: &ScalableServiceSpec,
    errors: &mut Vec<String>,
) -> FailoverRules {
    if spec.traffic.is_none() {
        errors.push(
            "spec.failover needs spec.traffic: only a load balancer can send requests elsewhere".into(),
        );
    }
    standbys(&failover.backends, errors);
    let leave = &failover.leave;
    let path = "spec.failover.leave";
    if leave.when.is_empty() {
        errors.push(format!("{path}.when is empty; it must have at least one condition"));
    }
    let signs = leave.when.iter().enumerate();
    let signs = signs.filter_map(|(index, when)| sign(&format!("{path}.when[{index}]"), when, spec, errors));
    let signs = signs.collect();
    let (samples, of) = (leave.samples, leave.of);
    if !(1..=20).contains(&of) || !(1..=of).contains(&samples) {
        errors.push(format!(
            "{path}.samples is {samples} and of is {of}; both must be from 1 to 20, and samples not above of"
        ));
    }
    let back = &failover.r#return;
    let path = "spec.failover.return";
    let above = share(&back.ready_ratio_above).filter(|above| *above < 1.0);
    if above.is_none() {
        let found = quoted(&back.ready_ratio_above.0);
        errors.push(format!(
            "{path}.readyRatioAbove is {found}; it must be above 0 and below 1, such as \"0.8\""
        ));
    }
    let lasting = duration(&back.r#for);
    if !(SignedDuration::from_secs(1)..=SignedDuration::from_hours(24)).contains(&lasting) {
        errors.push(format!("{path}.for is {}; it must be from 1s to 24h", text(&back.r#for)));
    }
    let rising = back.ramp.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
    if !rising || back.ramp.last() != Some(&100) || back.ramp.iter().any(|percent| *percent < 1) {
        let found = &back.ramp;
        errors.push(format!(
            "{path}.ramp is {found:?}; it must be rising percentages from 1 that end with 100, such as [10, 50, 100]"
        ));
    }
    let most = failover.max_switches_per_hour;
    if !(2..=60).contains(&most) {
        errors.push(format!("spec.failover.maxSwitchesPerHour is {most}; it must be from 2 to 60"));
    }
    FailoverRules {
        standbys: failover.backends.clone(),
        signs,
        samples: usize::try_from(samples).unwrap_or(1),
        of: usize::try_from(of).unwrap_or(1),
        return_above: above.unwrap_or(1.0),
        return_for: lasting,
        automatic: back.mode == ReturnMode::Automatic,
        ramp: back.ramp.iter().filter_map(|percent| Percent::new((*percent).into())).collect(),
        max_switches: usize::try_from(most).unwrap_or(2),
    }
}

/// Sentences for standbys that lead to the service itself, also through its balancers, and for duplicates.
pub(super) fn invalid_standbys(service: &ScalableService) -> Vec<String> {
    let own = service.metadata.namespace.as_deref();
    let own_names = own_names(service);
    let mut known = Vec::new();
    let mut errors = Vec::new();
    let backends = service.spec.failover.iter().flat_map(|failover| failover.backends.iter().enumerate());
    for (index, standby) in backends {
        let Some(StandbyService { namespace, name, port }) = &standby.service else { continue };
        let namespace = namespace.as_deref().filter(|namespace| Some(*namespace) != own);
        let rule = if namespace.is_none() && own_names.contains(name) {
            "it must not be this service's own Service or that of its balancers"
        } else if known.contains(&(namespace, name, port)) {
            "it must not be the Service of another standby"
        } else {
            known.push((namespace, name, port));
            continue;
        };
        errors.push(format!("spec.failover.backends[{index}].service.name is {}; {rule}", key(name)));
    }
    errors
}

/// The Services in the namespace of the service that lead to it.
fn own_names(service: &ScalableService) -> Vec<String> {
    let names = service.metadata.name.iter().flat_map(|name| [name.clone(), balancer_name(name)]);
    let rule = service.spec.traffic.as_ref().and_then(|traffic| traffic.gateway.as_ref());
    names.chain(rule.and_then(|rule| rule.service.clone())).collect()
}

fn standbys(standbys: &[Standby], errors: &mut Vec<String>) {
    let path = "spec.failover.backends";
    if standbys.is_empty() {
        errors.push(format!("{path} is empty; it must have at least one standby"));
    }
    unique(path, standbys.iter().map(|standby| standby.name.as_str()), errors);
    for (index, standby) in standbys.iter().enumerate() {
        if let Some(tls) = &standby.tls {
            check_tls(&format!("{path}[{index}].tls"), tls, errors);
        }
        if standby.name == PRIMARY {
            errors.push(format!(
                "{path}[{index}].name is {PRIMARY}; that name is reserved for the service itself"
            ));
        }
        if standby.backend().is_none() {
            let found = if standby.service.is_some() {
                "both service and address"
            } else {
                "neither service nor address"
            };
            errors.push(format!("{path}[{index}] has {found}; it must have one of them"));
        }
        let service = standby.service.as_ref().map(|to| ("service", to.port));
        let address = standby.address.as_ref().map(|to| ("address", to.port));
        for (field, port) in service.into_iter().chain(address) {
            if !(1..=65_535).contains(&port) {
                errors.push(format!("{path}[{index}].{field}.port is {port}; it must be from 1 to 65535"));
            }
        }
    }
}

/// Checks the TLS settings of a standby.
fn check_tls(path: &str, tls: &StandbyTls, errors: &mut Vec<String>) {
    let StandbyTls { hostname, ca_secret_name: secret } = tls;
    let last = hostname.rsplit('.').next().unwrap_or_default();
    let is_address = !last.starts_with(|char: char| char.is_ascii_lowercase());
    if is_address || !is_object_name(hostname) || !hostname.split('.').all(is_object_name) {
        errors.push(format!(
            "{path}.hostname is {}; it must be the DNS name in the certificate, in lower case, such as \
             east.example.com",
            quoted(hostname)
        ));
    }
    if !is_object_name(secret) {
        errors.push(format!(
            "{path}.caSecretName is {}; it must be the name of a Secret, such as east-ca",
            quoted(secret)
        ));
    }
}

fn sign(
    path: &str,
    when: &LeaveCondition,
    spec: &ScalableServiceSpec,
    errors: &mut Vec<String>,
) -> Option<SignRule> {
    if when.request_volume.is_some() && when.kpi.is_none() {
        errors.push(format!("{path}.requestVolume is set without kpi; readiness has no request volume"));
    }
    match (&when.ready_ratio_below, &when.kpi, &when.above) {
        (Some(ratio), None, None) => {
            let below = share(ratio);
            if below.is_none() {
                let found = quoted(&ratio.0);
                errors.push(format!(
                    "{path}.readyRatioBelow is {found}; it must be above 0 and at most 1, such as \"0.5\""
                ));
            }
            below.map(SignRule::ReadyBelow)
        }
        (None, Some(kpi), Some(above)) => {
            if !spec.kpis.iter().any(|known| known.name == *kpi) {
                let found = quoted(kpi);
                errors.push(format!("{path}.kpi is {found}; it must be the name of a KPI in spec.kpis"));
            }
            let number = above.value();
            if number.is_none() {
                let found = quoted(&above.0);
                errors.push(format!("{path}.above is {found}; it must be a number, such as \"0.2\""));
            }
            let least = when.request_volume.unwrap_or(REQUEST_VOLUME);
            volume::least(path, least, errors);
            Some(SignRule::KpiAbove { kpi: kpi.clone(), above: number?, volume: f64::from(least.max(0)) })
        }
        _ => {
            let fields = [
                ("readyRatioBelow", when.ready_ratio_below.is_some()),
                ("kpi", when.kpi.is_some()),
                ("above", when.above.is_some()),
            ];
            let found: Vec<_> = fields.iter().filter(|(_, set)| *set).map(|(name, _)| *name).collect();
            let found = if found.is_empty() { "none of its fields".to_owned() } else { found.join(", ") };
            errors
                .push(format!("{path} has {found}; it must have either readyRatioBelow, or kpi with above"));
            None
        }
    }
}

/// A number above 0 and at most 1.
fn share(quantity: &Quantity) -> Option<f64> {
    quantity.value().filter(|value| *value > 0.0 && *value <= 1.0)
}

#[cfg(test)]
mod tests {
    use crate::{ScalableService, SignRule, Validated, VolumeRule};

    fn errors(traffic: &str, services: &[&str]) -> Vec<String> {
        let backends = services.iter().enumerate();
        let backends = backends.map(|(index, to)| format!("{{name: b{index}, service: {{{to}, port: 80}}}}"));
        let backends = backends.collect::<Vec<_>>().join(", ");
        let yaml = format!(
            "{{apiVersion: plimsoll.dev/v1alpha1, kind: ScalableService, metadata: {{name: shop, namespace: a}}, spec: {{scaleTargetRef: {{kind: Deployment, name: x}}, \
             maxReplicas: 4, kpis: [{{name: load, type: Load, query: up, perReplica: '1'}}], \
             traffic: {{{traffic}}}, failover: {{backends: [{backends}]}}}}}}"
        );
        let service: ScalableService = serde_saphyr::from_str(&yaml).unwrap();
        Validated::of(&service).err().map(|invalid| invalid.0).unwrap_or_default()
    }

    #[test]
    fn a_standby_is_neither_the_service_itself_nor_another_standby() {
        let haproxy = "provider: HAProxy, targetPort: 8080, listeners: [{port: 80}]";
        let gateway = "provider: Gateway, gateway: {httpRoute: shop, rule: main, service: web}";
        let elsewhere = ["name: shop, namespace: b", "name: shop, namespace: c", "name: shop-b"];
        assert_eq!(errors(haproxy, &elsewhere), Vec::<String>::new());
        for (traffic, services, sentence) in [
            (
                haproxy,
                ["name: shop-b", "name: shop"],
                "[1].service.name is shop; it must not be this service's own",
            ),
            (
                haproxy,
                ["name: shop-lb", "name: b"],
                "[0].service.name is shop-lb; it must not be this service's own",
            ),
            (
                haproxy,
                ["name: b", "name: shop, namespace: a"],
                "[1].service.name is shop; it must not be this service's own",
            ),
            (gateway, ["name: web", "name: b"], "[0].service.name is web; it must not be this service's own"),
            (
                haproxy,
                ["name: b", "name: b, namespace: a"],
                "[1].service.name is b; it must not be the Service of another standby",
            ),
        ] {
            let found = errors(traffic, &services);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].starts_with(&format!("spec.failover.backends{sentence}")), "{found:?}");
        }
    }

    /// The source of the number of requests behind the KPI of a sign, and their minimum. `kpi` is appended to the KPI, `sign`
    /// to the condition.
    fn volume(kpi: &str, sign: &str) -> (VolumeRule, f64) {
        let yaml = format!(
            "{{apiVersion: plimsoll.dev/v1alpha1, kind: ScalableService, metadata: {{name: shop, namespace: a}}, spec: {{scaleTargetRef: {{kind: Deployment, name: x}}, \
             maxReplicas: 4, kpis: [{{name: load, type: Load, query: up, perReplica: '1'}}, {{name: errors, type: Objective, query: share, atMost: '1'{kpi}}}], \
             traffic: {{provider: HAProxy, targetPort: 8080, listeners: [{{port: 80}}]}}, \
             failover: {{backends: [{{name: b, service: {{name: shop-b, port: 80}}}}], leave: {{when: [{{kpi: errors, above: '0.2'{sign}}}]}}}}}}}}"
        );
        let valid = Validated::of(&serde_saphyr::from_str(&yaml).unwrap()).unwrap();
        assert_eq!(valid.kpis[0].volume, VolumeRule::Unused, "no sign uses it");
        let Some([SignRule::KpiAbove { volume, .. }]) = valid.failover.as_ref().map(|rules| &rules.signs[..])
        else {
            panic!("{:?}", valid.failover)
        };
        (valid.kpis[1].volume.clone(), *volume)
    }

    #[test]
    fn the_requests_behind_a_sign_are_counted_unless_none_are_required() {
        let by = |query: &str| VolumeRule::Query(query.to_owned());
        for (kpi, sign, expected) in [
            ("", "", (VolumeRule::OfQuery, 100.0)),
            ("", ", requestVolume: 20", (VolumeRule::OfQuery, 20.0)),
            ("", ", requestVolume: 0", (VolumeRule::Unused, 0.0)),
            (", volumeQuery: requests", "", (by("requests"), 100.0)),
            (", volumeQuery: requests", ", requestVolume: 0", (VolumeRule::Unused, 0.0)),
        ] {
            assert_eq!(volume(kpi, sign), expected, "{kpi}{sign}");
        }
    }
}
