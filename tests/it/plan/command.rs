//! What the budgets grant, as a user sees it.

use serde_json::{Value, json};

use super::run::plan;

/// A database with 60 connections, and two services with 8 and 4 connections per replica.
const SHOP: &str = r#"
apiVersion: plimsoll.dev/v1alpha1
kind: CapacityBudget
metadata: {name: orders-db}
spec:
  resource: db-connections
  mode: Enforce
  limit: {type: Prometheus, prometheus: {query: min(pg_settings_max_connections)}}
  reserved: "4"
  usage: {prometheus: {query: sum(pg_stat_activity_count)}}
  consumers:
  - {name: shop, namespaceSelector: {matchLabels: {team: shop}}}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: shop}}
---
apiVersion: plimsoll.dev/v1alpha1
kind: ScalableService
metadata: {name: checkout, namespace: shop}
spec:
  scaleTargetRef: {kind: Deployment, name: checkout}
  maxReplicas: 20
  consumes: [{budgetName: orders-db, perReplica: 8}]
  kpis: [{name: load, type: Load, query: x, perReplica: "1"}]
---
apiVersion: plimsoll.dev/v1alpha1
kind: ScalableService
metadata: {name: reports, namespace: shop}
spec:
  scaleTargetRef: {kind: StatefulSet, name: reports}
  maxReplicas: 20
  criticality: Sheddable
  consumes: [{budgetName: orders-db, perReplica: 4}]
  kpis: [{name: load, type: Load, query: x, perReplica: "1"}]
"#;

#[track_caller]
fn one(manifests: &str, line: &Value) -> Value {
    let answers = plan(manifests, &line.to_string());
    assert_eq!(answers.code, Some(0), "{} {:?}", answers.errors, answers.lines);
    answers.lines[0].clone()
}

fn messages(answer: &Value) -> Vec<&str> {
    answer["reasons"].as_array().unwrap().iter().map(|reason| reason["message"].as_str().unwrap()).collect()
}

#[test]
fn the_more_critical_service_comes_first_and_the_other_is_told_who_has_the_rest() {
    // 10 of the 42 connections belong to others: 60 - 4 reserved - 10 are left for the two.
    let line = json!({
        "time": 0,
        "services": {"shop/checkout": {"wanted": 4, "replicas": 3}, "shop/reports": {"wanted": 9, "replicas": 2}},
        "budgets": {"orders-db": {"limit": 60, "used": 42}},
    });
    let answer = one(SHOP, &line);
    let checkout = &answer["services"]["shop/checkout"];
    assert_eq!((&checkout["granted"], &checkout["wanted"]), (&json!(4), &json!(4)), "{checkout}");
    assert_eq!(messages(checkout), Vec::<&str>::new());
    let reports = &answer["services"]["shop/reports"];
    assert_eq!((&reports["granted"], &reports["achievable"]), (&json!(3), &json!(3)), "{reports}");
    assert_eq!(
        messages(reports),
        ["asked for 9, the budget orders-db allows 3; shop/checkout, Critical, has 32 of its 56"]
    );
    let budget = &answer["budgets"]["orders-db"];
    assert_eq!(budget["limit"], 60.0);
    assert_eq!(budget["used"], 42.0);
    assert_eq!((&budget["requested"], &budget["granted"]), (&json!(68.0), &json!(44.0)), "{budget}");
    assert_eq!(budget["consumers"]["shop"], json!({"services": 2, "requested": 68.0, "granted": 44.0}));
    assert_eq!(budget["exhausted"], true);
    assert_eq!(messages(budget), ["44 of the requested 68 are granted"]);
}

#[test]
fn a_rollout_of_the_target_has_room() {
    let deployment = r#"
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: checkout, namespace: shop}
spec:
  strategy: {rollingUpdate: {maxSurge: 50%}}
  template: {spec: {containers: [{name: app}]}}
"#;
    let line = json!({
        "time": 0,
        "services": {"shop/checkout": {"wanted": 9}},
        "budgets": {"orders-db": {"limit": 60, "used": 0}},
    });
    assert_eq!(
        one(SHOP, &line)["services"]["shop/checkout"]["granted"],
        6,
        "6 replicas, with one of reports"
    );
    let with = SHOP.to_owned() + deployment;
    assert_eq!(one(&with, &line)["services"]["shop/checkout"]["granted"], 4, "4 and 2 of a rollout");
}

#[test]
fn an_unknown_limit_or_use_changes_nothing() {
    for budgets in [json!({}), json!({"orders-db": {"limit": 60}}), json!({"orders-db": {"used": 10}})] {
        let line = json!({
            "time": 0,
            "services": {"shop/checkout": {"wanted": 4, "replicas": 3}, "shop/reports": {"wanted": 1, "replicas": 2}},
            "budgets": budgets,
        });
        let answer = one(SHOP, &line);
        assert_eq!(answer["services"]["shop/checkout"]["granted"], 3, "{answer}");
        assert_eq!(answer["services"]["shop/reports"]["granted"], 1, "{answer}");
        assert_eq!(
            messages(&answer["services"]["shop/checkout"]),
            ["the limit or the use of the budget orders-db is unknown, so 3 replicas are kept"]
        );
    }
}

#[test]
fn a_limit_that_falls_suddenly_counts_only_after_five_minutes() {
    let line = |time: u32, limit: u32| {
        json!({
            "time": time,
            "services": {"shop/checkout": {"wanted": 6, "replicas": 2}},
            "budgets": {"orders-db": {"limit": limit, "used": 20}},
        })
        .to_string()
    };
    let lines = [(0, 60), (15, 6), (30, 60), (45, 30), (344, 30), (345, 30), (360, 29)];
    let answers = plan(SHOP, &lines.map(|(time, limit)| line(time, limit)).join("\n"));
    let granted: Vec<&Value> =
        answers.lines.iter().map(|line| &line["services"]["shop/checkout"]["granted"]).collect();
    assert_eq!(granted, [6, 2, 6, 2, 2, 2, 2], "{:#?}", answers.lines);
    let budget = |at: usize| messages(&answers.lines[at]["budgets"]["orders-db"])[0];
    assert_eq!(
        budget(1),
        "the limit fell from 60 to 6, by more than 20 %; it is unknown for 300 s more, unless it rises again"
    );
    assert!(budget(4).contains("unknown for 1 s more"), "{}", budget(4));
    assert!(budget(5).contains("are granted"), "{}", budget(5));
    assert_eq!(answers.lines[5]["budgets"]["orders-db"]["limit"], 30.0);
}

#[test]
fn a_tenant_can_not_put_itself_before_others() {
    let greedy = SHOP.replace("criticality: Sheddable", "criticality: CriticalPlus");
    let line = json!({
        "time": 0,
        "services": {"shop/checkout": {"wanted": 9}, "shop/reports": {"wanted": 20}},
        "budgets": {"orders-db": {"limit": 60, "used": 0}},
    });
    let answer = one(&greedy, &line);
    let reports = &answer["services"]["shop/reports"];
    assert_eq!(reports["criticality"], "Critical");
    assert_eq!(
        answer["services"]["shop/checkout"]["granted"], 3,
        "both have 28 connections or one replica less"
    );
    assert!(
        messages(reports).contains(
            &"criticality is CriticalPlus, but the budget orders-db admits Critical at most, so Critical counts"
        ),
        "{reports}"
    );
}

#[test]
fn a_namespace_without_an_entry_may_not_consume() {
    let others = SHOP.replace("team: shop}}}", "team: payments}}}");
    let line = json!({
        "time": 0,
        "services": {"shop/checkout": {"wanted": 9, "replicas": 2}},
        "budgets": {"orders-db": {"limit": 60, "used": 0}},
    });
    let checkout = &one(&others, &line)["services"]["shop/checkout"];
    assert_eq!(checkout["granted"], 2);
    let expected =
        "no entry in consumers of the budget orders-db selects the namespace, so 2 replicas are kept";
    assert!(messages(checkout).contains(&expected), "{checkout}");
}

#[test]
fn what_the_files_lack_is_named() {
    let service = r#"
apiVersion: plimsoll.dev/v1alpha1
kind: ScalableService
metadata: {name: checkout, namespace: shop}
spec:
  scaleTargetRef: {kind: Deployment, name: checkout}
  maxReplicas: 20
  consumes: [{budgetName: orders, perReplica: 8}]
  dependsOn: [{name: catalog}]
  kpis: [{name: load, type: Load, query: x, perReplica: "1"}]
---
apiVersion: plimsoll.dev/v1alpha1
kind: CapacityBudget
metadata: {name: pods}
spec:
  resource: pods
  limit: {type: ResourceQuota, resourceQuota: {namespace: shop, name: quota}}
  consumers: [{name: all, namespaceSelector: {}}]
"#;
    let line = json!({
        "time": 0,
        "services": {"shop/checkout": {"wanted": 9, "replicas": 2}},
        "budgets": {"pods": {"limit": 12, "used": 7}},
    });
    let checkout = &one(service, &line)["services"]["shop/checkout"];
    assert_eq!(checkout["granted"], 7, "5 of the pods belong to others: {checkout}");
    assert_eq!(checkout["budgets"], json!(["pods"]));
    let messages = messages(checkout);
    for expected in [
        "consumes names the budget orders, which does not exist, so it limits nothing",
        "dependsOn names shop/catalog, which does not exist",
        "the requests of Deployment checkout are unknown and count as zero",
    ] {
        assert!(messages.contains(&expected), "{messages:#?}");
    }
}

#[test]
fn replicas_fit_node_by_node_beside_the_pods_of_others() {
    let cluster = r#"
apiVersion: plimsoll.dev/v1alpha1
kind: CapacityBudget
metadata: {name: cpu}
spec:
  resource: cpu
  limit: {type: Nodes, nodes: {selector: {matchLabels: {pool: general}}}}
  consumers: [{name: all, namespaceSelector: {}}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  template:
    spec:
      nodeSelector: {pool: general}
      containers: [{name: app, resources: {requests: {cpu: 1500m}}}]
---
apiVersion: plimsoll.dev/v1alpha1
kind: ScalableService
metadata: {name: web}
spec:
  scaleTargetRef: {kind: Deployment, name: web}
  minReplicas: 4
  maxReplicas: 20
  kpis: [{name: load, type: Load, query: x, perReplica: "1"}]
"#;
    let node = |pool: &str, others: &str| json!({"labels": {"pool": pool}, "allocatable": {"cpu": 4, "memory": "8Gi", "pods": 110}, "others": {"cpu": others}});
    let nodes = json!({"a": node("general", "1200m"), "b": node("general", "0"), "gpu": node("gpu", "0")});
    let line = json!({"time": 0, "services": {"default/web": {"wanted": 9}}, "nodes": nodes});
    let answer = one(cluster, &line);
    let web = &answer["services"]["default/web"];
    assert_eq!(
        web["granted"], 3,
        "one beside the others on a, two on b, although 6.8 CPUs would be 4 replicas: {web}"
    );
    assert_eq!(
        messages(web),
        ["asked for 9, the nodes have room for 3", "the minimum is 4 replicas, but only 3 can be granted"]
    );
    assert_eq!(answer["budgets"]["cpu"]["limit"], 8.0);
    assert_eq!(answer["budgets"]["cpu"]["used"], 1.2);
}

#[test]
fn a_service_that_does_not_say_what_it_wants_keeps_its_replicas() {
    let of = |checkout: Value| {
        let line = json!({
            "time": 0,
            "services": {"shop/checkout": checkout},
            "budgets": {"orders-db": {"limit": 60, "used": 0}},
        });
        let answer = one(SHOP, &line);
        let checkout = &answer["services"]["shop/checkout"];
        (checkout["wanted"].clone(), checkout["granted"].clone())
    };
    assert_eq!(of(json!({"replicas": 4})), (json!(4), json!(4)));
    assert_eq!(of(json!({"replicas": 4, "wanted": 2})), (json!(2), json!(2)));
    assert_eq!(of(json!({"replicas": 4, "wanted": 0})), (json!(1), json!(1)), "minReplicas");
    assert_eq!(of(json!({})), (json!(1), json!(1)), "minReplicas");
}

#[test]
fn a_tenant_can_not_raise_a_dependency_above_what_its_budget_admits() {
    let dummy = r#"
---
apiVersion: plimsoll.dev/v1alpha1
kind: ScalableService
metadata: {name: dummy, namespace: shop}
spec:
  scaleTargetRef: {kind: Deployment, name: dummy}
  maxReplicas: 20
  criticality: CriticalPlus
  dependsOn: [{name: reports}]
  kpis: [{name: load, type: Load, query: x, perReplica: "1"}]
"#;
    let line = json!({
        "time": 0,
        "services": {"shop/checkout": {"wanted": 9}, "shop/reports": {"wanted": 20}},
        "budgets": {"orders-db": {"limit": 60, "used": 0}},
    });
    let reports = &one(&(SHOP.to_owned() + dummy), &line)["services"]["shop/reports"];
    assert_eq!(reports["criticality"], "Critical");
    let expected = "criticality is Sheddable, but a more critical service depends on it, so Critical counts";
    assert!(messages(reports).contains(&expected), "{reports}");
}

#[test]
fn a_rollout_does_not_hide_what_others_use() {
    // Others have 16 connections. The three new pods of the rollout have none yet.
    let line = |ready: u32, pods: u32, used: u32| {
        json!({
            "time": 0,
            "services": {
                "shop/checkout": {"wanted": 3, "replicas": 3, "pods": pods, "ready": ready},
                "shop/reports": {"wanted": 20},
            },
            "budgets": {"orders-db": {"limit": 60, "used": used}},
        })
    };
    for (ready, pods, used, reports) in [(3, 3, 40, 4), (3, 4, 40, 2), (3, 6, 40, 0)] {
        let answer = one(SHOP, &line(ready, pods, used));
        assert_eq!(answer["services"]["shop/reports"]["granted"], reports, "{pods} pods: {answer}");
        assert_eq!(answer["budgets"]["orders-db"]["used"], f64::from(used), "as it was measured");
    }
}

#[test]
fn with_usage_of_others_the_query_counts_nothing_else() {
    let others = SHOP.replace("usage: {prometheus", "usage: {includes: Others, prometheus");
    let line = json!({
        "time": 0,
        "services": {"shop/checkout": {"wanted": 9, "replicas": 2}},
        "budgets": {"orders-db": {"limit": 60, "used": 20}},
    });
    let answer = one(&others, &line);
    assert_eq!(answer["services"]["shop/checkout"]["granted"], 4, "60 - 4 - 20 - 4 of reports");
    assert_eq!(answer["budgets"]["orders-db"]["used"], 36.0, "20, and 16 of the two replicas");
    let checkout = messages(&answer["services"]["shop/checkout"]).join("");
    assert_eq!(
        checkout,
        "asked for 9, the budget orders-db allows 4; others than its consumers use 20 of its 56"
    );
}

#[test]
fn a_limit_that_falls_further_is_unknown_for_longer() {
    let line = |(time, limit): (u32, u32)| {
        json!({
            "time": time,
            "services": {"shop/checkout": {"wanted": 6, "replicas": 2}},
            "budgets": {"orders-db": {"limit": limit, "used": 20}},
        })
        .to_string()
    };
    let answers =
        plan(SHOP, &[(0, 60), (15, 40), (300, 6), (315, 6), (599, 6), (600, 6)].map(line).join("\n"));
    let known: Vec<bool> =
        answers.lines.iter().map(|line| line["budgets"]["orders-db"]["limit"].is_number()).collect();
    assert_eq!(known, [true, false, false, false, false, true]);
}

#[test]
fn pods_of_services_that_may_run_elsewhere_take_room_on_the_nodes() {
    let manifests = r#"
apiVersion: plimsoll.dev/v1alpha1
kind: CapacityBudget
metadata: {name: cpu}
spec:
  resource: cpu
  limit: {type: Nodes, nodes: {selector: {matchLabels: {pool: general}}}}
  consumers: [{name: all, namespaceSelector: {}}]
"#
    .to_owned()
        + &["general", "any"]
            .map(|name| {
                let selector = if name == "any" { "" } else { "nodeSelector: {pool: general}, " };
                format!(
                    "---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec: {{template: {{spec: {{{selector}containers: [{{name: app, resources: {{requests: {{cpu: 1}}}}}}]}}}}}}
---
apiVersion: plimsoll.dev/v1alpha1
kind: ScalableService
metadata: {{name: {name}}}
spec:
  scaleTargetRef: {{kind: Deployment, name: {name}}}
  maxReplicas: 20
  kpis: [{{name: load, type: Load, query: x, perReplica: '1'}}]
"
                )
            })
            .concat();
    let node = |pool: &str| json!({"labels": {"pool": pool}, "allocatable": {"cpu": 10}});
    let line = json!({
        "time": 0,
        "services": {"default/general": {"wanted": 20}, "default/any": {"wanted": 9, "replicas": 9, "nodes": {"a": 7, "b": 2}}},
        "nodes": {"a": node("general"), "b": node("gpu")},
    });
    let answer = one(&manifests, &line);
    assert_eq!(answer["services"]["default/general"]["granted"], 3, "{answer}");
    assert_eq!(answer["services"]["default/any"]["budgets"], json!([]));
    assert_eq!(answer["budgets"]["cpu"]["used"], 7.0);
}
