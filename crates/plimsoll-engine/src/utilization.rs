//! Utilization: autoscaling/v2's arithmetic with missing and unready pods (replica_calculator.go, `GetResourceReplicas`).

use super::{
    Pods, Value, observation,
    proposal::{Hold, Proposal, Seen, Tolerances, is_tolerated, replicas_for},
};
use plimsoll_api::{DecisionReason, Validated, reason};

/// The pods behind an average.
struct Measured {
    /// Average usage of the ready pods with a sample.
    average: f64,
    /// Number of these pods.
    pods: f64,
    /// Ready pods without a sample.
    missing: f64,
    /// Pods that are not ready.
    unready: f64,
}

pub(super) fn propose(seen: &Seen<'_>, target: f64) -> Proposal {
    let current = seen.observation.replicas;
    let kpi = seen.rule.name.clone();
    let Some(measured) = measure(seen).filter(|measured| measured.pods > 0.0) else {
        let step = DecisionReason::NoReadyReplicas { kpi }.step(current, current);
        return Proposal { holds: Some(Hold::NotFresh), reasons: vec![step], ..Proposal::default() };
    };
    let wanted = wanted(&measured, target, current, seen.spec);
    let Measured { average, pods: ready, missing, unready } = measured;
    let pods = reason::Measured { ready, missing, unready };
    let step = match wanted {
        Some(wanted) => {
            DecisionReason::UtilizationProposal { kpi, value: average, target, pods }.step(current, wanted)
        }
        None => {
            let Tolerances { nearest, least, most } = Tolerances::around(target, average, seen.spec);
            let (estimate, per_replica, pods, value, tolerance) = (None, None, Some(pods), average, nearest);
            DecisionReason::WithinTolerance {
                kpi,
                value,
                estimate,
                target,
                tolerance,
                least,
                most,
                per_replica,
                pods,
            }
            .step(current, current)
        }
    };
    Proposal {
        replicas: Some(step.to),
        reasons: vec![step],
        value: Some(average),
        used: Some(average / target),
        ..Proposal::default()
    }
}

fn measure(seen: &Seen<'_>) -> Option<Measured> {
    let pods = &seen.observation.pods;
    let all_unready = f64::from(pods.unready(seen.observation.replicas));
    let rotation = seen.observation.rotation.as_ref();
    let ejected = |pod: &str| rotation.is_some_and(|rotation| rotation.ejected.contains(pod));
    match (seen.sample.value.as_ref()?, pods) {
        (Value::Single(average), _) => {
            let ready = f64::from(pods.ready());
            Some(Measured { average: *average, pods: ready, missing: 0.0, unready: all_unready })
        }
        (Value::ByPod(by_pod), Pods::Counted { ready }) => {
            let seen = f64::from(u32::try_from(by_pod.len()).unwrap_or(u32::MAX));
            let average = observation::average(by_pod.values().copied())?;
            let missing = (f64::from(*ready) - seen).max(0.0);
            let unready = (all_unready - (seen - f64::from(*ready)).max(0.0)).max(0.0);
            Some(Measured { average, pods: seen, missing, unready })
        }
        (Value::ByPod(by_pod), Pods::Listed(listed)) => {
            let (mut used, mut missing, mut unready) = (Vec::new(), 0.0, 0.0);
            // An ejected replica gets no requests, so its usage shows nothing about the others.
            for pod in listed.iter().filter(|pod| !ejected(&pod.name)) {
                match by_pod.get(&pod.name) {
                    _ if !pod.ready => unready += 1.0,
                    None => missing += 1.0,
                    Some(usage) => used.push(*usage),
                }
            }
            let pods = f64::from(u32::try_from(used.len()).unwrap_or(u32::MAX));
            let average = observation::average(used.iter().copied())?;
            Some(Measured { average, pods, missing, unready })
        }
    }
}

/// Wanted replicas, or `None` to keep the current ones.
///
/// Missing pods count against the change: as fully used before a scale-down, as idle before a scale-up. Unready pods count as
/// idle before a scale-up. If this reverses the change or brings it within the tolerance, nothing changes.
fn wanted(measured: &Measured, target: f64, current: i32, spec: &Validated) -> Option<i32> {
    let within = |ratio: f64| is_tolerated(ratio, spec);
    let Measured { average, pods, missing, unready } = *measured;
    let ratio = average / target;
    let dampened_up = ratio > 1.0 && unready > 0.0;
    if missing == 0.0 && !dampened_up {
        return (!within(ratio)).then(|| replicas_for(ratio * pods));
    }
    // Divide before multiplying: a product with the number of pods may overflow an f64, a share of them can't.
    let (counted, others) = if ratio < 1.0 {
        (pods + missing, missing * (target.max(1.0) / target))
    } else {
        (pods + missing + unready, 0.0)
    };
    let dampened = ratio * (pods / counted) + others / counted;
    let flips = (ratio < 1.0) != (dampened < 1.0);
    if within(dampened) || flips {
        return None;
    }
    let wanted = replicas_for(dampened * counted);
    let against = (dampened < 1.0 && wanted > current) || (dampened > 1.0 && wanted < current);
    (!against).then_some(wanted)
}
