//! Modes that write nothing.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::cases::{
    Theatre,
    scene::{Dial, DialService, Scene},
};

/// Longer than several looks.
const A_WHILE: Duration = Duration::from_secs(6);
const SOON: Duration = Duration::from_secs(10);

pub fn observe(theatre: &Theatre) -> Result<String> {
    held(theatre, "life-observe", "Observe", "Observing")
}

pub fn paused(theatre: &Theatre) -> Result<String> {
    held(theatre, "life-paused", "Paused", "Paused")
}

/// Upward and downward: three replicas, a load for six, then one for two, then the mode Auto.
fn held(theatre: &Theatre, namespace: &'static str, mode: &str, reason: &str) -> Result<String> {
    let scene = Scene::open(theatre, namespace)?;
    scene.idle_deployment("web", 3)?;
    let dial = Dial::deploy(&scene)?;
    dial.set(55)?;
    let deployment = scene.follow("deployment", "web")?;
    let generation = deployment.last().map_or(0, |sight| sight.generation());
    DialService { mode, ..DialService::on("web") }.apply(&scene)?;
    let service = scene.follow("scalableservice", "web")?;
    for (load, wanted) in [(55, 6), (15, 2)] {
        dial.set(load)?;
        service.wait(&format!("{reason}, with {wanted} decided"), SOON, |sight| {
            sight.condition("Ready").starts_with(&format!("True {reason}"))
                && sight.condition("ScalingActive").starts_with(&format!("False {reason}"))
                && sight.number("/status/desiredReplicas") == wanted
        })?;
        deployment.stays("untouched", A_WHILE, |sight| sight.generation() == generation)?;
    }
    scene.explain("web", &["has 3 replicas", mode, "2", "dial"])?;
    let line = scene.kubectl(&["get", "ssvc", "web", "--no-headers"])?;
    let patch = r#"{"spec":{"mode":"Auto"}}"#;
    scene.kubectl(&["patch", "ssvc", "web", "--type=merge", "--patch", patch])?;
    let acted = deployment.wait("at 2 in mode Auto", SOON, |sight| sight.wanted() == 2)?;
    ensure!(acted.generation() == generation + 1, "it took {} writes", acted.generation() - generation);
    let line: Vec<&str> = line.split_whitespace().collect();
    Ok(format!(
        "6, then 2 decided on 3 replicas, none written in {} s; `{}`; Auto: 3 -> 2",
        A_WHILE.as_secs() * 2,
        line.join(" ")
    ))
}
