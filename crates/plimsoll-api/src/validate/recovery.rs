//! Validation of `spec.recovery`: the same rules as those of the schema and its CEL rules.

use jiff::SignedDuration;

use super::{
    checks::{above_zero, duration, text},
    volume::{self, VolumeRule},
};
use crate::words::quoted;
use crate::{Percent, Recovery};

/// `spec.recovery.outliers` with parsed numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct OutlierRules {
    /// PromQL, as the user wrote it.
    pub query: String,
    /// Name of the Prometheus source.
    pub source: String,
    /// Factor by which an outlier exceeds the median of its peers, above 1.
    pub above: f64,
    /// Minimum value of an outlier, above 0.
    pub at_least: f64,
    /// Source of the number of requests of each replica.
    pub volume: VolumeRule,
    /// Minimum number of requests of a replica, at least 0.
    pub request_volume: f64,
    /// Number of consecutive samples, at least 1.
    pub samples: i32,
    /// Maximum percentage of replicas that may be missing, 1 to 50.
    pub max_ejection_percent: Percent,
    /// Duration of the first ejection, 1 s to 1 h.
    pub base_ejection_time: SignedDuration,
    /// Whether ejected replicas are evicted.
    pub replace: bool,
}

/// Checks `recovery`; `traffic` is whether Plimsoll runs balancers for the service.
pub(super) fn rules(recovery: &Recovery, traffic: bool, errors: &mut Vec<String>) -> Option<OutlierRules> {
    let outliers = &recovery.outliers;
    let kpi = &outliers.kpi_by_pod;
    let path = "spec.recovery.outliers";
    if kpi.query.trim().is_empty() {
        errors.push(format!("{path}.kpiByPod.query is empty; it must be PromQL"));
    }
    let above = kpi.above.value().filter(|above| *above > 1.0);
    if above.is_none() {
        let found = quoted(&kpi.above.0);
        errors.push(format!("{path}.kpiByPod.above is {found}; it must be a number above 1, such as \"3\""));
    }
    let field = format!("{path}.kpiByPod.atLeast");
    let allowed = "a number above 0, such as \"0.05\" or \"50m\"";
    let at_least = above_zero(&field, &kpi.at_least, f64::MAX, allowed, errors);
    volume::least(&format!("{path}.kpiByPod"), kpi.request_volume, errors);
    volume::query(&format!("{path}.kpiByPod"), kpi.volume_query.as_ref(), errors);
    if !(1..=100).contains(&outliers.samples) {
        errors.push(format!("{path}.samples is {}; it must be from 1 to 100", outliers.samples));
    }
    let percent = outliers.max_ejection_percent;
    if !(1..=50).contains(&percent) {
        errors.push(format!("{path}.maxEjectionPercent is {percent}; it must be from 1 to 50"));
    }
    let base = duration(&outliers.base_ejection_time);
    if !(SignedDuration::from_secs(1)..=SignedDuration::from_hours(1)).contains(&base) {
        let found = text(&outliers.base_ejection_time);
        errors.push(format!("{path}.baseEjectionTime is {found}; it must be from 1s to 1h"));
    }
    if !traffic && !outliers.replace {
        errors.push(format!(
            "{path}.replace is false; without a balancer that Plimsoll runs it must be true, since replacement is then the only remedy"
        ));
    }
    Some(OutlierRules {
        query: kpi.query.clone(),
        source: kpi.source.clone(),
        above: above?,
        at_least: at_least?,
        volume: match kpi.request_volume {
            0 => VolumeRule::Unused,
            _ => VolumeRule::of(kpi.volume_query.as_ref()),
        },
        request_volume: f64::from(kpi.request_volume.max(0)),
        samples: outliers.samples,
        max_ejection_percent: Percent::new(percent.into())?,
        base_ejection_time: base,
        replace: outliers.replace,
    })
}

#[cfg(test)]
mod tests {
    use crate::{ScalableServiceSpec, Validated, VolumeRule};

    fn validated(outliers: &str, more: &str) -> Result<Validated, Vec<String>> {
        let yaml = format!(
            "{{scaleTargetRef: {{kind: Deployment, name: x}}, maxReplicas: 4, \
             kpis: [{{name: load, type: Load, query: up, perReplica: '1'}}], recovery: {{outliers: {outliers}}}{more}}}"
        );
        let spec: ScalableServiceSpec = serde_saphyr::from_str(&yaml).unwrap();
        Validated::new(&spec).map_err(|invalid| invalid.0)
    }

    #[test]
    fn the_defaults_match_the_documentation() {
        let rules = validated("{kpiByPod: {query: errors, atLeast: 50m}}", "").unwrap().outliers.unwrap();
        assert_eq!((rules.above, rules.at_least, rules.samples), (3.0, 0.05, 3));
        assert_eq!((i32::from(rules.max_ejection_percent), rules.base_ejection_time.as_secs()), (20, 30));
        assert!(rules.replace && rules.source == "default");
        assert_eq!((rules.volume, rules.request_volume), (VolumeRule::OfQuery, 100.0));
    }

    #[test]
    fn each_invalid_field_has_a_sentence_with_its_path() {
        let kpi = "kpiByPod: {query: errors, atLeast: '0.05'}";
        for (field, outliers) in [
            ("kpiByPod.query is empty", "kpiByPod: {query: ' ', atLeast: '0.05'}".to_owned()),
            ("kpiByPod.above is \"1\"", "kpiByPod: {query: errors, above: 1, atLeast: '0.05'}".to_owned()),
            ("kpiByPod.above is \"3x\"", "kpiByPod: {query: errors, above: 3x, atLeast: '0.05'}".to_owned()),
            ("kpiByPod.atLeast is \"0\"", "kpiByPod: {query: errors, atLeast: 0}".to_owned()),
            ("kpiByPod.requestVolume is -1", format!("{}, requestVolume: -1}}", &kpi[..kpi.len() - 1])),
            ("kpiByPod.volumeQuery is empty", format!("{}, volumeQuery: ' '}}", &kpi[..kpi.len() - 1])),
            ("samples is 0", format!("{kpi}, samples: 0")),
            ("maxEjectionPercent is 51", format!("{kpi}, maxEjectionPercent: 51")),
            ("baseEjectionTime is 2h", format!("{kpi}, baseEjectionTime: 2h")),
            ("replace is false", format!("{kpi}, replace: false")),
        ] {
            let sentences = validated(&format!("{{{outliers}}}"), "").unwrap_err();
            assert_eq!(sentences.len(), 1, "{outliers}: {sentences:?}");
            assert!(sentences[0].starts_with(&format!("spec.recovery.outliers.{field}")), "{sentences:?}");
        }
        let traffic = ", traffic: {provider: HAProxy, targetPort: 80, listeners: [{port: 80}]}";
        assert!(validated(&format!("{{{kpi}, replace: false}}"), traffic).is_ok());
    }
}
