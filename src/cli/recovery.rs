//! The ejected and returned replicas, a line for each.

use jiff::Timestamp;

use super::{
    age::{age, elapsed},
    style::{Paint, Style},
};
use plimsoll_api::{ScalableService, text::seconds};

/// Replicas with a line of their own; the others are only counted.
const SHOWN_MAX: usize = 10;

/// `Ejected: 1 of 10 replicas`, and each replica with its times; nothing for a service without spec.recovery.
pub fn lines(service: &ScalableService, now: Timestamp, style: &Style) -> Vec<String> {
    if service.spec.recovery.is_none() {
        return Vec::new();
    }
    let heading = style.paint(Paint::Strong, "Ejected:");
    let status = service.status.as_ref();
    let recovery = status.and_then(|status| status.recovery.clone()).unwrap_or_default();
    let of = status
        .and_then(|status| status.replicas)
        .map_or_else(String::new, |replicas| format!(" of {replicas} replicas"));
    let mut lines = vec![format!("{heading} {}{of}", recovery.ejected.len())];
    let out = recovery.ejected.iter().map(|out| {
        let text = match &out.evicted {
            Some(at) => format!("  {}: evicted {} ago", out.pod, age(at, now)),
            None => {
                #[expect(clippy::cast_precision_loss, reason = "a hold is at most two hours")]
                let left = seconds(-elapsed(&out.until, now) as f64);
                format!("  {}: ejected for {}, returns in at most {left}", out.pod, age(&out.since, now))
            }
        };
        style.paint(Paint::Warn, &text)
    });
    let back = recovery.returned.iter().map(|back| {
        let times = if back.ejections == 1 { "once".to_owned() } else { format!("{} times", back.ejections) };
        format!("  {}: returned {} ago, ejected {times}", back.pod, age(&back.since, now))
    });
    let all: Vec<String> = out.chain(back).collect();
    let more = all.len().saturating_sub(SHOWN_MAX);
    lines.extend(all.into_iter().take(SHOWN_MAX));
    if more > 0 {
        lines.push(format!("  and {more} more"));
    }
    lines
}
