//! One and a half times the load that the shop can serve; essential requests are not affected.

use super::documented;
use crate::{cases::prelude::*, stage::Stage};

/// Two replicas serve 4 requests at a time each, of 50 ms: 160 requests a second. The balancers queue the rest.
const SETUP: Setup = Setup {
    workers: 4,
    service_time: "50ms",
    traffic: "listeners: [{port: 80}]\nlimits: {connectionsPerReplica: 4, queueTimeout: 1s}\npriorities:\n- {match: {pathPrefix: /checkout}, criticality: CriticalPlus}\n- {match: {pathPrefix: /browse}, criticality: Sheddable}",
    ..Setup::of("traffic-priorities", 2)
};
/// Requests a second on kept and, as many, on fresh connections: together one and a half times the capacity.
const ESSENTIAL: u32 = 48;
const OPTIONAL: u32 = 72;
const SECONDS: u32 = 8;
/// Every essential request must be answered within the objective.
const FLAGS: [&str; 2] = ["--objective=500ms", "--timeout=10s"];

pub fn run(fixture: &Fixture) -> Result<String> {
    let front = Front::set(fixture, &SETUP, |_| Ok(()))?;
    let stage = front.test.stage;
    let mut kpis = 0;
    let (essential, optional) = overload(stage, &front.url, || {
        kpis = documented::run_queries(stage, SETUP.namespace)?;
        Ok(())
    })?;
    front.change(&json!({"priorities": []}), Duration::from_secs(15))?;
    let (without, _) = overload(stage, &front.url, || Ok(()))?;
    count("requests", essential.sent);
    count("lost", essential.lost());
    count("late or lost in the control", without.late);
    figure("essential, p99, ms", essential.p99_ms());
    figure("essential, slowest, ms", essential.slowest_ms());
    figure("essential in the control, p99, ms", without.p99_ms());
    for (kind, summary) in [("kept", &without.kept), ("fresh", &without.fresh)] {
        ensure!(summary.late > 0, "control: all {} on {kind} connections in time", summary.sent);
    }
    essential.none_lost("essential")?;
    ensure!(
        essential.late == 0,
        "{} essential requests late, slowest {:.0} ms",
        essential.late,
        essential.slowest_ms()
    );
    ensure!(optional.lost() > 0, "nothing was shed, so there was no overload");
    Ok(format!(
        "optional: {} of {} served; {kpis} documented KPIs of the balancers show the overload",
        optional.ok, optional.sent
    ))
}

/// Runs `under` two seconds before the end of the load.
fn overload(stage: &Stage, url: &str, under: impl FnOnce() -> Result<()>) -> Result<(Account, Account)> {
    let essential = Flow::start(stage, &format!("{url}/checkout"), ESSENTIAL, SECONDS, &FLAGS)?;
    let optional = Flow::start(stage, &format!("{url}/browse"), OPTIONAL, SECONDS, &FLAGS)?;
    sleep(Duration::from_secs(u64::from(SECONDS) - 2));
    under()?;
    Ok((essential.finish(false)?, optional.finish(false)?))
}
