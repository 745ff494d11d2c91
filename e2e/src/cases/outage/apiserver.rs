//! The API server is killed.

use super::state::{LASTS, NAMESPACE, RECOVERY, play};
use crate::{
    cases::{broken::Broken, prelude::*},
    stage::OPERATOR_NAMESPACE,
};

/// Within 8 s the load rises by 105 requests a second: 21 replicas.
const RISE: &str = "0..105@8s,105@90s";
/// Fewest replicas for 210 requests a second, within the tolerance.
const RISEN: i64 = 19;
/// Duration of the lease (15 s), a follower's retry period (2 s) and some slack.
const TAKE_OVER: Duration = Duration::from_secs(20);

pub const API_SERVER: Case = Case {
    name: "outage-apiserver",
    must: "API server killed while the load doubles: replicas stay, and follow the load once it is back",
    lane: Lane::Alone,
    run: |fixture| {
        play(fixture, |outage| {
            let (stage, cluster) = (&fixture.stage, &fixture.stage.cluster);
            outage.limit(stage, 24)?;
            let (before, began) = (outage.replicas()?, SystemTime::now());
            let lease = WatchLog::of(cluster, OPERATOR_NAMESPACE, "lease", "plimsoll")?;
            let killed = Broken::api_server(cluster)?;
            let more = outage.more_load(stage, RISE)?;
            sleep(LASTS);
            let renewed = lease.last()?.text("/spec/renewTime").to_owned();
            let back = SystemTime::now();
            killed.heal()?;
            let led = lease.wait_since("renewed by a leader", back, TAKE_OVER, |lease| {
                lease.text("/spec/renewTime") != renewed
            })?;
            let risen = |target: &Snapshot| target.wanted() >= RISEN;
            let should = format!("at {RISEN} replicas");
            let followed = outage.target.wait_since(&should, back, Duration::from_secs(30), risen)?;
            outage.ready_says("True", back, RECOVERY)?;
            fixture.explain(NAMESPACE, SHOP, &["throughput"])?;
            sleep(Duration::from_secs(3));
            let reported = outage.service.last()?.says("Ready");
            let (_, line) = outage.outcome(stage, (before, began), &reported, followed)?;
            let replicas: Vec<_> = outage.target.since(began).iter().map(|seen| seen.wanted()).collect();
            ensure!(replicas.is_sorted(), "the load only rose, but the replicas fell: {replicas:?}");
            more.finish(true)?;
            Ok(format!("{line}; lease renewed {led:.1} s after the restart"))
        })
    },
};
