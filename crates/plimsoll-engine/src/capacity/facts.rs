//! What is known of services, budgets and nodes. Amounts are in the unit of the resource: cores, bytes, or a count.

use std::collections::BTreeMap;

use plimsoll_api::{Limit, ValidBudget, Validated};

use crate::arbiter::Surge;

/// Everything that is known at a moment.
#[derive(Clone, Debug, Default)]
pub struct Facts<'a> {
    /// In the order of their names, which decides between equal services.
    pub services: Vec<ServiceFacts<'a>>,
    /// In the order of their names.
    pub budgets: Vec<BudgetFacts<'a>>,
    /// Nodes that take new pods; `None` if they are unknown.
    pub nodes: Option<Vec<NodeFacts>>,
}

/// What is known of one service.
#[derive(Clone, Debug)]
pub struct ServiceFacts<'a> {
    /// Namespace.
    pub namespace: &'a str,
    /// Name.
    pub name: &'a str,
    /// The valid spec.
    pub spec: &'a Validated,
    /// Labels of the namespace.
    pub namespace_labels: &'a BTreeMap<String, String>,
    /// Whether all labels of the namespace are known.
    pub namespace_known: bool,
    /// Kind and name of the target, for messages.
    pub target: String,
    /// The target's pods; `None` if the target is unknown.
    pub workload: Option<Workload>,
    /// The target's `spec.replicas`.
    pub replicas: i32,
    /// Replicas that it asks for.
    pub wanted: i32,
    /// Pods that exist, with those of a rollout and those that terminate.
    pub pods: i32,
    /// Pods that are ready, at most `pods`: what a measured use includes.
    pub ready: i32,
    /// How many of its pods are on which node.
    pub on_nodes: BTreeMap<String, i32>,
}

impl ServiceFacts<'_> {
    /// `NAMESPACE/NAME`.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// What the pod template and the rollout strategy of a target say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Workload {
    /// Requests of one pod.
    pub requests: Requests,
    /// `nodeSelector`.
    pub node_selector: BTreeMap<String, String>,
    /// Additional pods of a rollout.
    pub surge: Surge,
}

/// Amounts of what pods request and nodes have.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Requests {
    /// Cores.
    pub cpu: f64,
    /// Bytes.
    pub memory: f64,
    /// Number of pods: 1 for one pod.
    pub pods: f64,
}

impl Requests {
    /// A pod with unknown requests: they count as zero.
    pub(super) const UNKNOWN: Self = Self { cpu: 0.0, memory: 0.0, pods: 1.0 };

    /// The amount of a resource by its name; `None` for another resource.
    #[must_use]
    pub fn of(&self, resource: &str) -> Option<f64> {
        match resource {
            "cpu" => Some(self.cpu),
            "memory" => Some(self.memory),
            "pods" => Some(self.pods),
            _ => None,
        }
    }
}

/// What is known of one budget.
#[derive(Clone, Debug)]
pub struct BudgetFacts<'a> {
    /// Name.
    pub name: &'a str,
    /// The valid spec.
    pub spec: &'a ValidBudget,
    /// The measured limit, for types Prometheus and ResourceQuota; `None` if it is unknown.
    pub limit: Option<f64>,
    /// The measured use: the result of `usage`, or what a ResourceQuota counts; `None` if it is unknown.
    pub used: Option<f64>,
}

impl BudgetFacts<'_> {
    /// Whether its limit is the sum of nodes.
    pub(super) fn is_of_nodes(&self) -> bool {
        matches!(self.spec.limit, Limit::Nodes(_))
    }
}

/// What is known of one node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeFacts {
    /// Name.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// `status.allocatable`; infinite if unknown.
    pub allocatable: Requests,
    /// Requests of the pods on it that belong to no service.
    pub others: Requests,
}
