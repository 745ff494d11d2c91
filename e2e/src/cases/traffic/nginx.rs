//! NGINX instead of HAProxy: replicas are added and removed under load, each time by a reload.

use crate::{cases::prelude::*, metrics::sample};

const SETUP: Setup = Setup { provider: "NGINX", more: CARELESS, ..Setup::of("traffic-nginx", 3) };
const RATE: u32 = 60;
/// Each step is more than a tenth, which would be within the tolerance.
const UP: [u32; 8] = [4, 5, 6, 7, 8, 9, 10, 12];
const DOWN: [u32; 2] = [7, 3];

pub fn run(fixture: &Fixture) -> Result<String> {
    let front = Front::set(fixture, &SETUP, |_| Ok(()))?;
    let stage = front.test.stage;
    // Each replica has ten requests in flight, so that some are certainly lost without draining.
    let slow = Setup { replicas: 8, workers: 50, service_time: "300ms", ..SETUP };
    let plain = control(&front.test, &slow)?;
    let before = reloads(&front)?;
    let flow = Flow::start(stage, &front.url, RATE, 60, &[])?;
    let beside = Flow::start(stage, &plain, RATE, 60, &[])?;
    let begun = SystemTime::now();
    for replicas in UP {
        change(&front, replicas)?;
    }
    front.wait_for(12, Duration::from_secs(20))?;
    front.test.kubectl(&format!("scale deployment {CONTROL} --replicas=4"))?;
    for replicas in DOWN {
        change(&front, replicas)?;
    }
    front.wait_for(3, Duration::from_secs(20))?;
    front.test.explain(SHOP, &["2/2 in sync"])?;
    sleep(Duration::from_millis(500));
    let (account, control) = (flow.finish(true)?, beside.finish(true)?);
    requests(account.fresh.sent, account.fresh.lost(), control.lost());
    count("lost on kept connections", account.kept.lost());
    control.some_lost("control, a plain Service scaled from 8 to 4")?;
    ensure!(account.fresh.lost() == 0, "ten changes: lost on fresh connections {}", account.why());
    ensure!(!front.drained(begun).is_empty(), "no pod was drained before the scale-down");
    let made = reloads(&front)? - before;
    ensure!(made >= 8.0, "two balancers were reloaded {made} times for ten changes of replicas");
    figure("reloads done", made);
    let changes = UP.len() + DOWN.len();
    let (kept, control) = (why(&account.kept), control.why());
    Ok(format!("{changes} changes of replicas; lost on kept connections: {kept}; control lost {control}"))
}

/// Asks for this many replicas, and waits until the Deployment's spec has them, ready or not.
fn change(front: &Front<'_>, replicas: u32) -> Result<()> {
    let asked = SystemTime::now();
    front.ask(replicas)?;
    front
        .target
        .wait(&format!("scaled to {replicas}"), Duration::from_secs(15), |seen| {
            seen.at >= asked && seen.wanted() == i64::from(replicas)
        })
        .map(drop)
}

fn reloads(front: &Front<'_>) -> Result<f64> {
    let of = |page: &String| sample(page, "plimsoll_balancer_reloads_total").context("no count of reloads");
    front.agents()?.iter().map(of).sum()
}
