//! The operator's own processes die, or the API server that they write to.

use std::{
    fs,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;

use super::{
    super::{Case, Theatre, away::Away},
    film::{Film, condition, number, text},
    scene::{LASTS, NAMESPACE, RECOVERY, SHOP, Scene, play},
    table::Row,
};
use crate::{
    process::{arguments_of, process_ids, signal_process, wait_for},
    stage::{OPERATOR_NAMESPACE, Stage},
};

/// 315 requests a second more within 8 s: 21 replicas.
const RISE: &str = "0..315@8s,315@90s";
/// Replicas for 630 requests a second, within the tolerance.
const RISEN: i64 = 19;
/// Length of the lease (15 s), a follower's pause (2 s) and some time to ask.
const TAKE_OVER: Duration = Duration::from_secs(20);
/// A released lease is taken at a follower's next look, 2 s later at the most.
const HAND_OVER: Duration = Duration::from_secs(4);

/// The case.
pub const API_SERVER: Case = Case {
    name: "outage-apiserver",
    must: "the API server is killed while the load doubles: replicas hold, and follow once it is back",
    run: |theatre| {
        play(theatre, |scene| {
            let (before, began) = (scene.replicas()?, Instant::now());
            let lease = Film::start(&theatre.stage, OPERATOR_NAMESPACE, "lease", "plimsoll")?;
            let killed = Away::of(&theatre.stage.cluster)?;
            let more = scene.more_load(&theatre.stage, RISE)?;
            sleep(LASTS);
            let renewed = text(&lease.last()?, "/spec/renewTime");
            let back = Instant::now();
            killed.end()?;
            let led =
                lease.wait("a leader", back, TAKE_OVER, |lease| text(lease, "/spec/renewTime") != renewed)?;
            let followed = follows(scene, back, Duration::from_secs(30))?;
            scene.ready_says("True", back, RECOVERY)?;
            theatre.explain(NAMESPACE, SHOP, &["throughput"])?;
            let row = rising(theatre, scene, "API server", (before, began), followed)?;
            more.finish(true)?;
            Ok(format!("{}; a leader {:.1} s after its start", row.line(), led.as_secs_f64()))
        })
    },
};

/// The case.
pub const CONTROLLER_KILL: Case = Case {
    name: "outage-controller-kill",
    must: "both operators are killed in the middle of a rise: no scale-down on the first look, then the right replicas",
    run: |theatre| {
        let stage = &theatre.stage;
        fresh_operators(stage)?;
        play(theatre, |scene| {
            let (before, began) = (scene.replicas()?, Instant::now());
            let processes = processes(stage)?;
            ensure!(processes.len() == 2, "{} operators run, not 2", processes.len());
            let more = scene.more_load(stage, RISE)?;
            scene.target.wait("the first raise", began, Duration::from_secs(20), |target| {
                number(target, "/spec/replicas") > before
            })?;
            // Right after the scale was written: the status that tells of it was not written yet.
            processes.iter().for_each(|(_, pid)| signal_process(*pid, Signal::KILL));
            let killed = Instant::now();
            let followed = follows(scene, killed, Duration::from_secs(45))?;
            theatre.explain(NAMESPACE, SHOP, &["throughput"])?;
            let row = rising(theatre, scene, "operators killed", (before, began), followed)?;
            more.finish(true)?;
            Ok(row.line())
        })
    },
};

/// The case.
pub const LEADER_KILL: Case = Case {
    name: "outage-leader-kill",
    must: "the leading operator is killed: the other leads within the lease's 15 s and a look, and lowers nothing",
    run: |theatre| {
        change_of_leader(theatre, "leader killed", TAKE_OVER, |stage, leader| {
            let processes = processes(stage)?;
            let (_, pid) =
                processes.iter().find(|(pod, _)| pod == leader).context("the leader has no process")?;
            signal_process(*pid, Signal::KILL);
            Ok(())
        })
    },
};

/// The case.
pub const LEADER_TERM: Case = Case {
    name: "outage-leader-term",
    must: "the leading operator is drained: it hands over within seconds, and nothing is lowered",
    run: |theatre| {
        change_of_leader(theatre, "leader drained", HAND_OVER, |stage, leader| {
            let arguments = ["--namespace", OPERATOR_NAMESPACE, "delete", "pod", leader, "--wait=false"];
            stage.cluster.kubectl(&arguments).map(drop)
        })
    },
};

fn change_of_leader(
    theatre: &Theatre,
    fault: &str,
    within: Duration,
    remove: impl FnOnce(&Stage, &str) -> Result<()>,
) -> Result<String> {
    let stage = &theatre.stage;
    wait_for("two ready operators", Duration::from_secs(60), || {
        Ok(pods(stage)?.iter().filter(|pod| pod.ready).count() == 2)
    })?;
    play(theatre, |scene| {
        let lease = Film::start(stage, OPERATOR_NAMESPACE, "lease", "plimsoll")?;
        let holder = text(&lease.last()?, "/spec/holderIdentity");
        let leader = stage.leader()?;
        let (before, began) = (scene.replicas()?, Instant::now());
        remove(stage, &leader)?;
        let gone = Instant::now();
        let taken = lease.wait("another holder", gone, within, |lease| {
            let now = text(lease, "/spec/holderIdentity");
            !now.is_empty() && now != holder
        })?;
        // The first looks of the new leader are where a wrong scale-down would come.
        sleep(Duration::from_secs(3));
        let lowest = scene.lowest(stage, began)?;
        let said = condition(&scene.service.last()?, "Ready").reason;
        theatre.explain(NAMESPACE, SHOP, &["throughput"])?;
        let acts = acts(stage, scene)?;
        scene.rows.push(Row {
            fault: fault.into(),
            before,
            lowest,
            condition: said,
            recovered: Some(taken),
            ..Row::default()
        });
        ensure!(lowest >= before, "{before} replicas fell to {lowest}: {}", scene.decisions());
        let flaps = scene.flaps(began);
        ensure!(flaps == 0, "Ready changed {flaps} times");
        Ok(format!(
            "taken over after {:.1} s, replicas {before} -> at least {lowest}, acts on a change {:.1} s after it",
            taken.as_secs_f64(),
            acts.as_secs_f64()
        ))
    })
}

/// Proves that somebody leads: a higher floor is carried out. Undoes it.
fn acts(stage: &Stage, scene: &Scene) -> Result<Duration> {
    let floor = |replicas: u8| {
        let patch = format!(r#"{{"spec":{{"minReplicas":{replicas}}}}}"#);
        let arguments =
            ["--namespace", NAMESPACE, "patch", "scalableservice", SHOP, "--type=merge", "--patch", &patch];
        stage.cluster.kubectl(&arguments).map(drop)
    };
    let from = Instant::now();
    floor(15)?;
    let raised =
        scene.target.wait("15 replicas", from, RECOVERY, |target| number(target, "/spec/replicas") >= 15);
    floor(2)?;
    raised
}

/// Waits until the replicas are right for the load that rose.
fn follows(scene: &Scene, from: Instant, within: Duration) -> Result<Duration> {
    let risen = |target: &Value| number(target, "/spec/replicas") >= RISEN;
    scene.target.wait(&format!("{RISEN} replicas"), from, within, risen)
}

/// The row of an outage in which the load rises: no frame may have fewer replicas than the one before.
fn rising(
    theatre: &Theatre,
    scene: &mut Scene,
    fault: &str,
    (before, began): (i64, Instant),
    recovered: Duration,
) -> Result<Row> {
    sleep(Duration::from_secs(3));
    let row = Row {
        fault: fault.into(),
        states: scene.states(began),
        before,
        lowest: scene.lowest(&theatre.stage, began)?,
        condition: condition(&scene.service.last()?, "Ready").reason,
        told: None,
        recovered: Some(recovered),
    };
    scene.rows.push(row.clone());
    let frames = scene.target.since(began);
    let replicas: Vec<_> = frames.iter().map(|frame| number(&frame.object, "/spec/replicas")).collect();
    ensure!(replicas.is_sorted(), "the load only rose, but the replicas were {replicas:?}");
    Ok(row)
}

/// A pod of the operator.
pub struct Pod {
    name: String,
    uid: String,
    /// Restarts of its container.
    pub restarts: i64,
    ready: bool,
}

/// The operator's pods that are not being deleted.
pub fn pods(stage: &Stage) -> Result<Vec<Pod>> {
    let selector = "--selector=app.kubernetes.io/name=plimsoll";
    let list = stage.cluster.kubectl(&[
        "--namespace",
        OPERATOR_NAMESPACE,
        "get",
        "pods",
        selector,
        "--output=json",
    ])?;
    let list: Value = serde_json::from_str(&list)?;
    let items = list.pointer("/items").and_then(Value::as_array).cloned().unwrap_or_default();
    let alive = items.iter().filter(|pod| pod.pointer("/metadata/deletionTimestamp").is_none());
    Ok(alive
        .map(|pod| Pod {
            name: text(pod, "/metadata/name"),
            uid: text(pod, "/metadata/uid"),
            restarts: number(pod, "/status/containerStatuses/0/restartCount"),
            ready: condition(pod, "Ready").status == "True",
        })
        .collect())
}

/// The operators' processes on this host, each with its pod: those in the pod's cgroup.
fn processes(stage: &Stage) -> Result<Vec<(String, u32)>> {
    let pods = pods(stage)?;
    let operators =
        process_ids().into_iter().filter(|pid| arguments_of(*pid).contains("plimsoll controller"));
    Ok(operators
        .filter_map(|pid| {
            let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
            let pod = pods.iter().find(|pod| cgroup.contains(&pod.uid))?;
            Some((pod.name.clone(), pid))
        })
        .collect())
}

/// New pods, if a container was restarted: the kubelet would wait longer with each crash.
fn fresh_operators(stage: &Stage) -> Result<()> {
    if pods(stage)?.iter().all(|pod| pod.restarts == 0) {
        return Ok(());
    }
    let namespace = ["--namespace", OPERATOR_NAMESPACE, "rollout"];
    for verb in [&["restart", "deployment/plimsoll"][..], &["status", "deployment/plimsoll", "--timeout=90s"]]
    {
        stage.cluster.kubectl(&[&namespace, verb].concat())?;
    }
    wait_for("the end of the old operators", Duration::from_secs(60), || Ok(processes(stage)?.len() == 2))
}
