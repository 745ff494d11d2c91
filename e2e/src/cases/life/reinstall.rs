//! The release is uninstalled and reinstalled.

use crate::{
    cases::{install, prelude::*},
    stage::OPERATOR_NAMESPACE,
};

/// Longer than several evaluations.
const A_WHILE: Duration = Duration::from_secs(8);
const SOON: Duration = Duration::from_secs(10);
/// A follower takes a released lease on its next try, at most 2 s later; an unreleased lease expires after 15 s.
const HAND_OVER: Duration = Duration::from_secs(4);

pub fn run(fixture: &Fixture) -> Result<String> {
    let test = TestNamespace::open(fixture, "life-reinstall")?;
    test.idle_deployment("web", 1)?;
    let dial = test.dial()?;
    dial.set(55)?;
    DialService { window: 300, ..DialService::on("web") }.apply(&test)?;
    let deployment = test.follow("deployment", "web")?;
    deployment.wait("at 6", SOON, |seen| seen.wanted() == 6)?;
    test.wait_ready("web", SOON)?;
    let handed_over = hand_over(&test)?;
    let before = test.get("scalableservice", "web")?;
    dial.set(15)?;
    sleep(Duration::from_secs(2));
    let generation = deployment.last()?.generation();
    let old_leader = test.stage.leader()?;
    let begin = Instant::now();
    let absent = absence(&test, &deployment, generation);
    // Reinstall in any case: later cases need the release.
    test.stage.install(&install())?;
    let kept = absent?;
    for part in ["/spec", "/metadata/uid"] {
        ensure!(before.pointer(part) == kept.pointer(part), "{part} of the object changed: {kept}");
    }
    wait_for("a new leader", Duration::from_secs(30), || Ok(test.stage.leader()? != old_leader))?;
    let back = begin.elapsed().as_secs_f64();
    deployment.stays("at 6 after the reinstall", A_WHILE, |seen| {
        seen.generation() == generation && seen.wanted() == 6
    })?;
    test.explain("web", &["has 6 replicas", "scale-down window of 300 s", "dial"])?;
    dial.set(75)?;
    deployment.wait("at 8, as before the uninstall", SOON, |seen| seen.wanted() == 8)?;
    ensure!(deployment.wanted().ends_with(&[6, 8]), "replicas {:?}", deployment.wanted());
    figure("SIGTERM until handed over, s", handed_over);
    figure("without an operator, s", back);
    Ok(format!("replicas {:?} while the load asked for 2", deployment.wanted()))
}

/// Deletes the leader's pod, as a drain of its node does. Returns the seconds until the other operator leads.
fn hand_over(test: &TestNamespace<'_>) -> Result<f64> {
    let leader = test.stage.leader()?;
    test.stage.cluster.kubectl_in(OPERATOR_NAMESPACE, &format!("delete pod {leader} --wait=false"))?;
    let begin = Instant::now();
    // A released lease has no holder for a moment.
    let taken = || Ok(test.stage.leader().is_ok_and(|now| now != leader));
    wait_for("the other operator to lead", HAND_OVER, taken)?;
    Ok(begin.elapsed().as_secs_f64())
}

/// Uninstalls the release and checks that only the operator is deleted. Returns the kept object.
fn absence(test: &TestNamespace<'_>, deployment: &WatchLog, generation: i64) -> Result<Value> {
    test.stage.uninstall()?;
    wait_for("the operator's pods to be deleted", Duration::from_secs(20), || {
        Ok(test.stage.cluster.list(OPERATOR_NAMESPACE, "pods")?.is_empty())
    })?;
    deployment.stays("at 6 without an operator", A_WHILE, |seen| {
        seen.generation() == generation && seen.wanted() == 6
    })?;
    test.get("scalableservice", "web")
}
