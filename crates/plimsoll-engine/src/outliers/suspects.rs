//! Outliers: each replica's value against the median of all others.

use std::collections::BTreeMap;

use plimsoll_api::OutlierRules;

/// Minimum number of peers with a value for a replica to be judged.
pub(super) const PEERS_MIN: usize = 3;

/// An outlier.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Suspect {
    pub pod: String,
    pub value: f64,
    /// The median of its peers.
    pub median: f64,
}

/// The outliers of `values`, the worst first; `None` with too few peers.
///
/// Each value is compared with the median of the others, so a bad majority produces no outliers: then the cause is not single
/// replicas.
pub(super) fn suspects(values: &BTreeMap<&str, f64>, rules: &OutlierRules) -> Option<Vec<Suspect>> {
    if values.len() <= PEERS_MIN {
        return None;
    }
    let mut sorted: Vec<(f64, &str)> = values.iter().map(|(pod, value)| (*value, *pod)).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(b.1)));
    let mut suspects = Vec::new();
    for (index, (value, pod)) in sorted.iter().enumerate().rev() {
        let Some(median) = median_without(&sorted, index) else { continue };
        if *value >= rules.at_least && *value > rules.above * median {
            suspects.push(Suspect { pod: (*pod).to_owned(), value: *value, median });
        }
    }
    Some(suspects)
}

/// The median of all but one of a sorted list.
fn median_without(sorted: &[(f64, &str)], left_out: usize) -> Option<f64> {
    let others = sorted.len().checked_sub(1)?;
    let at = |rank: usize| sorted.get(if rank < left_out { rank } else { rank + 1 }).map(|(value, _)| *value);
    let upper = at(others / 2)?;
    if others % 2 == 1 { Some(upper) } else { Some(at((others / 2).checked_sub(1)?)? / 2.0 + upper / 2.0) }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use plimsoll_api::{Percent, VolumeRule};

    fn rules() -> OutlierRules {
        OutlierRules {
            query: String::new(),
            source: String::new(),
            above: 3.0,
            at_least: 0.05,
            volume: VolumeRule::OfQuery,
            request_volume: 100.0,
            samples: 3,
            max_ejection_percent: Percent::clamped(20),
            base_ejection_time: SignedDuration::from_secs(30),
            replace: true,
        }
    }

    fn outliers(values: &[f64]) -> Option<Vec<(String, f64)>> {
        let names: Vec<String> = (0..values.len()).map(|index| format!("p{index}")).collect();
        let values = names.iter().map(String::as_str).zip(values.iter().copied()).collect();
        let suspects = suspects(&values, &rules())?;
        Some(suspects.into_iter().map(|suspect| (suspect.pod, suspect.median)).collect())
    }

    #[test]
    fn the_median_of_the_others_decides() {
        assert_eq!(outliers(&[0.3, 0.1, 0.08, 0.02]), Some(vec![("p0".into(), 0.08)]));
        assert_eq!(outliers(&[0.3, 0.1, 0.12, 0.02, 0.1]), Some(vec![]), "0.3 is not above 3 times 0.1");
        assert_eq!(outliers(&[0.31, 0.1, 0.12, 0.02, 0.1]), Some(vec![("p0".into(), 0.1)]));
        let worst_first = outliers(&[0.2, 0.0, 0.3, 0.0, 0.0, 0.0]).unwrap();
        assert_eq!(worst_first, [("p2".into(), 0.0), ("p0".into(), 0.0)]);
    }

    #[test]
    fn noise_a_bad_majority_and_too_few_peers_produce_no_outliers() {
        assert_eq!(outliers(&[0.04, 0.0, 0.0, 0.0, 0.001]), Some(vec![]), "below atLeast");
        assert_eq!(outliers(&[0.3, 0.3, 0.3, 0.3]), Some(vec![]));
        assert_eq!(outliers(&[0.3, 0.3, 0.3, 0.0, 0.0]), Some(vec![]), "three of five");
        assert_eq!(outliers(&[0.3, 0.0, 0.0]), None, "two peers");
        assert_eq!(outliers(&[f64::MAX, f64::MAX, f64::MAX, f64::MAX]), Some(vec![]));
        assert_eq!(outliers(&[-1.0, -2.0, -3.0, -100.0]), Some(vec![]));
    }
}
