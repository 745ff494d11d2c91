//! The objects as YAML, their inputs, and refusals.

use std::collections::BTreeMap;

use super::*;
use plimsoll_api::BALANCER_LABEL;

/// A service with `spec.traffic`; `more` overrides parts of it.
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

fn setup() -> Setup {
    Setup::of(images())
}

fn backend() -> Backend {
    let selector = BTreeMap::from([("app".to_owned(), "checkout".to_owned())]);
    Backend { selector, priority_class: None }
}

fn made(more: &serde_json::Value) -> Objects {
    made_by(&setup(), more)
}

fn made_by(setup: &Setup, more: &serde_json::Value) -> Objects {
    objects(&service("checkout", more), setup, &backend()).unwrap()
}

/// The object of a kind; the last one, if there are several.
fn object<K: serde::de::DeserializeOwned>(objects: &Objects, kind: &str) -> K {
    let of_kind = |object: &&DynamicObject| object.types.as_ref().is_some_and(|types| types.kind == kind);
    serde_json::from_value(serde_json::to_value(objects.iter().filter(of_kind).last().unwrap()).unwrap())
        .unwrap()
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
    // The agents read these fields from the spec themselves.
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
    let mut upgraded = setup();
    upgraded.images.agent = "plimsoll:2".to_owned();
    assert_ne!(made_by(&upgraded, &serde_json::json!({})).hash(), first.hash());
    let mut newer = service("checkout", &serde_json::json!({}));
    newer.metadata.generation = Some(5);
    let newer = objects(&newer, &setup(), &backend()).unwrap();
    assert_eq!(newer.hash(), first.hash(), "most changes of a spec do not concern the objects");
    assert_eq!(deployment(&newer).annotations().get(GENERATION).map(String::as_str), Some("5"));
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
    assert_eq!(others.count(), 1, "no other object has the annotations");
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
fn invalid_input_is_refused_in_one_sentence() {
    let refused = |name: &str, more: serde_json::Value, selector: &BTreeMap<String, String>| {
        objects(
            &service(name, &more),
            &setup(),
            &Backend { selector: selector.clone(), priority_class: None },
        )
        .unwrap_err()
        .to_string()
    };
    let none = serde_json::json!({});
    let too_long = "a".repeat(54);
    for name in ["2nd", "shop.checkout", "Checkout", &too_long] {
        assert_eq!(
            refused(name, none.clone(), &backend().selector),
            format!(
                "metadata.name is {name:?}; with spec.traffic it must begin with a letter and have at most \
                 53 lower-case letters, digits and -, since Services are named after it"
            )
        );
    }
    let longest = "a".repeat(53);
    assert!(objects(&service(&longest, &none), &setup(), &backend()).is_ok());
    assert_eq!(
        refused("checkout", none, &BTreeMap::new()),
        "the target's selector has no label with a value, which traffic needs to find the pods"
    );
    for (ports, port, inside) in [([80, 10_080], 10_080, 10_080), ([80, 9101], 9101, 9101)] {
        let listeners = serde_json::json!({"listeners": ports.map(|port| serde_json::json!({"port": port}))});
        assert_eq!(
            refused("checkout", listeners, &backend().selector),
            format!(
                "spec.traffic.listeners has port {port}, which needs port {inside} of the balancer's pods; \
                 that one is not available (ports below 1024 become port + 10000 there, and 9101 to 9104 \
                 are reserved); use another port"
            )
        );
    }
    let mut without = service("checkout", &serde_json::json!({}));
    without.spec.traffic = None;
    let error = objects(&without, &setup(), &backend()).unwrap_err().to_string();
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
            objects(&service("checkout", &more), &setup(), &backend()).is_err(),
            "{provider} needs {port}"
        );
    }
}

#[test]
fn the_pod_has_the_settings_of_the_spec_over_the_operator_s_defaults() {
    let mut setup = setup();
    setup.pod = serde_json::from_value(serde_json::json!({
        "labels": {"team": "edge", "cost": "shared", BALANCER_LABEL: "other"},
        "annotations": {"prometheus.io/scrape": "false"},
        "nodeSelector": {"pool": "edge"},
        "tolerations": [{"key": "edge", "operator": "Exists"}],
        "priorityClassName": "edge",
        "imagePullSecrets": [{"name": "mirror"}],
        // OpenShift's restricted-v2 assigns the user, the group and the group of volumes.
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
    }))
    .unwrap();
    let pod = |more: serde_json::Value| deployment(&made_by(&setup, &more)).spec.unwrap().template;
    let plain = pod(serde_json::json!({}));
    let labels = plain.metadata.as_ref().unwrap().labels.clone().unwrap();
    assert_eq!((labels["team"].as_str(), labels["cost"].as_str()), ("edge", "shared"));
    assert_eq!(labels[BALANCER_LABEL], "checkout", "labels that select the pods can't be overridden");
    let annotations = plain.metadata.unwrap().annotations.unwrap();
    assert_eq!(annotations["prometheus.io/scrape"], "false");
    let spec = plain.spec.unwrap();
    assert_eq!(spec.node_selector.unwrap()["pool"], "edge");
    assert_eq!(spec.tolerations.unwrap().len(), 1);
    assert_eq!(spec.priority_class_name.as_deref(), Some("edge"));
    assert_eq!(spec.image_pull_secrets.unwrap()[0].name, "mirror");
    let security = spec.security_context.unwrap();
    assert_eq!((security.run_as_user, security.run_as_group, security.fs_group), (None, None, None));

    let affinity = serde_json::json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "batch"}}},
    ]}});
    let own = pod(serde_json::json!({
        "pod": {"labels": {"cost": "shop"}, "nodeSelector": {}, "affinity": affinity, "priorityClassName": "high",
            "securityContext": {"runAsUser": 1000}},
        "container": {"resources": {"requests": {"cpu": 2}, "limits": {"memory": "1Gi"}}},
    }));
    let labels = own.metadata.unwrap().labels.unwrap();
    assert_eq!((labels["team"].as_str(), labels["cost"].as_str()), ("edge", "shop"));
    let spec = own.spec.unwrap();
    assert!(spec.node_selector.unwrap().is_empty(), "a field of the spec replaces the default as a whole");
    assert_eq!(serde_json::to_value(spec.affinity.unwrap()).unwrap(), affinity);
    assert_eq!(spec.priority_class_name.as_deref(), Some("high"));
    assert_eq!(spec.security_context.unwrap().run_as_user, Some(1000));
    let resources = spec.containers[0].resources.clone().unwrap();
    let of = |given: Option<BTreeMap<String, _>>, name: &str| {
        given.and_then(|given| {
            given
                .get(name)
                .map(|quantity: &k8s_openapi::apimachinery::pkg::api::resource::Quantity| quantity.0.clone())
        })
    };
    assert_eq!(of(resources.requests.clone(), "cpu").as_deref(), Some("2"));
    assert_eq!(of(resources.limits, "memory").as_deref(), Some("1Gi"));
    assert_eq!(of(resources.requests, "memory"), None, "resources are replaced as a whole");
}

#[test]
fn without_a_priority_class_in_the_spec_the_target_s_one_is_used() {
    let mut setup = setup();
    setup.pod.priority_class_name = Some("edge".to_owned());
    let class = |class: Option<&str>, more: serde_json::Value| {
        let backend = Backend { priority_class: class.map(str::to_owned), ..backend() };
        let made = objects(&service("checkout", &more), &setup, &backend).unwrap();
        deployment(&made).spec.unwrap().template.spec.unwrap().priority_class_name.unwrap()
    };
    assert_eq!(class(None, serde_json::json!({})), "edge");
    assert_eq!(class(Some("shop-critical"), serde_json::json!({})), "shop-critical");
    let own = serde_json::json!({"pod": {"priorityClassName": "own"}});
    assert_eq!(class(Some("shop-critical"), own), "own");
}

#[test]
fn the_service_and_the_rollout_support_a_cloud_s_load_balancer() {
    let more = serde_json::json!({"service": {
        "type": "LoadBalancer", "loadBalancerClass": "example.com/internal", "externalTrafficPolicy": "Local",
        "loadBalancerSourceRanges": ["192.0.2.0/24"], "ipFamilyPolicy": "PreferDualStack",
    }});
    let front: Service = object(&made(&more), "Service");
    let spec = front.spec.unwrap();
    assert_eq!(spec.load_balancer_class.as_deref(), Some("example.com/internal"));
    assert_eq!(spec.external_traffic_policy.as_deref(), Some("Local"));
    assert_eq!(spec.load_balancer_source_ranges.unwrap(), ["192.0.2.0/24"]);
    assert_eq!(spec.ip_family_policy.as_deref(), Some("PreferDualStack"));
    let seconds = |more: &serde_json::Value| deployment(&made(more)).spec.unwrap().min_ready_seconds;
    assert_eq!(seconds(&more), Some(30), "a cloud has to register it");
    assert_eq!(seconds(&serde_json::json!({})), None);
    assert_eq!(seconds(&serde_json::json!({"minReadySeconds": 90})), Some(90));
}

#[test]
fn a_balancer_that_is_not_ready_does_not_block_the_drain_of_its_node() {
    let budget: PodDisruptionBudget = object(&made(&serde_json::json!({})), "PodDisruptionBudget");
    assert_eq!(budget.spec.unwrap().unhealthy_pod_eviction_policy.as_deref(), Some("AlwaysAllow"));
}

#[test]
fn there_is_a_network_policy_only_if_the_operator_is_configured_for_it() {
    let kinds = |objects: &Objects| -> Vec<String> {
        objects.iter().filter_map(|object| Some(object.types.as_ref()?.kind.clone())).collect()
    };
    assert!(!kinds(&made(&serde_json::json!({}))).contains(&"NetworkPolicy".to_owned()));
    let mut setup = setup();
    setup.network_policy = Some(NetworkRules {
        metrics_from: serde_json::from_value(serde_json::json!([{"namespaceSelector": {}}])).unwrap(),
        ..NetworkRules::default()
    });
    let made = made_by(&setup, &serde_json::json!({}));
    assert_eq!(kinds(&made).last().map(String::as_str), Some("Deployment"), "which is applied last");
    let policy: serde_json::Value = object(&made, "NetworkPolicy");
    let spec = serde_json::json!({
        "podSelector": {"matchLabels": {BALANCER_LABEL: "checkout"}},
        "policyTypes": ["Ingress"],
        "ingress": [
            {"ports": [{"port": 10080, "protocol": "TCP"}, {"port": 10443, "protocol": "TCP"}]},
            {"ports": [{"port": 9101, "protocol": "TCP"}, {"port": 9102, "protocol": "TCP"}],
                "from": [{"namespaceSelector": {}}]},
        ],
    });
    assert_eq!(policy["spec"], spec);
}

#[test]
fn only_the_agent_s_container_mounts_the_token() {
    for provider in ["HAProxy", "NGINX"] {
        let made = made(&serde_json::json!({"provider": provider}));
        let pod = deployment(&made).spec.unwrap().template.spec.unwrap();
        assert_eq!(pod.share_process_namespace, None, "{provider}: /proc would lead to the other's files");
        let containers = pod.init_containers.iter().flatten().chain(&pod.containers);
        let with_token = containers
            .filter(|container| container.volume_mounts.iter().flatten().any(|mount| mount.name == "token"));
        let names: Vec<&str> = with_token.map(|container| container.name.as_str()).collect();
        assert_eq!(names, ["agent"], "{provider}");
    }
}

#[test]
fn replicas_are_applied_only_if_the_spec_has_them() {
    let replicas = |more: serde_json::Value| deployment(&made(&more)).spec.unwrap().replicas;
    assert_eq!(replicas(serde_json::json!({})), None);
    assert_eq!(replicas(serde_json::json!({"replicas": 3})), Some(3));
}
