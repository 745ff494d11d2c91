//! The failover state of a service: the shares of its backends and the readiness of its standbys.

use jiff::Timestamp;

use super::{
    age::age,
    style::{Paint, Style},
};
use plimsoll_api::{FAILOVER_TO_ANNOTATION, FREEZE_ANNOTATION, PRIMARY, ScalableService, StandbyStatus};

/// `Failover: Standby for 3m, primary 0%, standby 100%`, and a line for each standby; nothing for a service without
/// standbys.
pub fn lines(service: &ScalableService, now: Timestamp, style: &Style) -> Vec<String> {
    let Some(failover) = &service.spec.failover else { return Vec::new() };
    let heading = style.paint(Paint::Strong, "Failover:");
    let Some(status) = service.status.as_ref().and_then(|status| status.failover.as_ref()) else {
        return vec![format!("{heading} not evaluated yet")];
    };
    let state: &'static str = status.state.into();
    let shares: Vec<String> = std::iter::once(format!("{PRIMARY} {}%", status.away().rest()))
        .chain(status.backends.iter().map(|standby| format!("{} {}%", standby.name, standby.weight)))
        .collect();
    let since = age(&status.since, now);
    let mut lines = vec![format!("{heading} {state} for {since}, {}", shares.join(", "))];
    lines.extend(status.backends.iter().map(|standby| line(standby, style)));
    if let Some(first) = status.switches.first() {
        let (count, most) = (status.switches.len(), failover.max_switches_per_hour);
        lines
            .push(format!("  {count} of {most} switches within the hour, the first {} ago", age(first, now)));
    }
    let annotation = |name: &str| service.metadata.annotations.as_ref()?.get(name);
    if let Some(why) = annotation(FREEZE_ANNOTATION) {
        lines.push(style.paint(Paint::Warn, &format!("  frozen by annotation: {why}")));
    }
    if let Some(to) = annotation(FAILOVER_TO_ANNOTATION) {
        lines.push(style.paint(Paint::Warn, &format!("  manual override: {to}")));
    }
    lines
}

fn line(standby: &StandbyStatus, style: &Style) -> String {
    let at = match standby.addresses.as_slice() {
        [] => String::new(),
        addresses => format!(" ({})", addresses.join(", ")),
    };
    let requested = match standby.replicas {
        0 => String::new(),
        1 => ", 1 replica requested".to_owned(),
        count => format!(", {count} replicas requested"),
    };
    let name = &standby.name;
    match &standby.message {
        Some(why) => style.paint(Paint::Warn, &format!("  {name}{at}: {why}{requested}")),
        None => format!("  {name}{at}: ready{requested}"),
    }
}
