//! Two scalers on one target.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::cases::{
    Theatre,
    scene::{Dial, DialService, Scene, Trail},
};

const SOON: Duration = Duration::from_secs(10);
/// The operator asks for KEDA every 15 s; a watch whose resource went away tries again within 30 s.
const KEDA_FOUND: Duration = Duration::from_secs(40);
const CRD: &str = "scaledobjects.keda.sh";

/// As much of KEDA's own as matters here.
const SCALED_OBJECTS: &str = r"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: scaledobjects.keda.sh}
spec:
  group: keda.sh
  scope: Namespaced
  names: {kind: ScaledObject, plural: scaledobjects, singular: scaledobject, shortNames: [so]}
  versions:
  - name: v1alpha1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";

const SCALED_OBJECT: &str = r#"
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: web-so, namespace: life-conflict}
spec: {scaleTargetRef: {name: web}, triggers: [{type: cpu, metricType: Utilization, metadata: {value: "50"}}]}
"#;

pub fn run(theatre: &Theatre) -> Result<String> {
    let scene = Scene::open(theatre, "life-conflict")?;
    let cluster = &scene.stage.cluster;
    // Early, so that the operator finds the kind while the other parts run. A real KEDA's is left as it is.
    let ours = cluster.kubectl(&["get", "customresourcedefinition", CRD]).is_err();
    if ours {
        cluster.apply(SCALED_OBJECTS)?;
    }
    let seen = parts(&scene);
    if ours {
        cluster.kubectl(&[
            "delete",
            "customresourcedefinition",
            CRD,
            "--ignore-not-found",
            "--wait=false",
        ])?;
    }
    seen
}

fn parts(scene: &Scene<'_>) -> Result<String> {
    scene.idle_deployment("web", 3)?;
    let dial = Dial::deploy(scene)?;
    let deployment = scene.follow("deployment", "web")?;
    dial.set(55)?;
    scene.autoscale("web")?;
    DialService::on("web").apply(scene)?;
    let service = scene.follow("scalableservice", "web")?;
    let by_hpa = kept_by(scene, &service, &deployment, "HorizontalPodAutoscaler web-hpa", SOON, 3)?;
    scene.kubectl(&["delete", "hpa", "web-hpa"])?;
    works(&service, &deployment, 6)?;

    DialService { target: ("apps/v1", "Deployment", "web"), min: 9, ..DialService::on("a-younger") }
        .apply(scene)?;
    let younger = scene.follow("scalableservice", "a-younger")?;
    kept_by(scene, &younger, &deployment, "ScalableService web", SOON, 6)?;
    dial.set(45)?;
    works(&service, &deployment, 5)?;
    scene.kubectl(&["delete", "ssvc", "web"])?;
    works(&younger, &deployment, 9)?;
    scene.kubectl(&["delete", "ssvc", "a-younger"])?;

    scene.stage.cluster.kubectl(&[
        "wait",
        "--for=condition=Established",
        "crd/scaledobjects.keda.sh",
        "--timeout=10s",
    ])?;
    DialService::on("web").apply(scene)?;
    let service = scene.follow("scalableservice", "web")?;
    works(&service, &deployment, 5)?;
    scene.apply(SCALED_OBJECT)?;
    let by_keda = kept_by(scene, &service, &deployment, "ScaledObject web-so", KEDA_FOUND, 5)?;
    dial.set(25)?;
    deployment.stays("untouched", Duration::from_secs(3), |sight| sight.wanted() == 5)?;
    scene.kubectl(&["delete", "scaledobjects.keda.sh", "web-so"])?;
    works(&service, &deployment, 3)?;
    ensure!(deployment.wanted() == [3, 6, 5, 9, 5, 3], "replicas {:?}", deployment.wanted());
    Ok(format!("{by_hpa} | {by_keda} | replicas {:?}", deployment.wanted()))
}

/// The service says who keeps the target, and leaves it alone. Returns what it says.
fn kept_by(
    scene: &Scene<'_>,
    service: &Trail,
    deployment: &Trail,
    keeper: &str,
    within: Duration,
    replicas: i64,
) -> Result<String> {
    let said = service.wait(&format!("in conflict with {keeper}"), within, |sight| {
        let ready = sight.condition("Ready");
        ready.starts_with("False ScalerConflict") && ready.contains(keeper)
    })?;
    let generation = deployment.last().map_or(0, |sight| sight.generation());
    deployment.stays("untouched", Duration::from_secs(3), |sight| {
        sight.generation() == generation && sight.wanted() == replicas
    })?;
    scene.explain(said.text("/metadata/name"), &[keeper])?;
    Ok(said.condition("Ready"))
}

/// Without help, once the other is gone.
fn works(service: &Trail, deployment: &Trail, replicas: i64) -> Result<()> {
    deployment.wait(&format!("at {replicas}"), SOON, |sight| sight.wanted() == replicas)?;
    service.wait("ready", SOON, |sight| sight.condition("Ready").starts_with("True")).map(drop)
}
