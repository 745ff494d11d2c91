//! That requests move to a standby when the primary fails, and come back; that they stay where they are otherwise.

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
        must: "a primary that degrades: its standby is scaled up first, and gets what it can take; Prometheus out: no \
               return; then all pods die: on the standby within 2 s of the evidence, nothing lost after it; so also while somebody else \
               scales the primary, or when it is deleted",
        lane: Lane::Quiet,
        run: standby::run,
    },
    Case {
        name: "failover-flap",
        must: "a primary that flaps every 20 s: each stay at the standby is twice as long, so four failures are three switches",
        lane: Lane::Quiet,
        run: flap::run,
    },
    Case {
        name: "failover-tls",
        must: "a standby over TLS gets requests, and none once it no longer proves who it is, which FailoverReady tells",
        lane: Lane::Busy,
        run: tls::run,
    },
];

/// The same for as long as a user may have it: the cases `long-*`, which run only by their names.
pub const LONG: &[Case] = &[
    Case {
        name: "long-flap",
        must: "a primary that flaps every 20 s for 10 min: each stay at the standby is twice as long, at most 8 switches",
        lane: Lane::Quiet,
        run: flap::ten_minutes,
    },
    Case {
        name: "long-blind",
        must: "Prometheus out for 5 min: no switch and no return, whatever the service does",
        lane: Lane::Quiet,
        run: blind::run,
    },
];

const SPARE: &str = "spare";

/// A standby in a namespace of its own, with one replica that has nothing to do, and up to ten. It may be the standby of
/// the shop in `primary`, whose dial is as good as any to be told that there is no load.
fn spare(test_namespace: &TestNamespace<'_>, primary: &str) -> Result<WatchLog> {
    stand_by(test_namespace, primary, 1, "")?;
    test_namespace.wait_ready(SPARE, Duration::from_secs(20))?;
    test_namespace.follow("deployment", SPARE)
}

/// The same with so many replicas at least, and more of the spec on a line of its own; not waited for.
fn stand_by(test_namespace: &TestNamespace<'_>, primary: &str, replicas: u32, more: &str) -> Result<()> {
    let namespace = test_namespace.namespace;
    // What has waited for the switch comes all at once, and a shop that turns some of it away would look like a loss.
    let flags = &["--drain-delay=3s", "--queue-limit=2000"];
    Shop { more: flags, ..Shop::of(namespace, SPARE, replicas) }.deploy(test_namespace.stage)?;
    let query = Dial::query(primary);
    let spec = format!(
        "kpis: [{{name: idle, type: Load, query: '0 * {query}', perReplica: \"10\"}}]\n\
         behavior: {{scaleDown: {{stabilizationWindowSeconds: 0}}}}\n\
         standbyFor: [{{namespace: {primary}, name: shop}}]\n{more}"
    );
    let target = "{kind: Deployment, name: spare}";
    test_namespace.apply(&scalable_service((namespace, SPARE), target, replicas..=10, &spec))
}

fn standby_ready(service: &WatchLog) -> Result<()> {
    let ready = |snapshot: &Snapshot| snapshot.is("FailoverReady");
    service.wait("with a standby that is ready", Duration::from_secs(20), ready).map(drop)
}

fn weight(snapshot: &Snapshot) -> i64 {
    snapshot.number("/status/failover/backends/0/weight")
}

fn state(snapshot: &Snapshot) -> &str {
    snapshot.text("/status/failover/state")
}

fn switches(snapshot: &Snapshot) -> usize {
    snapshot.list("/status/failover/switches").len()
}
