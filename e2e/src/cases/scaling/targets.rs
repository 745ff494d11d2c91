//! Every kind of target, and the subresources of our own object.

use crate::{
    cases::{install, prelude::*},
    stage::idle_pods,
};

const SOON: Duration = Duration::from_secs(10);

/// A StatefulSet, whose pods have another revision label than a Deployment's.
pub fn stateful_set(fixture: &Fixture) -> Result<String> {
    let test = TestNamespace::open(fixture, "scale-statefulset")?;
    let dial = test.dial()?;
    test.apply(&format!(
        "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {{name: sessions, namespace: {}}}\nspec:\n  replicas: 1\n  \
         serviceName: sessions\n  podManagementPolicy: Parallel\n{}",
        test.namespace,
        idle_pods("sessions", "{}")
    ))?;
    let set = test.follow("statefulset", "sessions")?;
    DialService { target: ("apps/v1", "StatefulSet", "sessions"), ..DialService::on("sessions") }
        .apply(&test)?;
    dial.set(35)?;
    set.wait("grown to 4", SOON, |snapshot| snapshot.wanted() == 4)?;
    set.wait("ready", SOON, |snapshot| snapshot.number("/status/readyReplicas") == 4)?;
    let service = test.follow("scalableservice", "sessions")?;
    service.wait("steady at 4", SOON, |snapshot| {
        snapshot.number("/status/readyReplicas") == 4 && snapshot.says("Reconciling").starts_with("False")
    })?;
    test.explain("sessions", &["has 4 replicas", "dial is 35"])?;
    dial.set(15)?;
    set.wait("shrunk to 2", SOON, |snapshot| snapshot.wanted() == 2)?;
    ensure!(set.wanted() == [1, 4, 2], "replicas {:?}", set.wanted());
    Ok(format!("replicas {:?}, four ready between", set.wanted()))
}

const FLEETS: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: fleets.e2e.example.dev}
spec:
  group: e2e.example.dev
  scope: Namespaced
  names: {kind: Fleet, plural: fleets, singular: fleet}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, properties: {replicas: {type: integer}}}
          status: {type: object, properties: {replicas: {type: integer}}}
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}
"#;

/// A resource that Plimsoll does not know, without a pod selector.
pub fn custom(fixture: &Fixture) -> Result<String> {
    let test = TestNamespace::open(fixture, "scale-custom")?;
    let seen = fleet(&test);
    // Restores the release and the cluster, also after a failure.
    test.stage.install(&install())?;
    test.kubectl("delete customresourcedefinition fleets.e2e.example.dev --ignore-not-found --wait=false")?;
    seen
}

fn fleet(test: &TestNamespace<'_>) -> Result<String> {
    let cluster = &test.stage.cluster;
    let dial = test.dial()?;
    cluster.apply(FLEETS)?;
    test.kubectl("wait --for=condition=Established crd/fleets.e2e.example.dev --timeout=20s")?;
    let namespace = test.namespace;
    test.apply(&format!(
        "apiVersion: e2e.example.dev/v1\nkind: Fleet\nmetadata: {{name: ships, namespace: {namespace}}}\nspec: {{replicas: 1}}\n"
    ))?;
    dial.set(35)?;
    DialService { target: ("e2e.example.dev/v1", "Fleet", "ships"), ..DialService::on("ships") }
        .apply(test)?;
    let service = test.follow("scalableservice", "ships")?;
    let refused = service.wait("refused by RBAC", SOON, |snapshot| {
        let ready = snapshot.says("Ready");
        ready.starts_with("False ScaleFailed")
            && ready.contains("forbidden")
            && ready.contains("fleets")
            && !ready.contains("Status {")
    })?;
    test.explain("ships", &["forbidden", "fleets"])?;
    let fleet = test.follow("fleets.e2e.example.dev", "ships")?;
    let chart = test.stage.built.workspace.join("charts/plimsoll");
    let target =
        "rbac.extraScaleTargets[0].apiGroup=e2e.example.dev,rbac.extraScaleTargets[0].resource=fleets";
    let release =
        ["--namespace", crate::stage::OPERATOR_NAMESPACE, "--reuse-values", "--wait", "--set", target];
    let chart = chart.to_string_lossy();
    cluster.helm(&[&["upgrade", "plimsoll", chart.as_ref()], &release[..]].concat())?;
    fleet.wait("grown to 4", Duration::from_secs(20), |snapshot| snapshot.wanted() == 4)?;
    let grown = json!({"status": {"replicas": 4}});
    test.patch("fleets.e2e.example.dev ships --subresource=status", &grown)?;
    service.wait("steady at 4", SOON, |snapshot| snapshot.says("Ready").starts_with("True Steady"))?;
    test.explain("ships", &["has 4 replicas", "dial is 35"])?;
    dial.set(15)?;
    fleet.wait("shrunk to 2", SOON, |snapshot| snapshot.wanted() == 2)?;
    let refused = refused.says("Ready");
    Ok(format!("without the chart's RBAC rule: {refused}; with it: replicas {:?}", fleet.wanted()))
}

pub fn kubectl_scale(fixture: &Fixture) -> Result<String> {
    let test = TestNamespace::open(fixture, "scale-kubectl")?;
    test.idle_deployment("web", 1)?;
    let dial = test.dial()?;
    dial.set(15)?;
    DialService::on("web").apply(&test)?;
    let deployment = test.follow("deployment", "web")?;
    deployment.wait("at 2 for its load", SOON, |snapshot| snapshot.wanted() == 2)?;
    test.kubectl("scale ssvc/web --replicas=5")?;
    deployment.wait("at the new minimum", SOON, |snapshot| snapshot.wanted() == 5)?;
    let service = test.follow("scalableservice", "web")?;
    let there = service.wait("with status 5", SOON, |snapshot| snapshot.number("/status/replicas") == 5)?;
    ensure!(there.number("/spec/minReplicas") == 5, "minReplicas is {}", there.number("/spec/minReplicas"));
    test.explain("web", &["has 5 replicas", "minReplicas is 5", "dial"])?;
    let scale = test.get("scalableservice", "web --subresource=scale")?;
    let replicas = (scale.wanted(), scale.number("/status/replicas"));
    ensure!(replicas == (5, 5) && scale.text("/status/selector") == "app=web", "/scale is {scale}");
    // A write to /status does not change the spec, nor a write without it the status.
    let both = json!({"spec": {"minReplicas": 9}, "status": {"replicas": 77}});
    test.patch("ssvc web --subresource=status", &both)?;
    let after = test.get("scalableservice", "web")?;
    ensure!(after.pointer("/spec/minReplicas") == Some(&5.into()), "/status changed the spec: {after}");
    test.patch("ssvc web", &json!({"status": {"readyReplicas": 66}}))?;
    let after = test.get("scalableservice", "web")?;
    ensure!(after.number("/status/readyReplicas") != 66, "a write to the spec changed the status: {after}");
    test.kubectl("scale ssvc/web --replicas=1")?;
    deployment.wait("back at the replicas for the load", SOON, |snapshot| snapshot.wanted() == 2)?;
    service.wait("correct again after a foreign write to /status", Duration::from_secs(35), |snapshot| {
        snapshot.number("/status/replicas") == 2
    })?;
    Ok(format!("minReplicas 1 -> 5 -> 1 by kubectl scale: replicas {:?}", deployment.wanted()))
}
