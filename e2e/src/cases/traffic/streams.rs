//! Answers that take minutes, through a scale-down with a configuration change in the middle: HAProxy's new processes do not
//! know the streams of the old ones.

use crate::{
    cases::prelude::*,
    stage::{Stream, Streams},
};
use std::collections::BTreeSet;

const SETUP: Setup = Setup {
    more: CARELESS,
    traffic: "listeners: [{port: 80}]\ndrain: {timeout: 15s}",
    ..Setup::of("traffic-streams", 8)
};
const STREAMS: usize = 200;
const NEW: usize = 40;
const TIMEOUT: f64 = 15.0;
const SECONDS: u64 = 120;
/// Time from the write of the status until both balancers have applied it.
const APPLIED: Duration = Duration::from_millis(500);

pub fn run(fixture: &Fixture) -> Result<String> {
    let front = Front::set(fixture, &SETUP, |_| Ok(()))?;
    let plain = control(&front.test, &SETUP)?;
    let beside = Streams::open(&plain, STREAMS / 4, SECONDS)?;
    let old = Streams::open(&front.url, STREAMS, SECONDS)?;
    old.wait(Duration::from_secs(10))?;

    let asked = SystemTime::now();
    front.ask(4)?;
    front.test.kubectl(&format!("scale deployment {CONTROL} --replicas=4"))?;
    let (begun, victims) = front.draining(asked, Duration::from_secs(10))?;
    sleep(APPLIED);
    let new = Streams::open(&front.url, NEW, SECONDS)?;
    new.wait(Duration::from_secs(5))?;
    front.change(&json!({"algorithm": "RoundRobin"}), Duration::from_secs(10))?;
    let cut = old.all().iter().filter(|stream| stream.ended.is_some()).count();
    ensure!(cut == 0, "{cut} streams were cut by the configuration change");
    let reloaded = front.starts()?.into_iter().reduce(f64::min).context("no balancer")?;
    front.wait_for(4, Duration::from_secs(25))?;
    sleep(Duration::from_secs(1));

    let on_victim = |stream: &Stream| stream.pod.as_ref().is_some_and(|pod| victims.contains(pod));
    let (gone, stayed): (Vec<_>, Vec<_>) = old.all().into_iter().partition(on_victim);
    let ended = |streams: &[Stream]| {
        let mut ended: Vec<_> = streams.iter().filter_map(|stream| stream.ended).map(|(at, _)| at).collect();
        ended.sort();
        ended
    };
    // HAProxy's old processes exit after the same time, even with open streams.
    let early = |at: &SystemTime| unix(*at) - reloaded < TIMEOUT - 1.0;
    let cut = ended(&stayed).iter().filter(|at| early(at)).count();
    ensure!(cut == 0, "{cut} streams of remaining replicas were cut too early");
    let misled: BTreeSet<_> =
        new.all().into_iter().filter(on_victim).filter_map(|stream| stream.pod).collect();
    ensure!(misled.is_empty(), "new streams began on draining replicas: {misled:?}");
    let cut = ended(&gone).first().map(|first| seconds(begun, *first));
    ensure!(!gone.is_empty() && cut.is_some(), "no stream was on a removed replica, so nothing is proven");
    let cut = cut.unwrap_or_default();
    ensure!(cut >= TIMEOUT - 1.0, "a stream was cut {cut:.1} s after the drain began, before its timeout");
    let lost = ended(&beside.all()).len();
    ensure!(lost > 0, "control: no stream was cut by a scale-down without draining");
    count("streams on remaining replicas, none cut", stayed.len());
    count("streams on removed replicas", gone.len());
    figure("first of those cut after, s", cut);
    count("streams cut in the control", lost);
    Ok(format!("{STREAMS} streams; {NEW} new ones, none on a draining replica"))
}
