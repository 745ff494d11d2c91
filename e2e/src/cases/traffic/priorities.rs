//! Half as much again as the shop can serve; what is essential does not notice.

use anyhow::{Result, ensure};

use std::time::Duration;

use super::{
    flow::why,
    front::{Front, Setup},
};
use crate::{
    cases::{
        Theatre,
        repeat::{count, figure, requests},
    },
    stage::{Load, Stage, Summary},
};

/// Two replicas serve 4 requests at a time each, of 50 ms: 160 requests a second. The balancers hold the rest.
const SETUP: Setup = Setup {
    workers: 4,
    service_time: "50ms",
    traffic: "listeners: [{port: 80}]\nlimits: {connectionsPerReplica: 4, queueTimeout: 1s}\npriorities:\n- {match: {pathPrefix: /checkout}, criticality: CriticalPlus}\n- {match: {pathPrefix: /browse}, criticality: Sheddable}",
    ..Setup::of("traffic-priorities", 2)
};
/// Requests a second of both kinds, for 8 s: one and a half times what can be served.
const ESSENTIAL: &str = "96@8s";
const OPTIONAL: &str = "144@8s";
/// Within which every essential request must be answered.
const OBJECTIVE: &str = "--objective=500ms";

pub fn run(theatre: &Theatre) -> Result<String> {
    let front = Front::set(theatre, &SETUP, |_| Ok(()))?;
    let stage = front.scene.stage;
    let (essential, optional) = overload(stage, &front.url)?;
    front.change(&serde_json::json!({"priorities": []}), Duration::from_secs(15))?;
    let (without, _) = overload(stage, &front.url)?;
    requests(essential.sent, essential.lost(), without.lost());
    count("late or lost in the control", without.late);
    figure("essential, p99, ms", essential.p99.unwrap_or_default() * 1e3);
    figure("essential, slowest, ms", essential.max.unwrap_or_default() * 1e3);
    figure("essential in the control, p99, ms", without.p99.unwrap_or_default() * 1e3);
    ensure!(without.late > 0, "control, without priorities: all {} in time", without.sent);
    ensure!(
        essential.lost() == 0 && essential.late == 0,
        "essential: {} of {} lost ({}), {} late, the slowest {:.2} s",
        essential.lost(),
        essential.sent,
        why(&essential),
        essential.late,
        essential.max.unwrap_or_default()
    );
    ensure!(optional.ok < optional.sent, "nothing was shed, so there was no overload");
    Ok(format!(
        "essential: {} of {} within 500 ms, p99 {:.0} ms, max {:.0} ms; optional: {} of {} served; control without \
         priorities: {} of {} essential ones late or lost, p99 {:.0} ms",
        essential.sent - essential.late,
        essential.sent,
        essential.p99.unwrap_or_default() * 1e3,
        essential.max.unwrap_or_default() * 1e3,
        optional.ok,
        optional.sent,
        without.late,
        without.sent,
        without.p99.unwrap_or_default() * 1e3
    ))
}

fn overload(stage: &Stage, url: &str) -> Result<(Summary, Summary)> {
    let flags = [OBJECTIVE, "--timeout=10s", "--requests-per-connection=1"];
    let essential = Load::start(stage, &format!("{url}/checkout"), ESSENTIAL, &flags)?;
    let optional = Load::start(stage, &format!("{url}/browse"), OPTIONAL, &flags)?;
    Ok((essential.finish(false)?, optional.finish(false)?))
}
