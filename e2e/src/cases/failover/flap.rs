//! A primary that alternates between ten seconds ready and ten seconds not ready.

use super::{spare, standby_ready, switches};
use crate::cases::prelude::*;

const SETUP: Setup = Setup {
    more_spec: r#"failover:
  backends: [{name: spare, service: {namespace: flap-spare, name: spare, port: 8080}}]
  return: {for: 6s, ramp: [100]}"#,
    ..Setup::of("failover-flap", 4)
};
const HALF: Duration = Duration::from_secs(10);
/// Periods, and the most switches in them: the stays at the standby are at least 6 s, 12 s and 24 s, and the last one is
/// longer than a period.
const FEW: (u32, usize) = (4, 3);
/// The same for ten minutes: after seven stays the next one lasts 384 s.
const MANY: (u32, usize) = (30, 8);
const RATE: u32 = 20;

pub fn run(fixture: &Fixture) -> Result<String> {
    flap(fixture, FEW)
}

pub fn ten_minutes(fixture: &Fixture) -> Result<String> {
    flap(fixture, MANY)
}

fn flap(fixture: &Fixture, (periods, allowed): (u32, usize)) -> Result<String> {
    let other = TestNamespace::open(fixture, "flap-spare")?;
    let front = Front::set(fixture, &SETUP, |_| Ok(()))?;
    spare(&other, front.test.namespace)?;
    standby_ready(&front.service)?;
    let plain = control(&front.test, &Setup { replicas: 1, ..SETUP })?;
    let longest = (periods + 2) * 20;
    let flow = Flow::start(front.test.stage, &front.url, RATE, longest, &[])?;
    let beside = Flow::start(front.test.stage, &plain, RATE / 4, longest, &[])?;
    let both = |switches: &str| -> Result<()> {
        fault(&front.test, SHOP, switches)?;
        fault(&front.test, CONTROL, switches).map(drop)
    };
    for _ in 0..periods {
        let begun = Instant::now();
        both(r#"{"unready": true}"#)?;
        sleep(HALF.saturating_sub(begun.elapsed()));
        let begun = Instant::now();
        both("{}")?;
        sleep(HALF.saturating_sub(begun.elapsed()));
    }
    let snapshots = front.service.all();
    let most = snapshots.iter().map(switches).max().unwrap_or_default();
    ensure!((1..=allowed).contains(&most), "{most} switches in {periods} periods, not 1 to {allowed}");
    front.test.explain(SHOP, &["of 3 switches"])?;
    let (account, without) = (flow.finish(true)?, beside.finish(true)?);
    requests(account.sent, account.lost(), without.lost());
    account.none_lost("it flapped, though every replica still served")?;
    without.some_lost("control, a plain Service that flaps in the same way")?;
    count("switches", most);
    Ok(format!("{periods} times not ready for {HALF:?}"))
}
