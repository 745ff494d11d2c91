//! The objects as YAML, what they depend on, and who can't have any.

use std::collections::BTreeMap;

use super::*;

/// A service with `spec.traffic`; `more` replaces parts of that.
fn service(name: &str, more: &serde_json::Value) -> ScalableService {
    let mut traffic = serde_json::json!({
        "provider": "HAProxy", "targetPort": 8080,
        "listeners": [{"port": 80}, {"port": 443, "tls": {"secretName": "shop.tls"}}],
    });
    traffic.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(serde_json::json!({
        "apiVersion": "plimsoll.dev/v1alpha1", "kind": "ScalableService",
        "metadata": {"name": name, "namespace": "shop", "uid": "11d8", "generation": 4},
        "spec": {
            "scaleTargetRef": {"kind": "Deployment", "name": "checkout"}, "maxReplicas": 60, "kpis": [],
            "traffic": traffic,
        },
    }))
    .unwrap()
}

fn images() -> Images {
    Images {
        agent: "plimsoll:1".to_owned(),
        haproxy: "haproxy:2.8".to_owned(),
        nginx: "nginx:1.28".to_owned(),
    }
}

fn selector() -> BTreeMap<String, String> {
    BTreeMap::from([("app".to_owned(), "checkout".to_owned())])
}

fn made(more: &serde_json::Value) -> Objects {
    objects(&service("checkout", more), &images(), &selector()).unwrap()
}

fn deployment(objects: &Objects) -> Deployment {
    let last = objects.iter().last().unwrap();
    serde_json::from_value(serde_json::to_value(last).unwrap()).unwrap()
}

#[test]
fn the_objects_of_a_balancer() {
    let yaml: Vec<String> =
        made(&serde_json::json!({})).iter().map(|object| serde_saphyr::to_string(object).unwrap()).collect();
    insta::assert_snapshot!(yaml.join("---\n"));
}

#[test]
fn an_object_is_applied_again_only_when_something_changed() {
    let first = made(&serde_json::json!({}));
    assert!(first.are_applied(&deployment(&first)));
    assert_eq!(made(&serde_json::json!({})).hash(), first.hash());
    // How it balances is the agents' matter, who read the spec themselves.
    let other = made(&serde_json::json!({"algorithm": "RoundRobin", "slowStart": "10s"}));
    assert_eq!(other.hash(), first.hash());
    for more in [
        serde_json::json!({"replicas": 3}),
        serde_json::json!({"drain": {"timeout": "90s"}}),
        serde_json::json!({"listeners": [{"port": 8080}]}),
        serde_json::json!({"service": {"type": "LoadBalancer", "annotations": {"a": "b"}}}),
    ] {
        let other = made(&more);
        assert_ne!(other.hash(), first.hash(), "{more}");
        assert!(!other.are_applied(&deployment(&first)), "{more}");
    }
    let mut upgraded = images();
    upgraded.agent = "plimsoll:2".to_owned();
    let other = objects(&service("checkout", &serde_json::json!({})), &upgraded, &selector()).unwrap();
    assert_ne!(other.hash(), first.hash());
}

#[test]
fn a_cloud_s_load_balancer_is_the_service_with_its_type_and_annotations() {
    let annotations = serde_json::json!({"cloud.example/scheme": "internal", "cloud.example/subnets": "a,b"});
    let made = made(&serde_json::json!({"service": {"type": "LoadBalancer", "annotations": annotations}}));
    let front = made.iter().find(|object| {
        object.types.as_ref().is_some_and(|types| types.kind == "Service")
            && object.name_any() == "checkout-lb"
    });
    let front = serde_json::to_value(front.unwrap()).unwrap();
    assert_eq!(front.pointer("/spec/type"), Some(&serde_json::json!("LoadBalancer")));
    assert_eq!(front.pointer("/metadata/annotations"), Some(&annotations));
    let others =
        made.iter().filter(|object| object.annotations().keys().any(|key| key.starts_with("cloud.example/")));
    assert_eq!(others.count(), 1, "nobody else is given to the cloud");
}

#[test]
fn the_grace_period_follows_the_drain_timeout() {
    let pod = |timeout: &str| {
        let made = made(&serde_json::json!({"drain": {"timeout": timeout}}));
        let pod = deployment(&made).spec.unwrap().template.spec.unwrap();
        let stop =
            pod.containers[0].lifecycle.clone().unwrap().pre_stop.unwrap().exec.unwrap().command.unwrap();
        (pod.termination_grace_period_seconds.unwrap(), stop.last().unwrap().clone())
    };
    assert_eq!(pod("30s"), (60, "--within=50s".to_owned()));
    assert_eq!(pod("1h"), (3630, "--within=3620s".to_owned()));
}

#[test]
fn one_certificate_for_two_listeners_is_mounted_once() {
    let tls = serde_json::json!({"secretName": "shop.tls"});
    let made =
        made(&serde_json::json!({"listeners": [{"port": 443, "tls": tls}, {"port": 8443, "tls": tls}]}));
    let pod = deployment(&made).spec.unwrap().template.spec.unwrap();
    let secrets = pod.volumes.unwrap().into_iter().filter(|volume| volume.secret.is_some()).count();
    assert_eq!(secrets, 1);
}

#[test]
fn what_can_not_be_is_refused_in_a_sentence() {
    let refused = |name: &str, more: serde_json::Value, selector: &BTreeMap<String, String>| {
        objects(&service(name, &more), &images(), selector).unwrap_err().to_string()
    };
    let none = serde_json::json!({});
    let too_long = "a".repeat(54);
    for name in ["2nd", "shop.checkout", "Checkout", &too_long] {
        assert_eq!(
            refused(name, none.clone(), &selector()),
            format!(
                "metadata.name {name:?} can't have a spec.traffic: its Services are named after it, so it must begin with a \
                 letter and have at most 53 letters, digits and -"
            )
        );
    }
    let longest = "a".repeat(53);
    assert!(objects(&service(&longest, &none), &images(), &selector()).is_ok());
    assert_eq!(
        refused("checkout", none, &BTreeMap::new()),
        "the target's selector has no label with a value, which traffic needs to find the pods"
    );
    for (ports, port, inside) in [([80, 10_080], 10_080, 10_080), ([80, 9101], 9101, 9101)] {
        let listeners = serde_json::json!({"listeners": ports.map(|port| serde_json::json!({"port": port}))});
        assert_eq!(
            refused("checkout", listeners, &selector()),
            format!(
                "spec.traffic.listeners has port {port}, which is not possible: port {inside} of the balancer's pods has \
                 another use (ports below 1024 listen 10000 higher there, and 9101 to 9104 are their own); take another"
            )
        );
    }
    let mut without = service("checkout", &serde_json::json!({}));
    without.spec.traffic = None;
    let error = objects(&without, &images(), &selector()).unwrap_err().to_string();
    assert_eq!(error, "there is no spec.traffic with a targetPort and a provider that Plimsoll runs");
}

#[test]
fn the_pod_of_an_nginx() {
    let made = made(&serde_json::json!({"provider": "NGINX"}));
    insta::assert_snapshot!(serde_saphyr::to_string(&deployment(&made)).unwrap());
    for (provider, port) in [("HAProxy", 9103), ("NGINX", 9104)] {
        let listeners = serde_json::json!([{"port": port}]);
        let more = serde_json::json!({"provider": provider, "listeners": listeners});
        assert!(
            objects(&service("checkout", &more), &images(), &selector()).is_err(),
            "{provider} needs {port}"
        );
    }
}
