//! The agent's own metrics.

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use crate::{balancer::nginx::Counters, telemetry::open_metrics};
use plimsoll_api::{BalancerStatus, Percent, Software};

const APPLIED: &str =
    "Time from a watch event that changes endpoints until the change was read back from the balancer";
const SYNCS: &str = "Synchronizations of the balancer by result";
const RELOADS: &str = "Reloads of the balancer";
const REPAIRS: &str =
    "Differences from the wanted state that were repaired and that no change of the wanted state explains";
const REPORTS: &str = "Writes of the balancer's entry in status by result";
const PROGRAMMED: &str = "Replicas that receive requests";
const DRAINED: &str = "Pods awaiting removal that have no request left at this balancer";
const HELD: &str = "Requests that wait while no replica is ready";
const SHARE: &str = "Share of the requests by standby of spec.failover; the rest goes to the service itself";
const ANSWERING: &str = "1 if the standby answered the last health check";
const CONNECTIONS: &str =
    "Open connections of NGINX, including those of its agent and of its supervisor's health checks";
const ACCEPTED: &str =
    "Connections accepted by NGINX, including those of its agent and of its supervisor's health checks";
const REQUESTS: &str =
    "Requests received by NGINX, including those of its agent and of its supervisor's health checks";
const LEAVING: &str = "Workers of earlier NGINX configurations that still have requests to finish";
const SATURATION: &str = "Utilization of the balancer: the largest of connections and requests (each of its limit) and CPU time over 30 s";
const IN_SYNC: &str = "1 if the running configuration was read back and is the wanted one";

/// Every metric of one agent.
#[derive(Debug)]
pub struct AgentMetrics {
    registry: Registry,
    applied: Histogram,
    syncs: Family<ResultLabels, Counter>,
    reloads: Counter,
    repairs: Counter,
    reports: Family<ResultLabels, Counter>,
    programmed: Gauge,
    drained: Gauge,
    held: Gauge,
    in_sync: Gauge,
    saturation: Gauge<f64, AtomicU64>,
    shares: Family<StandbyLabels, Gauge<f64, AtomicU64>>,
    answering: Family<StandbyLabels, Gauge>,
    connections: Gauge,
    accepted: Counter,
    requests: Counter,
    leaving: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StandbyLabels {
    standby: String,
}

impl AgentMetrics {
    /// The metrics of an agent that drives `software`; for NGINX, also those that HAProxy exposes itself.
    #[must_use]
    pub fn of(software: Software) -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            applied: Histogram::new([
                0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 10.0,
            ]),
            syncs: Family::default(),
            reloads: Counter::default(),
            repairs: Counter::default(),
            reports: Family::default(),
            programmed: Gauge::default(),
            drained: Gauge::default(),
            held: Gauge::default(),
            in_sync: Gauge::default(),
            saturation: Gauge::default(),
            shares: Family::default(),
            answering: Family::default(),
            connections: Gauge::default(),
            accepted: Counter::default(),
            requests: Counter::default(),
            leaving: Gauge::default(),
        };
        let registry = &mut metrics.registry;
        registry.register_with_unit(
            "plimsoll_balancer_endpoint_applied",
            APPLIED,
            Unit::Seconds,
            metrics.applied.clone(),
        );
        registry.register("plimsoll_balancer_syncs", SYNCS, metrics.syncs.clone());
        registry.register("plimsoll_balancer_reloads", RELOADS, metrics.reloads.clone());
        registry.register("plimsoll_balancer_drift_repairs", REPAIRS, metrics.repairs.clone());
        registry.register("plimsoll_balancer_status_writes", REPORTS, metrics.reports.clone());
        registry.register("plimsoll_balancer_programmed", PROGRAMMED, metrics.programmed.clone());
        registry.register("plimsoll_balancer_drained", DRAINED, metrics.drained.clone());
        registry.register("plimsoll_balancer_held", HELD, metrics.held.clone());
        registry.register("plimsoll_balancer_in_sync", IN_SYNC, metrics.in_sync.clone());
        registry.register("plimsoll_balancer_saturation_ratio", SATURATION, metrics.saturation.clone());
        registry.register("plimsoll_balancer_standby_share_ratio", SHARE, metrics.shares.clone());
        registry.register("plimsoll_balancer_standby_answering", ANSWERING, metrics.answering.clone());
        if software == Software::NGINX {
            // HAProxy exposes better ones itself.
            let nginx = registry.sub_registry_with_prefix("plimsoll_balancer_nginx");
            nginx.register("connections", CONNECTIONS, metrics.connections.clone());
            nginx.register("accepted", ACCEPTED, metrics.accepted.clone());
            nginx.register("requests", REQUESTS, metrics.requests.clone());
            nginx.register("leaving_workers", LEAVING, metrics.leaving.clone());
        }
        metrics
    }

    /// A change was applied and read back.
    pub fn applied(&self, after: Duration) {
        self.applied.observe(after.as_secs_f64());
    }

    /// A synchronization ended with `ok`, `difference`, or the label of its error.
    pub fn synced(&self, result: &'static str) {
        self.syncs.get_or_create_owned(&ResultLabels { result }).inc();
    }

    /// The balancer was reloaded.
    pub fn reloaded(&self) {
        self.reloads.inc();
    }

    /// Differences from the wanted state were repaired.
    pub fn repaired(&self, differences: usize) {
        self.repairs.inc_by(differences as u64);
    }

    /// A write of the entry in status ended with this result.
    pub fn reported(&self, result: &'static str) {
        self.reports.get_or_create_owned(&ResultLabels { result }).inc();
    }

    /// Sets the gauges of the balancer's status.
    pub fn observe(&self, status: &BalancerStatus) {
        self.programmed.set(status.programmed.into());
        self.drained.set(i64::try_from(status.drained.len()).unwrap_or(i64::MAX));
        self.held.set(status.held.into());
        self.in_sync.set(status.in_sync.into());
    }

    /// Sets the utilization of the balancer.
    pub fn saturated(&self, percent: Percent) {
        self.saturation.set(percent.ratio());
    }

    /// Sets the shares of all standbys.
    pub fn shares(&self, shares: impl Iterator<Item = (String, Percent)>) {
        self.shares.clear();
        for (standby, share) in shares {
            self.shares.get_or_create_owned(&StandbyLabels { standby }).set(share.ratio());
        }
    }

    /// Sets whether each probed standby answers.
    pub fn answering(&self, answers: impl Iterator<Item = (String, bool)>) {
        self.answering.clear();
        for (standby, answers) in answers {
            self.answering.get_or_create_owned(&StandbyLabels { standby }).set(answers.into());
        }
    }

    /// Sets the counters of NGINX since its start.
    pub fn counted(&self, counters: &Counters) {
        let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.connections.set(gauge(counters.active));
        self.leaving.set(gauge(counters.leaving));
        self.accepted.inner().store(counters.accepted, Ordering::Relaxed);
        self.requests.inner().store(counters.requests, Ordering::Relaxed);
    }

    /// Everything as OpenMetrics text.
    #[must_use]
    pub fn encode(&self) -> String {
        open_metrics(&self.registry)
    }
}

/// The documentation of every metric, as Markdown.
#[must_use]
pub fn table() -> String {
    let mut text = "\n## Of the agent beside each balancer\n\n\
         On port 9102 of a balancer's pod; HAProxy's own metrics are on port 9101. Those with `nginx` in their names exist only \
         with provider NGINX.\n\n\
         | name | type | labels | unit | meaning |\n|---|---|---|---|---|\n"
        .to_owned();
    for (name, kind, labels, unit, help) in [
        ("endpoint_applied_seconds", "histogram", "", "seconds", APPLIED),
        ("syncs_total", "counter", "`result`", "synchronizations", SYNCS),
        ("reloads_total", "counter", "", "reloads", RELOADS),
        ("drift_repairs_total", "counter", "", "differences", REPAIRS),
        ("status_writes_total", "counter", "`result`", "writes", REPORTS),
        ("programmed", "gauge", "", "replicas", PROGRAMMED),
        ("drained", "gauge", "", "pods", DRAINED),
        ("held", "gauge", "", "requests", HELD),
        ("in_sync", "gauge", "", "", IN_SYNC),
        ("saturation_ratio", "gauge", "", "ratio", SATURATION),
        ("standby_share_ratio", "gauge", "`standby`", "ratio", SHARE),
        ("standby_answering", "gauge", "`standby`", "", ANSWERING),
        ("nginx_connections", "gauge", "", "connections", CONNECTIONS),
        ("nginx_accepted_total", "counter", "", "connections", ACCEPTED),
        ("nginx_requests_total", "counter", "", "requests", REQUESTS),
        ("nginx_leaving_workers", "gauge", "", "processes", LEAVING),
    ] {
        // Writing into a String can't fail.
        let _ = writeln!(text, "| `plimsoll_balancer_{name}` | {kind} | {labels} | {unit} | {help}. |");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_metrics_are_the_exposed_ones() {
        let metrics = AgentMetrics::of(Software::NGINX);
        metrics.counted(&Counters { active: 2, accepted: 7, requests: 9, leaving: 1, ..Counters::default() });
        metrics.synced("ok");
        metrics.reported("ok");
        metrics.applied(Duration::from_millis(12));
        metrics.repaired(2);
        metrics.shares([("east".to_owned(), Percent::clamped(30))].into_iter());
        metrics.answering([("east".to_owned(), true)].into_iter());
        let text = metrics.encode();
        let documented = table();
        let mut exposed: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next()).collect();
        exposed.sort_unstable();
        let mut named: Vec<&str> = documented
            .lines()
            .filter_map(|line| line.strip_prefix("| `plimsoll")?.split('`').next())
            .map(|name| name.trim_end_matches("_total"))
            .collect();
        named.sort_unstable();
        let exposed: Vec<&str> = exposed.iter().map(|name| name.trim_start_matches("plimsoll")).collect();
        assert_eq!(exposed, named);
        assert!(text.contains("plimsoll_balancer_drift_repairs_total 2"), "{text}");
        assert!(text.contains("plimsoll_balancer_standby_answering{standby=\"east\"} 1"), "{text}");
        assert!(text.contains("plimsoll_balancer_nginx_requests_total 9"), "{text}");
        assert!(!AgentMetrics::of(Software::HAProxy).encode().contains("nginx"));
    }
}
