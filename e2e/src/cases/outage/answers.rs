//! Prometheus answers badly, or not at all.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::{
    super::{Case, Theatre},
    film::{condition, number},
    scene::{AFTERMATH, LASTS, NAMESPACE, RECOVERY, SHOP, Scene, play},
    table::Row,
};
use crate::stage::FaultProxy;

/// A fault of the proxy, and what the status has to say of it.
struct Fault {
    name: &'static str,
    mode: fn() -> Value,
    /// States that the KPIs may have.
    states: &'static [&'static str],
    /// What a message must name.
    names: &'static str,
}

/// Within this time the status must say that something is wrong: the source's timeout of 5 s and a look.
const TOLD: Duration = Duration::from_secs(8);

macro_rules! outage {
    ($constant:ident, $name:literal, $must:literal, $mode:tt, [$($state:literal),+], $names:literal) => {
        /// The case.
        pub const $constant: Case = Case {
            name: concat!("outage-", $name),
            must: $must,
            run: |theatre| {
                let fault = Fault { name: $name, mode: || json!($mode), states: &[$($state),+], names: $names };
                endure(theatre, &fault)
            },
        };
    };
}

outage!(
    DOWN,
    "down",
    "Prometheus closes every connection: replicas hold, the status says that it can't be reached",
    {"mode": "down"},
    ["Error"],
    "can't be reached"
);
outage!(
    SLOW,
    "slow",
    "Prometheus answers after 30 s: replicas hold, the status names the timeout",
    {"mode": "slow", "delaySeconds": 30},
    ["Error"],
    "did not answer within 5 s"
);
outage!(
    STATUS_500,
    "500",
    "Prometheus answers 500: replicas hold, the status names the code and the text",
    {"mode": "status500"},
    ["Error"],
    "HTTP 500: injected"
);
outage!(
    GARBAGE,
    "garbage",
    "something answers that is no Prometheus: replicas hold, the status quotes it",
    {"mode": "garbage"},
    ["Error"],
    "<<< this is not JSON"
);
outage!(
    HUGE,
    "huge",
    "answers of 100 MiB: replicas hold, the status says that they are too large, the operator lives",
    {"mode": "huge"},
    ["Error"],
    "gave an answer of more than"
);
outage!(
    EMPTY,
    "empty",
    "every answer is empty, that about the time too: replicas hold, empty is not zero",
    {"mode": "empty"},
    ["Error", "Empty"],
    "without its own time"
);
outage!(
    NAN,
    "nan",
    "every number is NaN: replicas hold, the status says so",
    {"mode": "nan"},
    ["Error", "NaN"],
    "NaN"
);
outage!(
    HALF,
    "half",
    "every second series of every answer is missing: replicas hold, the status says that evidence is missing",
    {"mode": "half"},
    ["Stale", "Partial", "Error"],
    "none has a current sample"
);
outage!(
    PARTIAL,
    "partial",
    "Prometheus warns that answers may be incomplete: replicas hold, the status passes the warning on",
    {"mode": "partial"},
    ["Partial"],
    "some stores could not be reached"
);
outage!(
    STALE,
    "stale",
    "a cache answers with what was once true: replicas hold, the status says since when",
    {"mode": "stale"},
    ["Stale"],
    "as a cache would"
);

/// A proxy that is broken until this value is dropped.
pub struct Broken<'a>(&'a FaultProxy);

impl<'a> Broken<'a> {
    /// Breaks it.
    pub fn by(proxy: &'a FaultProxy, fault: &Value) -> Result<Self> {
        proxy.fault(fault)?;
        Ok(Self(proxy))
    }

    /// Mends it; returns when.
    pub fn heal(self) -> Result<Instant> {
        self.0.heal()?;
        Ok(Instant::now())
    }
}

impl Drop for Broken<'_> {
    fn drop(&mut self) {
        // After a failure: the next case shall not suffer from it.
        let _ = self.0.heal();
    }
}

fn endure(theatre: &Theatre, fault: &Fault) -> Result<String> {
    let restarts = restarts(theatre)?;
    let line = play(theatre, |scene| {
        let before = scene.replicas()?;
        let began = Instant::now();
        let broken = Broken::by(&theatre.prometheus, &(fault.mode)())?;
        let told = scene.ready_says("False", began, TOLD)?;
        sleep(LASTS.saturating_sub(began.elapsed()));
        let condition = still_told(scene)?;
        theatre.explain(NAMESPACE, SHOP, &["throughput"])?;
        let healed = broken.heal()?;
        let recovered = scene.ready_says("True", healed, RECOVERY)?;
        sleep(AFTERMATH);
        let row = Row {
            fault: fault.name.into(),
            states: scene.states(began),
            before,
            lowest: scene.lowest(&theatre.stage, began)?,
            condition,
            told: Some(told),
            recovered: Some(recovered),
        };
        scene.rows.push(row.clone());
        judge(scene, fault, &row, began)?;
        Ok(row.line())
    })?;
    let after = self::restarts(theatre)?;
    ensure!(after == restarts, "the operator's containers were restarted: {restarts} before, {after} after");
    Ok(line)
}

/// At its end the outage is still told, by both conditions. Returns the reason of Ready: later, while it heals, one KPI
/// may be well before the others.
fn still_told(scene: &Scene) -> Result<String> {
    let service = scene.service.last()?;
    for type_ in ["Ready", "MetricsAvailable"] {
        let said = condition(&service, type_);
        ensure!(said.status == "False", "{type_} is {} {} during the outage", said.status, said.reason);
    }
    Ok(condition(&service, "Ready").reason)
}

fn judge(scene: &Scene, fault: &Fault, row: &Row, began: Instant) -> Result<()> {
    ensure!(
        row.lowest >= row.before,
        "{} replicas fell to {}: {}",
        row.before,
        row.lowest,
        scene.decisions()
    );
    ensure!(row.condition == "MetricsUnavailable", "Ready says {}", row.condition);
    ensure!(
        row.states.iter().all(|state| fault.states.contains(&state.as_str())),
        "the KPIs are {:?}, not one of {:?}",
        row.states,
        fault.states
    );
    let complaints = scene.complaints(began);
    let named = complaints.iter().any(|said| said.message.contains(fault.names));
    let last = complaints.last().map(|said| said.message.clone()).unwrap_or_default();
    ensure!(named, "no message names {:?}; the last is: {last}", fault.names);
    Ok(())
}

/// Restarts of the operator's containers.
fn restarts(theatre: &Theatre) -> Result<i64> {
    let pods = super::operator::pods(&theatre.stage)?;
    Ok(pods.iter().map(|pod| pod.restarts).sum())
}

/// The case.
pub const SKEW: Case = Case {
    name: "outage-skew",
    must: "Prometheus' clock is 300 s behind, then ahead: decisions go on; only a clock that jumps back is told, for one look",
    run: |theatre| {
        play(theatre, |scene| {
            let (before, began) = (scene.replicas()?, Instant::now());
            let _healed_in_any_case = Broken(&theatre.prometheus);
            let more = scene.more_load(&theatre.stage, "0@3s,200@120s")?;
            let behind = skew(theatre, scene, -300)?;
            // It works on: more load is followed while the clock is wrong. 515 / 30 is 17.2; the way there may end at
            // 16, of which it lies within the tolerance, but not before the window is full of it.
            let full = |target: &Value| number(target, "/spec/replicas") >= 16;
            scene.target.wait("16 replicas for 515 requests/s", began, FOLLOWED, full)?;
            let followed = scene.replicas()?;
            theatre.explain(NAMESPACE, SHOP, &["throughput"])?;
            let ahead = skew(theatre, scene, 300)?;
            theatre.prometheus.heal()?;
            let healed = Instant::now();
            sleep(JUMP);
            let recovered = scene.ready_says("True", healed, RECOVERY)?;
            let back = scene.flaps(healed);
            let row = Row {
                fault: "clock -+300 s".into(),
                states: scene.states(began),
                before,
                lowest: scene.lowest(&theatre.stage, began)?,
                condition: scene.complaints(began).last().map_or("-".into(), |said| said.reason.clone()),
                told: None,
                recovered: Some(recovered),
            };
            scene.rows.push(row.clone());
            more.finish(true)?;
            ensure!(row.lowest >= before, "{before} replicas fell to {}: {}", row.lowest, scene.decisions());
            ensure!(
                behind <= 2 && ahead <= 2 && back <= 2,
                "Ready changed {behind}, {ahead} and {back} times"
            );
            Ok(format!(
                "Ready changed {behind} times at -300 s, {ahead} at +300 s, {back} at the return; {before} -> {followed} replicas meanwhile"
            ))
        })
    },
};

/// Time within which more load is followed: 3 s until it comes, the range of the query, and some looks.
const FOLLOWED: Duration = Duration::from_secs(30);

/// The time that a jump of the clock may be told.
const JUMP: Duration = Duration::from_secs(3);

/// Shifts the clock for a while. Returns how often Ready changed at the jump; later it must not.
fn skew(theatre: &Theatre, scene: &Scene, seconds: i32) -> Result<usize> {
    let began = Instant::now();
    theatre.prometheus.fault(&json!({"mode": "skew", "skewSeconds": seconds}))?;
    sleep(JUMP);
    let settled = Instant::now();
    let jumped = scene.flaps(began);
    scene.ready_says("True", settled, Duration::from_secs(1))?;
    sleep(LASTS.saturating_sub(began.elapsed()));
    let steady = scene.flaps(settled);
    ensure!(steady == 0, "Ready changed {steady} times while the clock was constantly wrong");
    Ok(jumped)
}
