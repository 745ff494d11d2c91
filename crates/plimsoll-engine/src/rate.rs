//! Rate policies of autoscaling/v2: how far the replicas may move within a period.

use jiff::{SignedDuration, Timestamp};

use super::{changes::Changes, step::Step};
use plimsoll_api::{
    DecisionReason, MoveRules, PolicyType, RateLimit, ScalingPolicy, SelectPolicy, Validated,
    reason::{One, RatePolicy, RateRule},
};

/// Limits `step` by the policies of the direction in which it moves.
pub(super) fn limit(step: &mut Step, current: i32, changes: &Changes, spec: &Validated, now: Timestamp) {
    let (up, down) = (&spec.scale_up, &spec.scale_down);
    if step.replicas > current {
        let limit =
            bound(up, current, |policy| (ceiling(policy, start(changes, policy, current, now)), *policy));
        if let Some((limit, policy)) = limit {
            let limit = limit.max(current);
            step.at_most(limit, DecisionReason::ScaleUpRateLimited(rate_limit(limit, policy)));
        }
    } else if step.replicas < current {
        let limit =
            bound(down, current, |policy| (-floor(policy, start(changes, policy, current, now)), *policy));
        if let Some((limit, policy)) = limit {
            let limit = if policy.is_some() { (-limit).min(current) } else { current };
            step.at_least(limit, || DecisionReason::ScaleDownRateLimited(rate_limit(limit, policy)));
        }
    }
}

/// The policy that applies, with its limit; larger limits allow more. `None` means no limit at all.
fn bound(
    rules: &MoveRules,
    current: i32,
    limit: impl Fn(&ScalingPolicy) -> (i32, ScalingPolicy),
) -> Option<(i32, Option<ScalingPolicy>)> {
    let limits = rules.policies.iter().map(limit);
    match rules.select {
        SelectPolicy::Disabled => return Some((current, None)),
        SelectPolicy::Max => limits.max_by_key(|(limit, _)| *limit),
        SelectPolicy::Min => limits.min_by_key(|(limit, _)| *limit),
    }
    .map(|(limit, policy)| (limit, Some(policy)))
}

/// Replicas at the start of the policy's period: `current` minus the changes since then, at least 0.
fn start(changes: &Changes, policy: &ScalingPolicy, current: i32, now: Timestamp) -> i32 {
    let period = SignedDuration::from_secs(i64::from(policy.period_seconds));
    let since = changes.iter().filter(|change| now.duration_since(change.at) < period);
    let changed: i64 = since.map(|change| i64::from(change.to) - i64::from(change.from)).sum();
    i32::try_from((i64::from(current) - changed).max(0)).unwrap_or(i32::MAX)
}

fn ceiling(policy: &ScalingPolicy, start: i32) -> i32 {
    match policy.type_ {
        PolicyType::Pods => start.saturating_add(policy.value),
        // A percentage of 0 replicas would never leave zero.
        PolicyType::Percent => share(start.max(1), 100 + i64::from(policy.value), true),
    }
}

fn floor(policy: &ScalingPolicy, start: i32) -> i32 {
    match policy.type_ {
        PolicyType::Pods => start.saturating_sub(policy.value).max(0),
        PolicyType::Percent => share(start, (100 - i64::from(policy.value)).max(0), false),
    }
}

fn share(start: i32, percent: i64, up: bool) -> i32 {
    let hundredths = i64::from(start) * percent;
    let whole = if up {
        hundredths.div_euclid(100) + i64::from(hundredths.rem_euclid(100) > 0)
    } else {
        hundredths / 100
    };
    i32::try_from(whole).unwrap_or(i32::MAX)
}

fn rate_limit(limit: i32, policy: Option<ScalingPolicy>) -> RateLimit {
    let by = match policy {
        None => RateRule::Disabled { disabled: One },
        Some(ScalingPolicy { type_, value, period_seconds }) => RateRule::Policy(RatePolicy {
            policy_value: value,
            period_seconds,
            percent: type_ == PolicyType::Percent,
        }),
    };
    RateLimit { limit, by }
}
