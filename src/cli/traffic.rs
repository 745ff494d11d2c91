//! The load balancers of a service in a line, and the message of each balancer that is not in sync.

use std::collections::BTreeSet;

use super::{
    health::condition,
    style::{Paint, Style},
};
use plimsoll_api::{BalancerStatus, ConditionType, ScalableService, Traffic};

/// `Balancers: 2/2 in sync, 10 programmed, 0 draining, 0 held`, with `5 down` if replicas fail health checks; for a Gateway,
/// whether its rule is in sync; nothing for a service without either.
pub fn lines(service: &ScalableService, style: &Style) -> Vec<String> {
    if let Some(gateway) = service.spec.traffic.as_ref().and_then(|traffic| traffic.gateway.as_ref()) {
        let heading = style.paint(Paint::Strong, "Gateway:");
        let synced = condition(service, ConditionType::TrafficSynced);
        let in_sync = synced.is_some_and(|condition| condition.status == "True");
        let (route, rule) = (&gateway.http_route, &gateway.rule);
        let state = if in_sync { "in sync" } else { "not in sync" };
        return vec![format!("{heading} rule {rule} of HTTPRoute {route} is {state}")];
    }
    let Some(wanted) = service.spec.balanced() else { return Vec::new() };
    let heading = style.paint(Paint::Strong, "Balancers:");
    let status = service.status.as_ref().and_then(|status| status.traffic.as_ref());
    let balancers = status.map_or(&[][..], |traffic| &traffic.balancers);
    let generation = service.metadata.generation;
    let in_sync = |balancer: &&BalancerStatus| {
        balancer.in_sync && (generation.is_none() || balancer.observed_generation >= generation)
    };
    let synced = balancers.iter().filter(in_sync).count();
    // Every balancer should have all replicas, so the lowest count is the reliable one.
    let programmed = balancers.iter().map(|balancer| balancer.programmed).min().unwrap_or_default();
    let draining = status.map_or(0, |traffic| traffic.draining.len());
    let held = balancers.iter().map(|balancer| balancer.held).fold(0, i32::saturating_add);
    let down: BTreeSet<&String> = balancers.iter().flat_map(|balancer| &balancer.down).collect();
    let down = if down.is_empty() { String::new() } else { format!("{} down, ", down.len()) };
    // Without spec.traffic.replicas, another scaler sets the number: at least the balancers that reported.
    let reported = i32::try_from(balancers.len()).unwrap_or(i32::MAX);
    let all = wanted.replicas.unwrap_or_else(|| reported.max(Traffic::REPLICAS));
    let mut lines = vec![format!(
        "{heading} {synced}/{all} in sync, {programmed} programmed, {down}{draining} draining, {held} held"
    )];
    let late = balancers.iter().filter(|balancer| !in_sync(balancer));
    lines.extend(late.map(|balancer| {
        let why = balancer.message.as_deref().unwrap_or("is applying a change");
        style.paint(Paint::Warn, &format!("  {}: {why}", balancer.pod))
    }));
    lines
}
