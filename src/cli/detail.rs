//! One service in detail: conditions, KPIs and the last decisions.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{
    age::age,
    failover,
    health::{Health, judged},
    recovery,
    style::{Paint, Style},
    table::{Cell, Table},
    traffic,
};
use crate::explain;
use plimsoll_api::{DecisionRecord, KpiState, KpiStatus, KpiType, ScalableService, text::number};

/// The blocks below the service's line.
pub fn render(service: &ScalableService, left_out: usize, now: Timestamp, style: &Style) -> String {
    let mut lines = notes(service, left_out);
    for block in [
        traffic::lines(service, style),
        failover::lines(service, now, style),
        recovery::lines(service, now, style),
    ] {
        if !block.is_empty() {
            lines.push(String::new());
            lines.extend(block);
        }
    }
    if let Some(status) = &service.status {
        block(&mut lines, conditions(&status.conditions, now), style);
        block(&mut lines, kpis(&status.kpis, now), style);
        block(&mut lines, decisions(&status.decisions, now), style);
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// Caveats about the rest of the output.
pub fn notes(service: &ScalableService, left_out: usize) -> Vec<String> {
    let mut notes = Vec::new();
    if service.metadata.deletion_timestamp.is_some() {
        notes.push("It is being deleted.".to_owned());
    }
    let observed = service.status.as_ref().and_then(|status| status.observed_generation);
    if let (Some(now), Some(then)) = (service.metadata.generation, observed)
        && then < now
    {
        notes.push(format!("The status is for generation {then}; the spec is at generation {now}."));
    }
    if service.status.is_none() {
        notes.push(NO_STATUS.to_owned());
    }
    if left_out > 0 {
        let what = if left_out == 1 {
            "1 part of the status is".to_owned()
        } else {
            format!("{left_out} parts of the status are")
        };
        notes.push(format!("{what} unknown to this version of the plugin and left out."));
    }
    if !notes.is_empty() {
        notes.insert(0, String::new());
    }
    notes
}

/// The note for a service without a status.
pub const NO_STATUS: &str = "The operator has not written a status yet. If there is none after a minute, check that the \
                             operator runs: kubectl get pods -A -l app.kubernetes.io/name=plimsoll";

fn block(lines: &mut Vec<String>, table: Option<Table>, style: &Style) {
    if let Some(table) = table {
        lines.push(String::new());
        lines.extend(table.lines(0, style));
    }
}

fn conditions(conditions: &[Condition], now: Timestamp) -> Option<Table> {
    let mut table = Table::new(&["CONDITION", "STATUS", "SINCE", "REASON", "MESSAGE"]);
    for condition in conditions {
        let paint = judged(condition).map_or(Paint::Plain, Health::paint);
        table.push(vec![
            condition.type_.as_str().into(),
            Cell(condition.status.clone(), paint),
            age(&condition.last_transition_time, now).into(),
            condition.reason.as_str().into(),
            condition.message.as_str().into(),
        ]);
    }
    (!conditions.is_empty()).then_some(table)
}

fn kpis(kpis: &[KpiStatus], now: Timestamp) -> Option<Table> {
    let mut table =
        Table::new(&["KPI", "VALUE", "TARGET", "USED", "ASKS FOR", "STATE", "SAMPLED", "MESSAGE"]);
    for kpi in kpis {
        let state: &'static str = kpi.state.into();
        let fresh = kpi.state == KpiState::Fresh;
        table.push(vec![
            kpi.name.as_str().into(),
            finite(kpi.value).map_or_else(|| "-".to_owned(), number).into(),
            target(kpi).into(),
            used(kpi),
            kpi.proposal.map_or_else(|| "-".to_owned(), |count| count.to_string()).into(),
            Cell(state.to_owned(), if fresh { Paint::Good } else { Paint::Warn }),
            kpi.sample_time
                .as_ref()
                .map_or_else(|| "-".to_owned(), |time| format!("{} ago", age(time, now)))
                .into(),
            kpi.message.clone().unwrap_or_default().into(),
        ]);
    }
    (!kpis.is_empty()).then_some(table)
}

fn target(kpi: &KpiStatus) -> String {
    let target = number(kpi.target);
    match kpi.type_ {
        KpiType::Load => format!("{target} per replica"),
        KpiType::Utilization => target,
        KpiType::Objective => format!("at most {target}"),
    }
}

fn used(kpi: &KpiStatus) -> Cell {
    match finite(kpi.used) {
        None => "-".into(),
        Some(share) => {
            let paint = if share > 1.0 { Paint::Warn } else { Paint::Plain };
            // With load but no replica, the share is unbounded.
            let text = if share < 10.0 { format!("{:.0}%", share * 100.0) } else { ">999%".to_owned() };
            Cell(text, paint)
        }
    }
}

fn finite(value: Option<f64>) -> Option<f64> {
    value.filter(|value| value.is_finite())
}

fn decisions(records: &[DecisionRecord], now: Timestamp) -> Option<Table> {
    let mut table = Table::new(&["DECIDED", "REPLICAS", "WHY"]);
    for record in records {
        let replicas = if record.from == record.to {
            format!("{} stay", record.to)
        } else {
            format!("{} → {}", record.from, record.to)
        };
        let steps = explain::aged(&record.reasons, 0.0);
        let why = explain::binding(&steps, None)
            .map_or_else(|| "not recorded".to_owned(), |bound| explain::because(bound, &steps));
        table.push(vec![format!("{} ago", age(&record.time, now)).into(), replicas.into(), why.into()]);
    }
    (!records.is_empty()).then_some(table)
}
