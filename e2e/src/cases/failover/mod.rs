//! Requests move to a standby when the primary fails, and return after it has recovered; otherwise they do not move.

mod blind;
mod flap;
mod refused;
mod standby;
mod tls;

use super::prelude::*;
use crate::stage::{Shop, scalable_service};

pub const CASES: &[Case] = &[
    Case {
        name: "failover-standby",
        must: "primary degrades: the standby is scaled up first and gets only what it can serve; Prometheus down: no return; \
               all pods die: all requests at the standby within 2 s of the evidence, none lost after it; the same while an \
               HPA conflicts over the primary, and after the primary is deleted",
        lane: Lane::Quiet,
        run: standby::run,
    },
    Case {
        name: "failover-flap",
        must: "primary flaps every 20 s: each stay at the standby is twice as long, so four failures are three switches",
        lane: Lane::Quiet,
        run: flap::run,
    },
    Case {
        name: "failover-tls",
        must: "a standby over TLS gets requests, and none once its certificate is not trusted, which FailoverReady reports",
        lane: Lane::Busy,
        run: tls::run,
    },
];

/// Realistic durations: the cases `long-*`, which run only by name.
pub const LONG: &[Case] = &[
    Case {
        name: "long-flap",
        must: "primary flaps every 20 s for 10 min: each stay at the standby is twice as long, at most 8 switches",
        lane: Lane::Quiet,
        run: flap::ten_minutes,
    },
    Case {
        name: "long-blind",
        must: "Prometheus down for 5 min: no switch and no return, whatever the service does",
        lane: Lane::Quiet,
        run: blind::run,
    },
];

const SPARE: &str = "spare";

/// Deploys a standby in a namespace of its own, with one idle replica and up to ten. It allows the shop in `primary` to use
/// it; its own load is 0, by a query of that namespace's dial.
fn spare(test: &TestNamespace<'_>, primary: &str) -> Result<WatchLog> {
    stand_by(test, primary, 1, "")?;
    test.wait_ready(SPARE, Duration::from_secs(20))?;
    test.follow("deployment", SPARE)
}

/// As [`spare`], with this minimum of replicas and further lines of the spec; does not wait.
fn stand_by(test: &TestNamespace<'_>, primary: &str, replicas: u32, more: &str) -> Result<()> {
    let namespace = test.namespace;
    // All held requests arrive at the same time after the switch; a shop that refuses some would look like a loss.
    let flags = &["--drain-delay=3s", "--queue-limit=2000"];
    Shop { more: flags, ..Shop::of(namespace, SPARE, replicas) }.deploy(test.stage)?;
    let query = Dial::query(primary);
    let spec = format!(
        "kpis: [{{name: idle, type: Load, query: '0 * {query}', perReplica: \"10\"}}]\n\
         behavior: {{scaleDown: {{stabilizationWindowSeconds: 0}}}}\n\
         standbyFor: [{{namespace: {primary}, name: shop}}]\n{more}"
    );
    let target = "{kind: Deployment, name: spare}";
    test.apply(&scalable_service((namespace, SPARE), target, replicas..=10, &spec))
}

fn standby_ready(service: &WatchLog) -> Result<()> {
    let ready = |seen: &Snapshot| seen.is("FailoverReady");
    service.wait("with a standby that is ready", Duration::from_secs(20), ready).map(drop)
}

fn weight(seen: &Snapshot) -> i64 {
    seen.number("/status/failover/backends/0/weight")
}

fn state(seen: &Snapshot) -> &str {
    seen.text("/status/failover/state")
}

fn switches(seen: &Snapshot) -> usize {
    seen.list("/status/failover/switches").len()
}
