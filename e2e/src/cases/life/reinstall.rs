//! The release is uninstalled and comes back.

use crate::{
    cases::{install, prelude::*},
    stage::OPERATOR_NAMESPACE,
};

/// Longer than several looks.
const A_WHILE: Duration = Duration::from_secs(8);
const SOON: Duration = Duration::from_secs(10);
/// A released lease is taken at a follower's next look, 2 s later at the most; without a release it would be 15 s.
const HAND_OVER: Duration = Duration::from_secs(4);

pub fn run(fixture: &Fixture) -> Result<String> {
    let test_namespace = TestNamespace::open(fixture, "life-reinstall")?;
    test_namespace.idle_deployment("web", 1)?;
    let dial = test_namespace.dial()?;
    dial.set(55)?;
    DialService { window: 300, ..DialService::on("web") }.apply(&test_namespace)?;
    let deployment = test_namespace.follow("deployment", "web")?;
    deployment.wait("at 6", SOON, |snapshot| snapshot.wanted() == 6)?;
    test_namespace.wait_ready("web", SOON)?;
    let handed_over = hand_over(&test_namespace)?;
    let before = test_namespace.get("scalableservice", "web")?;
    dial.set(15)?;
    sleep(Duration::from_secs(2));
    let generation = deployment.last()?.generation();
    let old_leader = test_namespace.stage.leader()?;
    let begin = Instant::now();
    let absent = absence(&test_namespace, &deployment, generation);
    // Whatever was seen, what comes after this case finds the release.
    test_namespace.stage.install(&install())?;
    let kept = absent?;
    for part in ["/spec", "/metadata/uid"] {
        ensure!(before.pointer(part) == kept.pointer(part), "{part} of the object changed: {kept}");
    }
    wait_for("a new leader", Duration::from_secs(30), || Ok(test_namespace.stage.leader()? != old_leader))?;
    let back = begin.elapsed().as_secs_f64();
    deployment.stays("at 6 after the return", A_WHILE, |snapshot| {
        snapshot.generation() == generation && snapshot.wanted() == 6
    })?;
    test_namespace.explain("web", &["has 6 replicas", "scale-down window of 300 s", "dial"])?;
    dial.set(75)?;
    deployment.wait("at 8, as before the uninstall", SOON, |snapshot| snapshot.wanted() == 8)?;
    ensure!(deployment.wanted().ends_with(&[6, 8]), "replicas {:?}", deployment.wanted());
    figure("SIGTERM until handed over, s", handed_over);
    figure("without an operator, s", back);
    Ok(format!("while the load asked for 2: replicas {:?}", deployment.wanted()))
}

/// Deletes the leader's pod, as a drain of its node does. Returns how long it took until the other led.
fn hand_over(test_namespace: &TestNamespace<'_>) -> Result<f64> {
    let leader = test_namespace.stage.leader()?;
    test_namespace
        .stage
        .cluster
        .kubectl_in(OPERATOR_NAMESPACE, &format!("delete pod {leader} --wait=false"))?;
    let begin = Instant::now();
    // A released lease has no holder for a moment.
    let taken = || Ok(test_namespace.stage.leader().is_ok_and(|now| now != leader));
    wait_for("the other operator to lead", HAND_OVER, taken)?;
    Ok(begin.elapsed().as_secs_f64())
}

/// Uninstalls the release and sees that nothing but the operator is gone. Returns the object as it was kept.
fn absence(test_namespace: &TestNamespace<'_>, deployment: &WatchLog, generation: i64) -> Result<Value> {
    test_namespace.stage.uninstall()?;
    wait_for("the operator's pods to be gone", Duration::from_secs(20), || {
        Ok(test_namespace.stage.cluster.list(OPERATOR_NAMESPACE, "pods")?.is_empty())
    })?;
    deployment.stays("at 6 without an operator", A_WHILE, |snapshot| {
        snapshot.generation() == generation && snapshot.wanted() == 6
    })?;
    test_namespace.get("scalableservice", "web")
}
