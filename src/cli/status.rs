//! `kubectl plimsoll status`: a table of services, or one service in detail.

use jiff::Timestamp;

use super::{
    detail,
    health::health,
    read::Listed,
    style::{Paint, Style},
    table::{Cell, Table},
};
use plimsoll_api::ScalableService;

/// A table with a line for each service.
#[must_use]
pub fn render(services: &[Listed], now: Timestamp, style: &Style) -> String {
    let mut table = Table::new(&columns(style));
    for listed in services {
        table.push(row(listed, now, style));
    }
    table.lines(0, style).join("\n") + "\n"
}

/// One service in detail: its line, conditions, KPIs and last decisions.
#[must_use]
pub fn render_one(listed: &Listed, now: Timestamp, style: &Style) -> String {
    let mut text = render(std::slice::from_ref(listed), now, style);
    match listed {
        Listed::Service { service, left_out } => text += &detail::render(service, *left_out, now, style),
        Listed::Unreadable { why, .. } => {
            text += &format!("\nIt can't be read by this version of the plugin: {why}.\n");
        }
    }
    text
}

fn columns(style: &Style) -> Vec<&'static str> {
    let mut columns = vec!["NAME", "TARGET", "READY/DESIRED", "MIN-MAX", "KPI", "STATE", "AGE"];
    if style.all_namespaces {
        columns.insert(0, "NAMESPACE");
    }
    if style.wide {
        columns.extend(["MODE", "CRITICALITY", "WHY"]);
    }
    columns
}

fn row(listed: &Listed, now: Timestamp, style: &Style) -> Vec<Cell> {
    let (namespace, name) = listed.key();
    let mut row: Vec<Cell> = if style.all_namespaces { vec![namespace.into()] } else { Vec::new() };
    row.push(name.into());
    match listed {
        Listed::Service { service, .. } => row.extend(facts(service, listed.age(now), style)),
        Listed::Unreadable { .. } => {
            row.extend(["-", "-", "-", "-"].map(Cell::from));
            row.push(Cell("✖ unreadable".into(), Paint::Bad));
            row.push(listed.age(now).into());
        }
    }
    row
}

fn facts(service: &ScalableService, age: String, style: &Style) -> Vec<Cell> {
    let spec = &service.spec;
    let summary = service.status.as_ref().map(|status| status.summary.clone()).unwrap_or_default();
    let (health, reason) = health(service);
    let mut facts: Vec<Cell> = vec![
        format!("{}/{}", spec.scale_target_ref.kind.to_lowercase(), spec.scale_target_ref.name).into(),
        replicas(service).into(),
        format!("{}-{}", spec.min_replicas, spec.max_replicas).into(),
        or_dash(summary.kpi).into(),
        Cell(format!("{} {reason}", health.icon()), health.paint()),
        age.into(),
    ];
    if style.wide {
        let names = [format!("{:?}", spec.mode), format!("{:?}", spec.criticality), or_dash(summary.why)];
        facts.extend(names.map(Cell::from));
    }
    facts
}

/// Ready and desired replicas, with a dash for an unknown number.
fn replicas(service: &ScalableService) -> String {
    let status = service.status.as_ref();
    let text = |count: Option<i32>| count.map_or_else(|| "-".to_owned(), |count| count.to_string());
    let ready = status.and_then(|status| status.ready_replicas);
    let desired = status.and_then(|status| status.desired_replicas.or(status.replicas));
    format!("{}/{}", text(ready), text(desired))
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}
