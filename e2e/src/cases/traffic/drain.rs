//! Half of the replicas are removed while each has 1 s requests in flight; the shop exits on SIGTERM without draining.

use crate::cases::prelude::*;

const SETUP: Setup =
    Setup { workers: 50, service_time: "1s", more: CARELESS, ..Setup::of("traffic-drain", 8) };
/// Requests a second on kept and on fresh connections; as many are in flight, since each takes a second.
const RATE: u32 = 30;

pub fn run(fixture: &Fixture) -> Result<String> {
    let front = Front::set(fixture, &SETUP, |_| Ok(()))?;
    spread(&front)?;
    let stage = front.test.stage;
    let plain = control(&front.test, &SETUP)?;
    let flow = Flow::start(stage, &front.url, RATE, 60, &[])?;
    let beside = Flow::start(stage, &plain, RATE, 60, &[])?;
    sleep(Duration::from_secs(3));
    let asked = SystemTime::now();
    front.ask(4)?;
    front.test.kubectl(&format!("scale deployment {CONTROL} --replicas=4"))?;
    let (begun, chosen) = front.draining(asked, Duration::from_secs(10))?;
    let scaled_down = front.target.wait("scaled to 4", Duration::from_secs(20), |seen| seen.wanted() == 4)?;
    front.wait_for(4, Duration::from_secs(20))?;
    sleep(Duration::from_secs(2));
    let (account, control) = (flow.finish(true)?, beside.finish(true)?);
    requests(account.sent, account.lost(), control.lost());
    control.some_lost("control, scaled down without draining")?;
    account.none_lost("8 -> 4")?;
    ensure!(chosen.len() == 4, "{} pods were drained, not 4: {chosen:?}", chosen.len());
    let remaining = front.test.kubectl("get pods --selector=app=shop --output=name")?;
    let kept = chosen.iter().find(|victim| remaining.contains(victim.as_str()));
    ensure!(kept.is_none(), "{kept:?} was drained but not deleted, so another was deleted undrained");
    figure("asked until drained, s", seconds(asked, begun));
    figure("drained until scaled down, s", seconds(begun, scaled_down.at));
    Ok(format!("8 -> 4; control lost {}", control.why()))
}
