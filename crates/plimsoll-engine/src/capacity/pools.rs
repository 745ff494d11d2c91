//! Sets of nodes on which the pods of services may run.

use std::collections::BTreeMap;

use super::{BudgetFacts, Facts, NodeFacts, Requests, ServiceFacts};
use crate::arbiter::{Amount, Consumption, Placement, Resources};

/// The nodes on which pods with one node selector may run.
pub(super) struct Pool {
    /// Its position in the input of the arbiter.
    position: usize,
    /// Positions of the budgets of nodes that pods with this selector consume.
    budgets: Vec<usize>,
}

impl Pool {
    /// Whether pods that run here consume a budget of nodes.
    pub fn consumes(&self, budget: usize) -> bool {
        self.budgets.contains(&budget)
    }
}

/// Pools by node selector: few, but for many services.
pub(super) struct Pools<'a> {
    facts: &'a Facts<'a>,
    /// Positions of the nodes of each pool.
    pub nodes: Vec<Vec<usize>>,
    by_selector: BTreeMap<BTreeMap<String, String>, Pool>,
    by_name: BTreeMap<&'a str, usize>,
}

impl<'a> Pools<'a> {
    pub fn of(facts: &'a Facts<'_>) -> Self {
        let by_name = facts.nodes.iter().flatten().enumerate().map(|(at, node)| (node.name.as_str(), at));
        Self { facts, nodes: Vec::new(), by_selector: BTreeMap::new(), by_name: by_name.collect() }
    }

    /// The pool of a service.
    pub fn pool(&mut self, service: &ServiceFacts<'_>) -> &Pool {
        let selector = service.workload.as_ref().map(|workload| workload.node_selector.clone());
        let selector = selector.unwrap_or_default();
        let Self { facts, nodes, by_selector, .. } = self;
        by_selector.entry(selector).or_insert_with_key(|selector| {
            let (members, budgets) = members(facts, selector);
            nodes.push(members);
            Pool { position: nodes.len() - 1, budgets }
        })
    }

    /// Where the pods of a service can run; `None` if it consumes no budget of nodes, or the nodes are unknown.
    pub fn placement(&mut self, service: &ServiceFacts<'_>, consumes: &[Consumption]) -> Option<Placement> {
        let facts = self.facts;
        facts.nodes.as_ref()?;
        let is_of_nodes =
            |one: &Consumption| facts.budgets.get(one.budget).is_some_and(BudgetFacts::is_of_nodes);
        if !consumes.iter().any(is_of_nodes) {
            return None;
        }
        let pool = self.pool(service).position;
        let requests = service.workload.as_ref().map_or(Requests::UNKNOWN, |workload| workload.requests);
        let shape = Resources {
            cpu: Amount::of(requests.cpu),
            memory: Amount::of(requests.memory),
            pods: Amount::of(requests.pods),
        };
        let mut pods = Vec::new();
        for (name, count) in &service.on_nodes {
            let count = usize::try_from(*count).unwrap_or_default();
            let node = self.by_name.get(name.as_str()).into_iter();
            pods.extend(node.flat_map(|node| std::iter::repeat_n(*node, count)));
        }
        Some(Placement { pool, shape, pods })
    }
}

/// The nodes with the labels of a selector, and the budgets that pods with this selector consume: they can run only on nodes of
/// the budget. Without such a node, their node selector must say so.
fn members(facts: &Facts<'_>, selector: &BTreeMap<String, String>) -> (Vec<usize>, Vec<usize>) {
    let has_labels =
        |node: &NodeFacts| selector.iter().all(|(key, value)| node.labels.get(key) == Some(value));
    let nodes = facts.nodes.iter().flatten().enumerate().filter(|(_, node)| has_labels(node));
    let nodes: Vec<(usize, &NodeFacts)> = nodes.collect();
    let consumed = |budget: &BudgetFacts<'_>| {
        let limit = &budget.spec.limit;
        if nodes.is_empty() {
            limit.includes_node(selector)
        } else {
            nodes.iter().all(|(_, node)| limit.includes_node(&node.labels))
        }
    };
    let budgets = facts.budgets.iter().enumerate().filter(|(_, budget)| consumed(budget));
    let budgets = budgets.map(|(position, _)| position).collect();
    (nodes.into_iter().map(|(position, _)| position).collect(), budgets)
}
