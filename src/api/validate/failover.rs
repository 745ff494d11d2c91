//! `spec.failover`: everything that the schema and its CEL rules refuse, a sentence each.

use jiff::SignedDuration;

use super::{check_unique, duration, is_object_name, text};
use crate::api::{
    Failover, LeaveCondition, PRIMARY, Quantity, ReturnMode, ScalableService, ScalableServiceSpec, Standby,
    StandbyTls, balancer_name,
};

/// `spec.failover` with its numbers parsed.
#[derive(Clone, Debug, PartialEq)]
pub struct FailoverRules {
    /// The standbys in order of preference.
    pub standbys: Vec<Standby>,
    /// Signs that the primary fails; at least one.
    pub signs: Vec<SignRule>,
    /// Bad samples of the last `of` that it takes.
    pub samples: usize,
    /// Samples that are looked at.
    pub of: usize,
    /// Share of the replicas that must be ready for a return, above 0 and below 1.
    pub return_above: f64,
    /// For how long, 1 s to 24 h.
    pub return_for: SignedDuration,
    /// Whether requests come back without a person.
    pub automatic: bool,
    /// Rising shares of the requests, in percent; the last is 100.
    pub ramp: Vec<i32>,
    /// Switches within an hour, at least 2.
    pub max_switches: usize,
}

impl FailoverRules {
    /// The longest that requests are held at a standby.
    #[must_use]
    pub fn longest_hold(&self) -> SignedDuration {
        self.return_for.max(SignedDuration::from_hours(1))
    }
}

/// One sign that the primary fails.
#[derive(Clone, Debug, PartialEq)]
pub enum SignRule {
    /// A smaller share of its replicas is ready, above 0 and at most 1.
    ReadyBelow(f64),
    /// A KPI has a larger value.
    KpiAbove {
        /// Its name.
        kpi: String,
        /// The value.
        above: f64,
    },
}

/// Checks `failover` of `spec`.
pub(super) fn rules(
    failover: &Failover,
    spec: &ScalableServiceSpec,
    wrong: &mut Vec<String>,
) -> FailoverRules {
    if spec.traffic.is_none() {
        wrong.push(
            "spec.failover needs spec.traffic: only a load balancer can send requests elsewhere".into(),
        );
    }
    standbys(&failover.backends, wrong);
    let leave = &failover.leave;
    let path = "spec.failover.leave";
    if leave.when.is_empty() {
        wrong.push(format!("{path}.when is empty; it must have at least one condition"));
    }
    let signs = leave.when.iter().enumerate();
    let signs = signs.filter_map(|(index, when)| sign(&format!("{path}.when[{index}]"), when, spec, wrong));
    let signs = signs.collect();
    let (samples, of) = (leave.samples, leave.of);
    if !(1..=20).contains(&of) || !(1..=of).contains(&samples) {
        wrong.push(format!(
            "{path}.samples is {samples} of {of}; both must be from 1 to 20, and samples not above of"
        ));
    }
    let back = &failover.r#return;
    let path = "spec.failover.return";
    let above = share(&back.ready_ratio_above).filter(|above| *above < 1.0);
    if above.is_none() {
        let found = &back.ready_ratio_above.0;
        wrong.push(format!(
            "{path}.readyRatioAbove is {found:?}; it must be above 0 and below 1, such as \"0.8\""
        ));
    }
    let lasting = duration(&back.r#for);
    if !(SignedDuration::from_secs(1)..=SignedDuration::from_hours(24)).contains(&lasting) {
        wrong.push(format!("{path}.for is {}; it must be from 1s to 24h", text(&back.r#for)));
    }
    let rising = back.ramp.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
    if !rising || back.ramp.last() != Some(&100) || back.ramp.iter().any(|percent| *percent < 1) {
        let found = &back.ramp;
        wrong.push(format!(
            "{path}.ramp is {found:?}; it must be rising percentages from 1 that end with 100, such as [10, 50, 100]"
        ));
    }
    let most = failover.max_switches_per_hour;
    if !(2..=60).contains(&most) {
        wrong.push(format!("spec.failover.maxSwitchesPerHour is {most}; it must be from 2 to 60"));
    }
    FailoverRules {
        standbys: failover.backends.clone(),
        signs,
        samples: usize::try_from(samples).unwrap_or(1),
        of: usize::try_from(of).unwrap_or(1),
        return_above: above.unwrap_or(1.0),
        return_for: lasting,
        automatic: back.mode == ReturnMode::Automatic,
        ramp: back.ramp.clone(),
        max_switches: usize::try_from(most).unwrap_or(2),
    }
}

/// Standbys that are the service itself, by way of its balancers.
pub(super) fn circles(service: &ScalableService) -> Vec<String> {
    let (name, namespace) = (&service.metadata.name, &service.metadata.namespace);
    let own = name.as_ref().map(|name| balancer_name(name));
    let backends = service.spec.failover.iter().flat_map(|failover| failover.backends.iter().enumerate());
    let circle = backends.filter_map(|(index, standby)| {
        let to = standby.service.as_ref()?;
        let here = to.namespace.is_none() || to.namespace == *namespace;
        (here && own.as_ref() == Some(&to.name)).then(|| {
            format!(
                "spec.failover.backends[{index}].service.name is {}; those are this service's own balancers, so requests \
                 would go in a circle: it must be another service's",
                to.name
            )
        })
    });
    circle.collect()
}

fn standbys(standbys: &[Standby], wrong: &mut Vec<String>) {
    let path = "spec.failover.backends";
    if standbys.is_empty() {
        wrong.push(format!("{path} is empty; it must have at least one standby"));
    }
    check_unique(path, standbys.iter().map(|standby| standby.name.as_str()), wrong);
    for (index, standby) in standbys.iter().enumerate() {
        if let Some(tls) = &standby.tls {
            proof(&format!("{path}[{index}].tls"), tls, wrong);
        }
        if standby.name == PRIMARY {
            wrong.push(format!(
                "{path}[{index}].name is {PRIMARY}; that is the service itself, a standby needs another name"
            ));
        }
        if standby.service.is_some() == standby.address.is_some() {
            wrong.push(format!("{path}[{index}] must have either service or address"));
        }
        let ports = [standby.service.as_ref().map(|to| to.port), standby.address.as_ref().map(|to| to.port)];
        if let Some(port) = ports.into_iter().flatten().find(|port| !(1..=65_535).contains(port)) {
            wrong.push(format!("{path}[{index}].port is {port}; it must be from 1 to 65535"));
        }
    }
}

/// What a standby has to prove who it is by.
fn proof(path: &str, tls: &StandbyTls, wrong: &mut Vec<String>) {
    let StandbyTls { hostname, ca_secret_name: secret } = tls;
    let last = hostname.rsplit('.').next().unwrap_or_default();
    let is_address = !last.starts_with(|char: char| char.is_ascii_lowercase());
    if is_address || !is_object_name(hostname) || !hostname.split('.').all(is_object_name) {
        wrong.push(format!(
            "{path}.hostname is {hostname:?}; it must be the DNS name in the certificate, in lower case, such as \
             east.example.com"
        ));
    }
    if !is_object_name(secret) {
        wrong.push(format!(
            "{path}.caSecretName is {secret:?}; it must be the name of a Secret, such as east-ca"
        ));
    }
}

fn sign(
    path: &str,
    when: &LeaveCondition,
    spec: &ScalableServiceSpec,
    wrong: &mut Vec<String>,
) -> Option<SignRule> {
    match (&when.ready_ratio_below, &when.kpi, &when.above) {
        (Some(ratio), None, None) => {
            let below = share(ratio);
            if below.is_none() {
                let found = &ratio.0;
                wrong.push(format!(
                    "{path}.readyRatioBelow is {found:?}; it must be above 0 and at most 1, such as \"0.5\""
                ));
            }
            below.map(SignRule::ReadyBelow)
        }
        (None, Some(kpi), Some(above)) => {
            if !spec.kpis.iter().any(|known| known.name == *kpi) {
                wrong.push(format!("{path}.kpi is {kpi:?}; it must be the name of one of spec.kpis"));
            }
            let number = above.value();
            if number.is_none() {
                wrong.push(format!("{path}.above is {:?}; it must be a number, such as \"0.2\"", above.0));
            }
            Some(SignRule::KpiAbove { kpi: kpi.clone(), above: number? })
        }
        _ => {
            wrong.push(format!("{path} must have either readyRatioBelow, or kpi with above"));
            None
        }
    }
}

/// A number above 0 and at most 1.
fn share(quantity: &Quantity) -> Option<f64> {
    quantity.value().filter(|value| *value > 0.0 && *value <= 1.0)
}
