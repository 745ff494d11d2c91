//! Taking over, letting go, and coming back.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{
    cases::{
        Theatre,
        scene::{Dial, DialService, Scene, Trail, install},
    },
    process::wait_for,
    stage::OPERATOR_NAMESPACE,
};

/// Longer than several looks.
const A_WHILE: Duration = Duration::from_secs(8);
const SOON: Duration = Duration::from_secs(10);
/// Of the takeover, in seconds: longer than Prometheus has known the load.
const WINDOW_S: u32 = 25;

pub fn takeover(theatre: &Theatre) -> Result<String> {
    let scene = Scene::open(theatre, "life-takeover")?;
    scene.idle_deployment("web", 7)?;
    let dial = Dial::deploy(&scene)?;
    dial.set(5)?;
    let deployment = scene.follow("deployment", "web")?;
    DialService { window: WINDOW_S, ..DialService::on("web") }.apply(&scene)?;
    let created = Instant::now();
    let service = scene.follow("scalableservice", "web")?;
    service.wait("holding what it found", SOON, |sight| sight.number("/status/desiredReplicas") == 7)?;
    scene.explain("web", &["has 7 replicas", "scale-down window of 25 s", "dial"])?;
    let left =
        Duration::from_secs(WINDOW_S.into()).saturating_sub(created.elapsed() + Duration::from_secs(1));
    deployment.stays("at 7 for the window", left, |sight| sight.wanted() == 7)?;
    deployment.wait("at 1 after the window", SOON, |sight| sight.wanted() == 1)?;
    let held = created.elapsed().as_secs_f64();
    dial.set(35)?;
    deployment.wait("at 4", SOON, |sight| sight.wanted() == 4)?;
    scene.kubectl(&["delete", "ssvc", "web"])?;
    let generation = deployment.last().context("the Deployment is gone")?.generation();
    dial.set(90)?;
    deployment.stays("as it was left", Duration::from_secs(6), |sight| {
        sight.generation() == generation && sight.wanted() == 4
    })?;
    Ok(format!(
        "7 replicas held for {held:.0} s of a window of {WINDOW_S} s, then 1; 4 after the object was deleted"
    ))
}

pub fn reinstall(theatre: &Theatre) -> Result<String> {
    let scene = Scene::open(theatre, "life-reinstall")?;
    scene.idle_deployment("web", 1)?;
    let dial = Dial::deploy(&scene)?;
    dial.set(55)?;
    DialService { window: 300, ..DialService::on("web") }.apply(&scene)?;
    let deployment = scene.follow("deployment", "web")?;
    deployment.wait("at 6", SOON, |sight| sight.wanted() == 6)?;
    scene.wait_ready("web", SOON)?;
    let before = scene.get("scalableservice", "web")?;
    dial.set(15)?;
    sleep(Duration::from_secs(2));
    let generation = deployment.last().context("the Deployment is gone")?.generation();
    let old_leader = scene.stage.leader()?;
    let begin = Instant::now();
    let absent = absence(&scene, &deployment, generation);
    // Whatever was seen, what comes after this case finds the release.
    scene.stage.install(&install())?;
    let kept = absent?;
    for part in ["/spec", "/metadata/uid"] {
        ensure!(before.pointer(part) == kept.pointer(part), "{part} of the object changed: {kept}");
    }
    wait_for("a new leader", Duration::from_secs(30), || Ok(scene.stage.leader()? != old_leader))?;
    let back = begin.elapsed().as_secs_f64();
    deployment.stays("at 6 after the return", A_WHILE, |sight| {
        sight.generation() == generation && sight.wanted() == 6
    })?;
    scene.explain("web", &["has 6 replicas", "scale-down window of 300 s", "dial"])?;
    dial.set(75)?;
    deployment.wait("at 8, as before the uninstall", SOON, |sight| sight.wanted() == 8)?;
    ensure!(deployment.wanted().ends_with(&[6, 8]), "replicas {:?}", deployment.wanted());
    Ok(format!(
        "{back:.0} s without an operator while the load asked for 2: replicas {:?}; the object kept its uid and spec",
        deployment.wanted()
    ))
}

/// Uninstalls the release and sees that nothing but the operator is gone. Returns the object as it was kept.
fn absence(scene: &Scene<'_>, deployment: &Trail, generation: i64) -> Result<Value> {
    scene.stage.uninstall()?;
    wait_for("the operator's pods to be gone", Duration::from_secs(20), || {
        let pods = ["--namespace", OPERATOR_NAMESPACE, "get", "pods", "--output=name"];
        Ok(scene.stage.cluster.kubectl(&pods)?.is_empty())
    })?;
    deployment.stays("at 6 without an operator", A_WHILE, |sight| {
        sight.generation() == generation && sight.wanted() == 6
    })?;
    scene.get("scalableservice", "web")
}
