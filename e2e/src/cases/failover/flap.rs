//! A primary that is ready for ten seconds and not ready for ten.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use super::{spare, state, switches, weight};
use crate::cases::{
    Theatre,
    pods::fault,
    repeat::{count, requests},
    scene::{Scene, Sight},
    traffic::{
        flow::Flow,
        front::{CONTROL, Front, SHOP, Setup, control},
    },
};

const SETUP: Setup = Setup {
    more_spec: r#"failover:
  backends: [{name: spare, service: {namespace: flap-spare, name: spare, port: 8080}}]
  return: {for: 1s, ramp: [100]}"#,
    ..Setup::of("failover-flap", 4)
};
/// Half of a period of the flapping.
const HALF: Duration = Duration::from_secs(10);
/// Periods: two are needed for the three switches that are allowed.
const FEW: u32 = 3;
/// Periods of ten minutes.
const MANY: u32 = 30;
/// Requests a second on kept and on fresh connections.
const RATE: u32 = 20;

pub fn run(theatre: &Theatre) -> Result<String> {
    flap(theatre, FEW)
}

pub fn ten_minutes(theatre: &Theatre) -> Result<String> {
    flap(theatre, MANY)
}

fn flap(theatre: &Theatre, periods: u32) -> Result<String> {
    let other = Scene::open(theatre, "flap-spare")?;
    let front = Front::set(theatre, &SETUP, |_| Ok(()))?;
    spare(&other, front.scene.namespace)?;
    let ready = |sight: &Sight| sight.condition("FailoverReady").starts_with("True");
    front.service.wait("with a standby that is ready", Duration::from_secs(20), ready)?;
    let plain = control(&front.scene, &Setup { replicas: 1, ..SETUP })?;
    let longest = (periods + 2) * 20;
    let flow = Flow::start(front.scene.stage, &front.url, RATE, longest, &[])?;
    let beside = Flow::start(front.scene.stage, &plain, RATE / 4, longest, &[])?;
    let both = |switches: &str| -> Result<()> {
        fault(&front.scene, SHOP, switches)?;
        fault(&front.scene, CONTROL, switches).map(drop)
    };
    let mut held = None;
    for period in 0..periods {
        let begun = Instant::now();
        both(r#"{"unready": true}"#)?;
        sleep(HALF.saturating_sub(begun.elapsed()));
        let begun = Instant::now();
        both("{}")?;
        sleep(HALF.saturating_sub(begun.elapsed()));
        let last = front.service.last();
        if held.is_none() && last.is_some_and(|sight| state(&sight) == "Held") {
            held = Some(period + 1);
        }
    }
    let sights = front.service.all();
    let most = sights.iter().map(switches).max().unwrap_or_default();
    ensure!(most == 3, "there were {most} switches, where three are allowed and two periods make them");
    let held = held.ok_or_else(|| anyhow::anyhow!("it was never held"))?;
    let last = sights.last().map(|sight| (weight(sight), state(sight).to_owned()));
    ensure!(last == Some((100, "Held".to_owned())), "it ended as {last:?}, not held on the standby");
    front.scene.explain(SHOP, &["SwitchLimit", "3 of 3 switches"])?;
    let events = front.scene.kubectl(&["get", "events", "--output=jsonpath={.items[*].reason}"])?;
    ensure!(events.contains("SwitchLimit"), "no event says that it is held: {events}");
    let (account, without) = (flow.finish(true)?, beside.finish(true)?);
    requests(account.sent(), account.lost(), without.lost());
    account.none_lost("it flapped, though every replica still served")?;
    without.some_lost("control, a plain Service that flaps beside it")?;
    count("switches", most);
    Ok(format!(
        "{periods} times not ready for {} s: 3 switches, held on the standby in period {held}, with the event; none of {} \
         requests lost; control, a plain Service, lost {} of {}",
        HALF.as_secs(),
        account.sent(),
        without.lost(),
        without.sent()
    ))
}
