//! Half of the replicas go while each has requests of a second in flight, and end at once when they are told to.

use crate::cases::prelude::*;

const SETUP: Setup =
    Setup { workers: 50, service_time: "1s", more: CARELESS, ..Setup::of("traffic-drain", 8) };
/// Requests a second on kept and on fresh connections; as many are in flight, since each takes a second.
const RATE: u32 = 30;

pub fn run(fixture: &Fixture) -> Result<String> {
    let front = Front::set(fixture, &SETUP, |_| Ok(()))?;
    spread(&front)?;
    let stage = front.test_namespace.stage;
    let plain = control(&front.test_namespace, &SETUP)?;
    let flow = Flow::start(stage, &front.url, RATE, 60, &[])?;
    let beside = Flow::start(stage, &plain, RATE, 60, &[])?;
    sleep(Duration::from_secs(3));
    let asked = SystemTime::now();
    front.ask(4)?;
    front.test_namespace.kubectl(&format!("scale deployment {CONTROL} --replicas=4"))?;
    let (begun, chosen) = front.draining(asked, Duration::from_secs(10))?;
    let lowered =
        front.target.wait("lowered to 4", Duration::from_secs(20), |snapshot| snapshot.wanted() == 4)?;
    front.wait_for(4, Duration::from_secs(20))?;
    sleep(Duration::from_secs(2));
    let (account, control) = (flow.finish(true)?, beside.finish(true)?);
    requests(account.sent, account.lost(), control.lost());
    control.some_lost("control, lowered at once")?;
    account.none_lost("8 -> 4")?;
    ensure!(chosen.len() == 4, "{} pods were drained, not 4: {chosen:?}", chosen.len());
    let left = front.test_namespace.kubectl("get pods --selector=app=shop --output=name")?;
    let kept = chosen.iter().find(|victim| left.contains(victim.as_str()));
    ensure!(kept.is_none(), "{kept:?} was drained but stays, so another went undrained");
    figure("asked until drained, s", seconds(asked, begun));
    figure("drained until lowered, s", seconds(begun, lowered.at));
    Ok(format!("8 -> 4; control lost {}", control.why()))
}
