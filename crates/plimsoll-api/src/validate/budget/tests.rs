//! Budgets as users write them, and the sentences of their refusals.

use std::collections::BTreeMap;

use crate::{
    BudgetMode, CapacityBudget, ConsumerRule, Criticality, Limit, ReclaimPolicy, UsageScope, ValidBudget,
};

/// A budget of `resource` with `limit`, and `more` below `spec`.
fn validated(resource: &str, limit: &str, more: &str) -> Result<ValidBudget, Vec<String>> {
    let yaml = format!(
        "{{apiVersion: plimsoll.dev/v1alpha1, kind: CapacityBudget, metadata: {{name: orders-db}}, \
         spec: {{resource: '{resource}', limit: {{{limit}}}{more}}}}}"
    );
    let budget: CapacityBudget = serde_saphyr::from_str(&yaml).unwrap();
    ValidBudget::of(&budget).map_err(|invalid| invalid.0)
}

/// Connections of a database with a limit of 60.
fn connections(more: &str) -> Result<ValidBudget, Vec<String>> {
    validated("db-connections", "type: Value, value: 60", more)
}

#[test]
fn the_defaults_match_the_documentation() {
    let budget = connections("").unwrap();
    assert_eq!((budget.limit, budget.reserved), (Limit::Value(60.0), 0.0));
    assert_eq!((budget.mode, budget.reclaim_policy), (BudgetMode::Observe, ReclaimPolicy::Never));
    assert_eq!((i32::from(budget.max_decrease), budget.usage), (20, None));
    assert_eq!(budget.consumers, []);
}

#[test]
fn every_value_is_parsed() {
    let more = ", mode: Enforce, maxDecreasePercent: 50, reserved: '6', reclaimPolicy: LowerCriticality, \
                usage: {includes: Others, prometheus: {query: sum(pg_stat_activity_count)}}, \
                consumers: [{name: shop, namespaceSelector: {}, maxCriticality: SheddablePlus, guaranteed: 2k}, \
                {name: rest, namespaceSelector: {}}]";
    let budget = connections(more).unwrap();
    assert_eq!((budget.mode, budget.reserved), (BudgetMode::Enforce, 6.0));
    assert_eq!(
        (i32::from(budget.max_decrease), budget.reclaim_policy),
        (50, ReclaimPolicy::LowerCriticality)
    );
    let usage = budget.usage.unwrap();
    assert_eq!((usage.includes, usage.prometheus.source.as_str()), (UsageScope::Others, "default"));
    let entries = budget.consumers.iter();
    let entries: Vec<_> = entries
        .map(|ConsumerRule { name, max_criticality, guaranteed, .. }| {
            (name.as_str(), *max_criticality, *guaranteed)
        })
        .collect();
    assert_eq!(entries, [("shop", Criticality::SheddablePlus, 2000.0), ("rest", Criticality::Critical, 0.0)]);
}

#[test]
fn each_type_of_limit_has_its_member() {
    let limit = |limit: &str| validated("cpu", limit, "").unwrap().limit;
    assert_eq!(limit("type: Value, value: 2500m"), Limit::Value(2.5));
    assert_eq!(limit("type: Value, value: 0"), Limit::Value(0.0));
    let Limit::Prometheus(query) = limit("type: Prometheus, prometheus: {source: main, query: up}") else {
        panic!()
    };
    assert_eq!((query.source.as_str(), query.query.as_str()), ("main", "up"));
    let Limit::Nodes(all) = limit("type: Nodes, nodes: {}") else { panic!() };
    assert!(all.selects_all());
    let Limit::Nodes(some) = limit("type: Nodes, nodes: {selector: {matchLabels: {pool: shop}}}") else {
        panic!()
    };
    assert_eq!(some.to_string(), "pool=shop");
    let Limit::ResourceQuota(quota) =
        limit("type: ResourceQuota, resourceQuota: {namespace: shop, name: all}")
    else {
        panic!()
    };
    assert_eq!((quota.namespace.as_str(), quota.name.as_str()), ("shop", "all"));
}

#[test]
fn each_invalid_limit_has_sentences() {
    for (resource, limit, sentences) in [
        ("cpu", "type: Value", &["spec.limit.value is missing; type Value needs it"][..]),
        (
            "cpu",
            "type: Value, value: 6, prometheus: {query: up}",
            &["spec.limit.prometheus is set; type Value takes value only"],
        ),
        (
            "cpu",
            "type: Nodes, value: 6",
            &[
                "spec.limit.value is set; type Nodes takes nodes only",
                "spec.limit.nodes is missing; type Nodes needs it",
            ],
        ),
        ("cpu", "type: ResourceQuota", &["spec.limit.resourceQuota is missing; type ResourceQuota needs it"]),
        (
            "cpu",
            "type: Value, value: -1",
            &["spec.limit.value is \"-1\"; it must be a quantity of at least 0, such as \"60\""],
        ),
        (
            "cpu",
            "type: Value, value: 60 connections",
            &["spec.limit.value is \"60 connections\"; it must be a quantity of at least 0, such as \"60\""],
        ),
        (
            "cpu",
            "type: Prometheus, prometheus: {query: ' '}",
            &["spec.limit.prometheus.query is empty; it must be PromQL"],
        ),
        (
            "cpu",
            "type: Nodes, nodes: {selector: {matchExpressions: [{key: pool, operator: In}]}}",
            &[
                "spec.limit.nodes.selector.matchExpressions[0].values is empty; it must have at least one value with operator In",
            ],
        ),
        (
            "db-connections",
            "type: Nodes, nodes: {}",
            &[
                "spec.limit.type is Nodes; with resource db-connections it must be Value or Prometheus, since nodes and \
               quotas count only cpu, memory and pods",
            ],
        ),
    ] {
        assert_eq!(validated(resource, limit, "").unwrap_err(), sentences, "{limit}");
    }
}

#[test]
fn each_invalid_field_has_a_sentence_with_its_path() {
    for (more, sentence) in [
        ("maxDecreasePercent: 0", "spec.maxDecreasePercent is 0; it must be from 1 to 100"),
        ("maxDecreasePercent: 101", "spec.maxDecreasePercent is 101; it must be from 1 to 100"),
        ("reserved: -6", "spec.reserved is \"-6\"; it must be a quantity of at least 0, such as \"6\""),
        ("usage: {prometheus: {query: ''}}", "spec.usage.prometheus.query is empty; it must be PromQL"),
        (
            "consumers: [{name: a, namespaceSelector: {}}, {name: a, namespaceSelector: {}}]",
            "spec.consumers has the name \"a\" twice; names must be unique",
        ),
        (
            "consumers: [{name: '', namespaceSelector: {}}]",
            "spec.consumers[0].name is empty; an entry needs a name",
        ),
        (
            "consumers: [{name: a, namespaceSelector: {}, guaranteed: some}]",
            "spec.consumers[0].guaranteed is \"some\"; it must be a quantity of at least 0, such as \"20\"",
        ),
        (
            "consumers: [{name: a, namespaceSelector: {matchExpressions: [{key: team, operator: Exists, values: [b]}]}}]",
            "spec.consumers[0].namespaceSelector.matchExpressions[0].values is set; it must be left out with operator Exists",
        ),
    ] {
        assert_eq!(connections(&format!(", {more}")).unwrap_err(), [sentence], "{more}");
    }
    let sentences = validated("db connections", "type: Value, value: 60", "").unwrap_err();
    assert_eq!(
        sentences,
        ["spec.resource is \"db connections\"; it must be 1 to 63 letters, digits, ., _, / and -"]
    );
}

/// It may be temporary, for example while a database has fewer connections; the status reports it.
#[test]
fn guarantees_above_the_limit_are_not_refused() {
    assert!(connections(", consumers: [{name: a, namespaceSelector: {}, guaranteed: 1k}]").is_ok());
}

#[test]
fn a_namespace_belongs_to_the_first_entry_that_matches() {
    let team = "namespaceSelector: {matchLabels: {team: shop}}";
    let named = "namespaceSelector: {matchExpressions: [{key: team, operator: Exists}]}";
    let entry = |consumers: &str, labels: &[(&str, &str)]| {
        let budget = connections(consumers).unwrap();
        let labels: BTreeMap<_, _> =
            labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        budget.entry_of(&labels)
    };
    let both = format!(", consumers: [{{name: a, {team}}}, {{name: b, {named}}}]");
    assert_eq!(entry(&both, &[("team", "shop")]), Some(0));
    assert_eq!(entry(&both, &[("team", "ads")]), Some(1));
    assert_eq!(entry(&both, &[("tier", "shop")]), None);
    assert_eq!(entry("", &[("team", "shop")]), None);
    assert_eq!(entry(", consumers: [{name: all, namespaceSelector: {}}]", &[]), Some(0));
}
