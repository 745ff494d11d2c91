//! Simultaneous rollouts of the shop and of its balancers.

use crate::cases::prelude::*;

const SETUP: Setup = Setup::of("traffic-rollout", 4);
const RATE: u32 = 60;

pub fn run(fixture: &Fixture) -> Result<String> {
    let front = Front::set(fixture, &SETUP, |_| Ok(()))?;
    let stage = front.test.stage;
    let plain = control(&front.test, &Setup { more: CARELESS, ..SETUP })?;
    let flow = Flow::start(stage, &front.url, RATE, 60, &[])?;
    let beside = Flow::start(stage, &plain, RATE, 60, &[])?;
    sleep(Duration::from_secs(1));
    let begun = SystemTime::now();
    let deployments = [SHOP, CONTROL, "shop-lb"];
    for deployment in deployments {
        front.test.kubectl(&format!("rollout restart deployment/{deployment}"))?;
    }
    let mut took = Vec::new();
    for deployment in deployments {
        front.test.rolled_out(deployment, Duration::from_secs(45))?;
        took.push(seconds(begun, SystemTime::now()));
    }
    gone(&front)?;
    let all = seconds(begun, SystemTime::now());
    sleep(Duration::from_secs(1));
    let (account, control) = (flow.finish(true)?, beside.finish(true)?);
    control.some_lost("control, a plain Service with a shop that does not drain")?;
    account.none_lost("rollouts of shop and balancers")?;
    requests(account.sent, account.lost(), control.lost());
    figure("until the old pods were deleted, s", all);
    Ok(format!("rolled out within {took:.0?} s (shop, control, balancers); control lost {}", control.why()))
}

/// Waits until the old balancers have terminated: their requests must not be lost either.
fn gone(front: &Front<'_>) -> Result<()> {
    let (test, pods) = (&front.test, format!("pods --selector=plimsoll.dev/balancer={SHOP}"));
    wait_for("the end of the old balancers", Duration::from_secs(40), || {
        Ok(test.stage.cluster.list(test.namespace, &pods)?.len() == 2)
    })
}
