//! The input lines of `plimsoll plan`.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, Unexpected},
};

use super::files::Files;
use crate::{cli::filter, input::typed};
use plimsoll_api::{
    Limit, Quantity, ValidBudget,
    words::{child, did_you_mean},
};
use plimsoll_engine::capacity::{BudgetFacts, Facts, NodeFacts, Requests, ServiceFacts};

/// What is known at a moment.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanLine {
    /// Seconds from any start, not before the previous line.
    #[schemars(range(min = -62_135_596_800_i64, max = 221_845_391_999_i64))]
    pub time: f64,
    /// Each service by `NAMESPACE/NAME`. A service without an entry runs no replicas and asks for `minReplicas`.
    #[serde(default)]
    pub services: BTreeMap<String, ServiceLine>,
    /// Measured amounts of each budget by its name.
    #[serde(default)]
    pub budgets: BTreeMap<String, BudgetLine>,
    /// Nodes that take new pods, by name; unknown without it.
    pub nodes: Option<BTreeMap<String, NodeLine>>,
}

/// What is known of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceLine {
    /// Replicas that it asks for; by default as many as `replicas`. Less than `minReplicas` counts as `minReplicas`, more than
    /// `maxReplicas` as `maxReplicas`.
    #[serde(default, deserialize_with = "optional_count")]
    #[schemars(range(min = 0))]
    pub wanted: Option<i32>,
    /// Current `spec.replicas` of its target; 0 by default.
    #[serde(default, deserialize_with = "count")]
    #[schemars(range(min = 0))]
    pub replicas: i32,
    /// Pods that exist, with those of a rollout and those that terminate; by default as many as `replicas`.
    #[serde(default, deserialize_with = "optional_count")]
    #[schemars(range(min = 0))]
    pub pods: Option<i32>,
    /// Ready pods; by default all of `pods`, but not more than `replicas`. Not more than `pods`.
    #[serde(default, deserialize_with = "optional_count")]
    #[schemars(range(min = 0))]
    pub ready: Option<i32>,
    /// Number of its pods on each of the line's `nodes`; not more than `pods` in total.
    #[serde(default, deserialize_with = "counts")]
    pub nodes: BTreeMap<String, i32>,
}

impl ServiceLine {
    fn pods(&self) -> i32 {
        self.pods.unwrap_or(self.replicas)
    }
}

/// What is measured of a budget.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BudgetLine {
    /// The limit, for `limit.type` Prometheus and ResourceQuota; unknown without it.
    #[serde(default, deserialize_with = "optional_amount")]
    #[schemars(schema_with = "amount_schema")]
    pub limit: Option<f64>,
    /// The use: the result of `usage`, or what a ResourceQuota counts; unknown without it.
    #[serde(default, deserialize_with = "optional_amount")]
    #[schemars(schema_with = "amount_schema")]
    pub used: Option<f64>,
}

/// What is known of a node.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeLine {
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// `status.allocatable`; an absent amount is unknown and limits nothing.
    #[serde(default)]
    pub allocatable: ResourcesLine,
    /// Requests of pods on it that belong to no service of the files; an absent amount is 0.
    #[serde(default)]
    pub others: ResourcesLine,
}

/// Amounts of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResourcesLine {
    /// Cores.
    #[serde(default, deserialize_with = "optional_amount")]
    #[schemars(schema_with = "amount_schema")]
    pub cpu: Option<f64>,
    /// Bytes.
    #[serde(default, deserialize_with = "optional_amount")]
    #[schemars(schema_with = "amount_schema")]
    pub memory: Option<f64>,
    /// Number of pods.
    #[serde(default, deserialize_with = "optional_amount")]
    #[schemars(schema_with = "amount_schema")]
    pub pods: Option<f64>,
}

impl ResourcesLine {
    /// The amounts, with `absent` in place of those that the line does not have.
    fn or(self, absent: f64) -> Requests {
        Requests {
            cpu: self.cpu.unwrap_or(absent),
            memory: self.memory.unwrap_or(absent),
            pods: self.pods.unwrap_or(absent),
        }
    }
}

fn count<'de, D: Deserializer<'de>>(from: D) -> Result<i32, D::Error> {
    let number = i64::deserialize(from)?;
    let count = i32::try_from(number).ok().filter(|count| *count >= 0);
    let allowed = "a whole number from 0 to 2147483647";
    count.ok_or_else(|| D::Error::invalid_value(Unexpected::Signed(number), &allowed))
}

fn optional_count<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i32>, D::Error> {
    count(from).map(Some)
}

#[derive(Deserialize)]
#[serde(transparent)]
struct Count(#[serde(deserialize_with = "count")] i32);

fn counts<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, i32>, D::Error> {
    let counts = BTreeMap::<String, Count>::deserialize(from)?;
    Ok(counts.into_iter().map(|(name, Count(count))| (name, count)).collect())
}

fn amount<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    let quantity = Quantity::deserialize(from)?;
    let allowed = "a quantity of at least 0, such as 60 or \"250m\"";
    let value = quantity.value().filter(|value| *value >= 0.0);
    value.ok_or_else(|| D::Error::invalid_value(Unexpected::Str(&quantity.0), &allowed))
}

fn optional_amount<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    amount(from).map(Some)
}

fn amount_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "maxLength": 32}]})
}

/// Reads a line.
///
/// # Errors
/// One sentence: the field, what was found, what is allowed.
pub(super) fn read(bytes: &[u8], files: &Files) -> Result<PlanLine, String> {
    let line = filter::object(bytes, "time, services, budgets and nodes")?;
    filter::time(&line)?;
    let parsed: PlanLine = typed(&line, "")?;
    for (name, service) in &parsed.services {
        let known = name.split_once('/').is_some_and(|(namespace, name)| {
            files.services.contains_key(&(namespace.to_owned(), name.to_owned()))
        });
        if !known {
            let all = files.services.keys().map(|(namespace, name)| format!("{namespace}/{name}"));
            return Err(unknown("services", name, all, "in the files"));
        }
        consistent(&child("services", name), service)?;
        placed(&child(&child("services", name), "nodes"), service, parsed.nodes.as_ref())?;
    }
    for (name, budget) in &parsed.budgets {
        let Some(valid) = files.budgets.get(name) else {
            return Err(unknown("budgets", name, files.budgets.keys().cloned(), "in the files"));
        };
        measured(name, budget, valid)?;
    }
    Ok(parsed)
}

/// The sentence for a name that is not in `known`.
fn unknown(path: &str, name: &str, known: impl Iterator<Item = String>, place: &str) -> String {
    let known: Vec<String> = known.collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let meant = did_you_mean(name, &known);
    format!("{} is unknown{meant}; it must be {place}", child(path, name))
}

/// Refuses more ready or placed pods than there are.
fn consistent(path: &str, service: &ServiceLine) -> Result<(), String> {
    let pods = service.pods();
    if let Some(ready) = service.ready.filter(|ready| *ready > pods) {
        return Err(format!("{path}.ready is {ready}; it must be at most {pods}, the number of pods"));
    }
    let placed: i64 = service.nodes.values().copied().map(i64::from).sum();
    if placed > i64::from(pods) {
        return Err(format!(
            "{path}.nodes has {placed} pods in total; it must have at most {pods}, the number of pods"
        ));
    }
    Ok(())
}

/// Refuses pods on nodes that the line does not have.
fn placed(
    path: &str,
    service: &ServiceLine,
    nodes: Option<&BTreeMap<String, NodeLine>>,
) -> Result<(), String> {
    let Some(nodes) = nodes else {
        if service.nodes.is_empty() {
            return Ok(());
        }
        return Err(format!(
            "{path} is set, but the line has no nodes; it must be absent, or the line must have nodes"
        ));
    };
    match service.nodes.keys().find(|name| !nodes.contains_key(*name)) {
        Some(name) => Err(unknown(path, name, nodes.keys().cloned(), "among the nodes")),
        None => Ok(()),
    }
}

/// Refuses measured amounts where the budget has another source for them.
fn measured(name: &str, line: &BudgetLine, budget: &ValidBudget) -> Result<(), String> {
    let path = child("budgets", name);
    let source = match budget.limit {
        Limit::Value(_) => Some("limit.value"),
        Limit::Nodes(_) => Some("nodes"),
        Limit::Prometheus(_) | Limit::ResourceQuota(_) => None,
    };
    if let (Some(limit), Some(source)) = (line.limit, source) {
        return Err(format!(
            "{path}.limit is {limit}; it must be absent, since the limit is that of {source}"
        ));
    }
    let counts = budget.usage.is_some() || matches!(budget.limit, Limit::ResourceQuota(_));
    match line.used {
        Some(used) if !counts => {
            Err(format!("{path}.used is {used}; it must be absent, since the budget has no usage"))
        }
        _ => Ok(()),
    }
}

impl PlanLine {
    /// What the line and the files say.
    pub(super) fn facts<'a>(&self, files: &'a Files) -> Facts<'a> {
        let services = files.services.iter().map(|((namespace, name), service)| {
            let known = self.services.get(&format!("{namespace}/{name}")).cloned().unwrap_or_default();
            let target = &service.target;
            ServiceFacts {
                namespace,
                name,
                spec: &service.valid,
                namespace_labels: files.labels(namespace),
                namespace_known: files.namespace_known(namespace),
                target: format!("{} {}", target.kind, target.name),
                workload: files.workload(namespace, target).cloned(),
                replicas: known.replicas,
                wanted: known.wanted.unwrap_or(known.replicas),
                pods: known.pods(),
                // Pods beyond the replicas are those of a rollout or terminate: they are probably not ready.
                ready: known.ready.unwrap_or_else(|| known.pods().min(known.replicas)),
                on_nodes: known.nodes,
            }
        });
        let budgets = files.budgets.iter().map(|(name, spec)| {
            let known = self.budgets.get(name).cloned().unwrap_or_default();
            BudgetFacts { name, spec, limit: known.limit, used: known.used }
        });
        let node = |(name, node): (&String, &NodeLine)| NodeFacts {
            name: name.clone(),
            labels: node.labels.clone(),
            allocatable: node.allocatable.or(f64::INFINITY),
            others: node.others.or(0.0),
        };
        let nodes = self.nodes.as_ref().map(|nodes| nodes.iter().map(node).collect());
        Facts { services: services.collect(), budgets: budgets.collect(), nodes }
    }
}
