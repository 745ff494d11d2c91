//! `kubectl plimsoll explain NAME`: the reason for the number of replicas, and what would change it.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{
    age::{age, elapsed},
    detail, failover,
    health::{Health, condition, judged},
    read::Listed,
    recovery,
    style::{Paint, Style},
    traffic,
};
use crate::explain::{self, Bound};
use plimsoll_api::{
    ConditionCode, ConditionType, DecisionCode, DecisionReason, DecisionRecord, DecisionStep, KpiState,
    KpiStatus, Mode, ReasonCode, Role, ScalableService, ScalableServiceStatus, text,
};

/// The answer, then the steps, what bound them, what would change it, and the conditions that need attention.
#[must_use]
pub fn render(listed: &Listed, now: Timestamp, style: &Style) -> String {
    let lines = match listed {
        Listed::Service { service, left_out } => explain(service, *left_out, now, style),
        Listed::Unreadable { name, why, .. } => {
            vec![format!("{name} can't be read by this version of the plugin: {why}.")]
        }
    };
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn explain(service: &ScalableService, left_out: usize, now: Timestamp, style: &Style) -> Vec<String> {
    let name = service.metadata.name.as_deref().unwrap_or("it");
    let Some(status) = &service.status else {
        let first = format!("{name} is not scaled because there is no decision yet.");
        let mut lines = vec![style.paint(Paint::Strong, &first)];
        lines.extend(detail::notes(service, left_out));
        return lines;
    };
    let record = status.decisions.first();
    let steps = steps(service, record, now);
    let unready = unready(service);
    let bound = explain::binding(&steps, unready);
    let mut lines = vec![style.paint(Paint::Strong, &answer(name, service, status, bound, &steps))];
    lines.extend(only_up(service, status, bound));
    lines.extend(detail::notes(service, left_out));
    if let Some(record) = record {
        lines.push(String::new());
        lines.extend(shown(record, now, style));
    }
    lines.extend(seen_now(status, now, style));
    lines.extend(traffic::lines(service, style));
    lines.extend(failover::lines(service, now, style));
    lines.extend(recovery::lines(service, now, style));
    lines.push(String::new());
    if let Some(bound) = bound {
        let name = bound.subject().map_or_else(String::new, |name| format!(" ({name})"));
        lines.push(format!("{} {}{name}", style.paint(Paint::Strong, "Bound by:"), bound.code().name()));
    }
    let change = explain::what_would_change(&steps, unready);
    lines.push(format!("{} {change}", style.paint(Paint::Strong, "What would change it:")));
    lines.extend(concerns(status, now, style));
    lines
}

/// The steps of the newest decision, aged to `now`, with a pause or a failure to scale that came later.
fn steps(service: &ScalableService, record: Option<&DecisionRecord>, now: Timestamp) -> Vec<DecisionStep> {
    let mut steps = record.map_or_else(Vec::new, |record| {
        #[expect(clippy::cast_precision_loss, reason = "seconds since a decision are far below 2^53")]
        let passed = elapsed(&record.time, now) as f64;
        explain::aged(&record.reasons, passed)
    });
    let replicas = service.status.as_ref().and_then(|status| status.replicas).unwrap_or_default();
    let mut add = |reason: DecisionReason| {
        steps.retain(|step| step.code() != reason.code());
        steps.push(reason.step(replicas, replicas));
    };
    if service.spec.mode == Mode::Paused
        && !record.is_some_and(|record| record.reasons.iter().any(|step| step.code == DecisionCode::Paused))
    {
        add(DecisionReason::Paused);
    }
    let ready = condition(service, ConditionType::Ready).filter(|ready| ready.status != "True");
    if let Some(ready) = ready.filter(|ready| named(ready) == Some(DecisionCode::ScaleFailed.into())) {
        add(DecisionReason::ScaleFailed { why: ready.message.clone() });
    }
    steps
}

/// Why the service is not Ready, if the reason is a condition's and not a step of a decision.
fn unready(service: &ScalableService) -> Option<(ConditionCode, &str)> {
    let ready = condition(service, ConditionType::Ready).filter(|ready| ready.status != "True")?;
    match named(ready)? {
        ReasonCode::Condition(code) => Some((code, &ready.message)),
        _ => None,
    }
}

fn named(condition: &Condition) -> Option<ReasonCode> {
    ReasonCode::named(&condition.reason)
}

/// `checkout has 12 replicas (11 ready) because …`.
fn answer(
    name: &str,
    service: &ScalableService,
    status: &ScalableServiceStatus,
    bound: Option<Bound<'_>>,
    steps: &[DecisionStep],
) -> String {
    let has = match (status.replicas, status.ready_replicas) {
        // The surge of a rollout, or replicas that a scale-down is removing.
        (Some(count), Some(ready)) if ready > count => {
            let surplus = ready - count;
            format!("{name} has {} ({ready} ready, {surplus} of them surplus)", text::replicas(count))
        }
        (Some(count), Some(ready)) => format!("{name} has {} ({ready} ready)", text::replicas(count)),
        (Some(count), None) => format!("{name} has {}", text::replicas(count)),
        (None, _) => name.to_owned(),
    };
    let Some(bound) = bound else {
        return format!("{has}: there is no decision yet.");
    };
    let because = explain::because(bound, steps);
    let other =
        status.desired_replicas.filter(|desired| status.replicas.is_some_and(|count| count != *desired));
    match (bound.trouble(), service.spec.mode, other) {
        (Some(trouble), ..) => {
            let and = if status.replicas.is_some() { "and " } else { "" };
            format!("{has} {and}is not scaled: {}.", trouble.trim_end_matches('.'))
        }
        (_, Mode::Paused, _) if status.replicas.is_some() => {
            format!("{has} and is held there because {because}.")
        }
        (_, Mode::Paused, _) => format!("{has} is not scaled because {because}."),
        (_, _, None) if status.replicas.is_none() => format!("{has} is not scaled because {because}."),
        (_, Mode::Observe, Some(desired)) => {
            format!("{has}; Plimsoll only observes (spec.mode) and would set {desired} because {because}.")
        }
        (_, Mode::Observe, None) => {
            format!("{has}; Plimsoll only observes (spec.mode) and would keep them because {because}.")
        }
        (_, Mode::Auto, Some(desired)) => format!("{has} and scales to {desired} because {because}."),
        (_, Mode::Auto, None) => format!("{has} because {because}."),
    }
}

/// The answer names a single KPI; this adds that other KPIs have no fresh sample and block a scale-down.
fn only_up(
    service: &ScalableService,
    status: &ScalableServiceStatus,
    bound: Option<Bound<'_>>,
) -> Option<String> {
    let metrics = condition(service, ConditionType::MetricsAvailable)?;
    let asked = bound.is_some_and(Bound::is_proposal);
    if !asked || named(metrics) != Some(ConditionCode::MetricsIncomplete.into()) {
        return None;
    }
    let kpis = status.kpis.iter().filter(|kpi| kpi.state != KpiState::Fresh);
    let names: Vec<&str> = kpis.map(|kpi| kpi.name.as_str()).collect();
    Some(format!("Nothing is scaled down until there are fresh samples of {}.", names.join(", ")))
}

/// The last observed KPIs, which may be newer than the decision.
fn seen_now(status: &ScalableServiceStatus, now: Timestamp, style: &Style) -> Option<String> {
    let one = |kpi: &KpiStatus| {
        let value =
            kpi.value.filter(|value| value.is_finite()).map_or_else(|| "no value".to_owned(), text::number);
        let when =
            kpi.sample_time.as_ref().map_or_else(String::new, |time| format!(", {} ago", age(time, now)));
        let state: &'static str = kpi.state.into();
        format!("{} {value} ({state}{when})", kpi.name)
    };
    let kpis: Vec<String> = status.kpis.iter().map(one).collect();
    let heading = style.paint(Paint::Strong, "Last seen:");
    (!kpis.is_empty()).then(|| format!("{heading} {}", kpis.join("; ")))
}

fn shown(record: &DecisionRecord, now: Timestamp, style: &Style) -> Vec<String> {
    let ago = age(&record.time, now);
    let mut lines = vec![style.paint(Paint::Strong, &format!("Decided {ago} ago, step by step:"))];
    let steps = explain::aged(&record.reasons, 0.0);
    // An Objective that keeps replicas appears twice, as a proposal and as a limit; only the limit is shown.
    let repeated = |index: usize, step: &DecisionStep| {
        steps.iter().skip(index + 1).any(|later| explain::same(step, later))
    };
    let unique = steps.iter().enumerate().filter(|(index, step)| !repeated(*index, step));
    let shown: Vec<&DecisionStep> = unique.map(|(_, step)| step).collect();
    let width = shown.len().to_string().len();
    lines.extend(shown.iter().enumerate().map(|(index, step)| {
        let arrow = match step.code().role() {
            Role::Proposal | Role::Limit => format!(" → {}", step.to),
            Role::Note | Role::End | Role::Trouble => String::new(),
        };
        format!("  {:>width$}. {step}{}", index + 1, style.paint(Paint::Good, &arrow))
    }));
    lines
}

/// The conditions that need attention, and Reconciling while replicas start. Conditions with the same reason and message
/// share a line.
fn concerns(status: &ScalableServiceStatus, now: Timestamp, style: &Style) -> Vec<String> {
    let mut groups: Vec<(&Condition, Health, Vec<String>)> = Vec::new();
    for condition in &status.conditions {
        let Some(health) = concern(condition) else { continue };
        let text = format!("{} is {}", condition.type_, condition.status);
        let same = |(first, ..): &&mut (&Condition, Health, Vec<String>)| {
            first.reason == condition.reason && first.message == condition.message
        };
        match groups.iter_mut().find(same) {
            Some((.., texts)) => texts.push(text),
            None => groups.push((condition, health, vec![text])),
        }
    }
    let mut lines = Vec::new();
    if !groups.is_empty() {
        lines.extend([String::new(), style.paint(Paint::Strong, "Conditions to note:")]);
    }
    lines.extend(groups.into_iter().map(|(first, health, texts)| {
        let icon = if health == Health::Held { "…" } else { health.icon() };
        let since = age(&first.last_transition_time, now);
        let text = format!("{icon} {} for {since} ({}): {}", texts.join(", "), first.reason, first.message);
        format!("  {}", style.paint(health.paint(), text.trim_end_matches(": ")))
    }));
    lines
}

/// The severity of a condition that needs attention; `Held` for Reconciling, which is only informational.
fn concern(condition: &Condition) -> Option<Health> {
    match judged(condition) {
        Some(Health::Good) => None,
        None if condition.type_ == <&'static str>::from(ConditionType::Reconciling)
            && condition.status == "True" =>
        {
            Some(Health::Held)
        }
        judged => judged,
    }
}
