//! Every file in `examples/`, as a user applies it.

use crate::{cases::prelude::*, stage::GatewayStandIn};

const IMAGE: &str = "plimsoll.local/shop:dev";

pub fn run(fixture: &Fixture) -> Result<String> {
    let examples = read(fixture)?;
    let namespaces: Vec<&str> =
        examples.values().flat_map(|text| text.lines()).filter_map(namespace).collect();
    ensure!(namespaces.len() >= examples.len(), "a file without a namespace of its own: {namespaces:?}");
    let cluster = &fixture.stage.cluster;
    let delete = format!("delete namespace --ignore-not-found --timeout=90s {}", namespaces.join(" "));
    cluster.kubectl_in("default", &delete)?;
    // One of the files has a Gateway, which needs an implementation.
    let stand_in = GatewayStandIn::start(&fixture.stage, "example")?;
    let seen = apply(fixture, &examples, &namespaces);
    drop(stand_in);
    cluster.kubectl_in("default", &format!("{delete} --wait=false"))?;
    seen
}

fn apply(fixture: &Fixture, examples: &BTreeMap<String, String>, namespaces: &[&str]) -> Result<String> {
    let cluster = &fixture.stage.cluster;
    for (file, text) in examples {
        ensure!(text.contains(IMAGE), "{file} does not use the image {IMAGE}");
        let text = text.replace(IMAGE, &fixture.stage.built.shop_image);
        let applied = cluster.apply(&text).with_context(|| file.clone())?;
        let has_one = applied.contains("scalableservice.plimsoll.dev/");
        ensure!(has_one, "{file} has no ScalableService: {applied}");
    }
    for namespace in namespaces {
        let ready = "wait --for=condition=Ready scalableservices --all --timeout=60s";
        if let Err(error) = cluster.kubectl_in(namespace, ready) {
            return Err(error.context(cluster.kubectl_in(namespace, "get scalableservices --output=yaml")?));
        }
    }
    // Ready alone is not enough: all replicas must be there.
    for namespace in namespaces {
        let settled = "wait --for=condition=Reconciling=False scalableservices --all --timeout=30s";
        cluster.kubectl_in(namespace, settled)?;
    }
    for namespace in namespaces {
        for service in cluster.list(namespace, "scalableservices")? {
            let kpi = service.pointer("/spec/kpis/0/name").and_then(Value::as_str).unwrap_or("minReplicas");
            fixture.explain(namespace, service.text("/metadata/name"), &[kpi])?;
        }
    }
    Ok(format!("{} files", examples.len()))
}

fn read(fixture: &Fixture) -> Result<BTreeMap<String, String>> {
    let folder = fixture.stage.built.workspace.join("examples");
    let mut examples = BTreeMap::new();
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let text = fs::read_to_string(&path)?;
            examples.insert(path.file_name().unwrap_or_default().to_string_lossy().into_owned(), text);
        }
    }
    ensure!(!examples.is_empty(), "{} has no example", folder.display());
    Ok(examples)
}

/// The name in a line of a Namespace's `metadata`; names in the examples begin with `example-`.
fn namespace(line: &str) -> Option<&str> {
    line.strip_prefix("  name: ").filter(|name| name.starts_with("example-"))
}
