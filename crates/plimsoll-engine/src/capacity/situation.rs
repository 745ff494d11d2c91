//! From facts to the input of the arbiter.

use std::collections::BTreeMap;

use jiff::Timestamp;
use plimsoll_api::{BudgetReason, Criticality, GrantReason, Limit, UsageScope};

use super::{BudgetFacts, Facts, NodeFacts, Requests, ServiceFacts, limit::nodes_of};
use crate::arbiter::{
    Amount, Budget, Consumption, Demand, Node, Placement, Resources, Situation as Arbiter, Surge,
};

/// The input of the arbiter, with what was found on the way.
pub(super) struct Situation {
    pub arbiter: Arbiter,
    /// Use of each budget by others than its consumers, in its unit; `None` if it is unknown.
    pub others: Vec<Option<f64>>,
    /// Amount that each budget has for its consumers and others, in its unit; `None` if it is unknown.
    pub available: Vec<Option<f64>>,
    /// Reasons of each service that do not depend on the outcome.
    pub reasons: Vec<Vec<GrantReason>>,
}

pub(super) fn of(facts: &Facts<'_>, limits: &[Result<f64, BudgetReason>], now: Timestamp) -> Situation {
    let positions: BTreeMap<(&str, &str), usize> =
        facts.services.iter().enumerate().map(|(at, one)| ((one.namespace, one.name), at)).collect();
    let mut pools = Pools::of(facts);
    let mut demands = Vec::with_capacity(facts.services.len());
    let mut reasons = Vec::with_capacity(facts.services.len());
    for service in &facts.services {
        let mut of_service = Vec::new();
        let pool = pools.pool(service);
        let consumes = consumptions(facts, service, pool.as_ref(), &mut of_service);
        let depends_on = dependencies(&positions, service, &mut of_service);
        let most_critical = cap(facts, service, &consumes, &mut of_service);
        let max = service.spec.max_replicas;
        let min = service.spec.floor(now).min(max);
        let placement = pools.placement(facts, service, pool.as_ref(), &consumes);
        demands.push(Demand {
            criticality: service.spec.criticality,
            most_critical,
            weight: service.spec.weight.unsigned_abs(),
            min,
            wanted: service.wanted.clamp(min, max),
            max,
            running: service.replicas,
            depends_on,
            consumes,
            placement,
        });
        reasons.push(of_service);
    }
    let available: Vec<Option<f64>> = facts
        .budgets
        .iter()
        .zip(limits)
        .map(|(budget, limit)| limit.as_ref().ok().map(|limit| (limit - budget.spec.reserved).max(0.0)))
        .collect();
    let strangers = strangers(facts, &demands);
    let others: Vec<Option<f64>> = facts
        .budgets
        .iter()
        .enumerate()
        .map(|(at, budget)| others(facts, budget, &strangers, own(facts, &demands, at)))
        .collect();
    let budgets = facts.budgets.iter().zip(available.iter().zip(&others));
    let budgets = budgets.map(|(budget, (available, others))| arbiter_budget(budget, *available, *others));
    let nodes =
        facts.nodes.iter().flatten().map(|node| Node { free: free(facts, node, &strangers) }).collect();
    let arbiter = Arbiter { budgets: budgets.collect(), nodes, pools: pools.nodes, demands };
    Situation { arbiter, others, available, reasons }
}

fn arbiter_budget(facts: &BudgetFacts<'_>, available: Option<f64>, others: Option<f64>) -> Budget {
    Budget {
        limit: available.map(Amount::of),
        others: others.map(Amount::of),
        guaranteed: facts.spec.consumers.iter().map(|consumer| Amount::of(consumer.guaranteed)).collect(),
        of_nodes: facts.is_of_nodes(),
    }
}

/// Use of a budget by its consumers that a measurement includes: that of ready pods, since a starting pod has no connections yet.
fn own(facts: &Facts<'_>, demands: &[Demand], budget: usize) -> f64 {
    let pairs = facts.services.iter().zip(demands);
    let own = pairs.flat_map(|(service, demand)| demand.consumes.iter().map(move |one| (service, one)));
    let own = own.filter(|(_, one)| one.budget == budget);
    own.map(|(service, one)| one.per_replica.times(service.ready)).sum::<Amount>().units()
}

/// Use of a budget by others than its consumers. `own` is the measured use by its consumers.
fn others(
    facts: &Facts<'_>,
    budget: &BudgetFacts<'_>,
    strangers: &BTreeMap<&str, Requests>,
    own: f64,
) -> Option<f64> {
    let resource = &budget.spec.resource;
    match (&budget.spec.limit, &budget.spec.usage) {
        (Limit::Nodes(_), None) => {
            let of = |requests: &Requests| requests.of(resource);
            let on = |node: &NodeFacts| {
                let stranger = strangers.get(node.name.as_str()).map_or(Some(0.0), of)?;
                Some(of(&node.others)? + stranger)
            };
            nodes_of(facts, budget)?.map(on).sum()
        }
        (_, Some(usage)) if usage.includes == UsageScope::Others => known(budget.used),
        (_, Some(_)) | (Limit::ResourceQuota(_), None) => {
            known(budget.used).map(|used| (used - own).max(0.0))
        }
        // Without a query, only the consumers use it.
        (Limit::Value(_) | Limit::Prometheus(_), None) => Some(0.0),
    }
}

/// Requests on each node of the pods of services that consume no budget of nodes: they may also run elsewhere.
fn strangers<'a>(facts: &'a Facts<'_>, demands: &[Demand]) -> BTreeMap<&'a str, Requests> {
    let mut strangers: BTreeMap<&str, Requests> = BTreeMap::new();
    let services = facts.services.iter().zip(demands).filter(|(_, demand)| demand.placement.is_none());
    for (service, _) in services {
        let requests = service.workload.as_ref().map(|workload| workload.requests).unwrap_or(ONE_POD);
        for (node, count) in &service.on_nodes {
            let on_node = strangers.entry(node).or_default();
            *on_node = on_node.plus(requests.times(*count));
        }
    }
    strangers
}

/// A pod with unknown requests.
const ONE_POD: Requests = Requests { cpu: 0.0, memory: 0.0, pods: 1.0 };

fn known(amount: Option<f64>) -> Option<f64> {
    amount.filter(|amount| amount.is_finite() && *amount >= 0.0)
}

fn dependencies(
    positions: &BTreeMap<(&str, &str), usize>,
    service: &ServiceFacts<'_>,
    reasons: &mut Vec<GrantReason>,
) -> Vec<usize> {
    let mut found = Vec::new();
    for name in &service.spec.depends_on {
        match positions.get(&(service.namespace, name.as_str())) {
            Some(position) => found.push(*position),
            None => {
                let service = format!("{}/{name}", service.namespace);
                reasons.push(GrantReason::DependencyNotFound { service });
            }
        }
    }
    found
}

/// What a service consumes: what `consumes` names, and what its pods request.
fn consumptions(
    facts: &Facts<'_>,
    service: &ServiceFacts<'_>,
    pool: Option<&Pool>,
    reasons: &mut Vec<GrantReason>,
) -> Vec<Consumption> {
    for named in &service.spec.consumes {
        if !facts.budgets.iter().any(|budget| budget.name == named.budget) {
            reasons.push(GrantReason::BudgetNotFound { budget: named.budget.clone() });
        }
    }
    let mut unknown_requests = false;
    let mut consumptions = Vec::new();
    for (position, budget) in facts.budgets.iter().enumerate() {
        let entry = budget.spec.entry_of(service.namespace_labels);
        let named = service.spec.consumes.iter().find(|named| named.budget == budget.name);
        let implied = || entry.is_some() && matches(budget, position, service, pool);
        let (per_replica, surge) = match (named, budget.spec.resource.as_str()) {
            // What is outside of Kubernetes refuses what exceeds it, so a rollout needs its part at any time.
            (Some(named), _) => {
                (named.per_replica, service.workload.as_ref().map_or(Surge::None, |workload| workload.surge))
            }
            (None, resource @ ("cpu" | "memory" | "pods")) if implied() => {
                unknown_requests |= service.workload.is_none();
                let requests = service.workload.as_ref().map_or(ONE_POD, |workload| workload.requests);
                // Kubernetes itself admits these pods: a pod of a rollout that does not fit waits.
                (requests.of(resource).unwrap_or_default(), Surge::None)
            }
            (None, _) => continue,
        };
        if named.is_some() && entry.is_none() && !service.namespace_known {
            reasons.push(GrantReason::NamespaceUnknown { namespace: service.namespace.to_owned() });
        }
        let per_replica = Amount::of(per_replica);
        let in_use = per_replica.times(service.pods);
        consumptions.push(Consumption { budget: position, entry, per_replica, in_use, surge });
    }
    if unknown_requests {
        reasons.push(GrantReason::RequestsUnknown { target: service.target.clone() });
    }
    consumptions
}

/// Whether the pods of a service consume a budget of cpu, memory or pods.
fn matches(
    budget: &BudgetFacts<'_>,
    position: usize,
    service: &ServiceFacts<'_>,
    pool: Option<&Pool>,
) -> bool {
    match &budget.spec.limit {
        Limit::ResourceQuota(quota) => quota.namespace == service.namespace,
        Limit::Nodes(_) => match pool {
            // Its pods can run only on nodes of the budget.
            Some(pool) => pool.budgets.contains(&position),
            // Without a node for them, their node selector must say so.
            None => {
                let selector = service.workload.as_ref().map(|workload| &workload.node_selector);
                budget.spec.limit.includes_node(selector.unwrap_or(&BTreeMap::new()))
            }
        },
        Limit::Value(_) | Limit::Prometheus(_) => true,
    }
}

/// The highest criticality that the budgets of a service admit.
fn cap(
    facts: &Facts<'_>,
    service: &ServiceFacts<'_>,
    consumes: &[Consumption],
    reasons: &mut Vec<GrantReason>,
) -> Option<Criticality> {
    let declared = service.spec.criticality;
    let caps = consumes.iter().filter_map(|one| {
        let budget = facts.budgets.get(one.budget)?;
        Some((budget.name, budget.spec.consumers.get(one.entry?)?.max_criticality))
    });
    // A lower criticality is greater.
    let (budget, most) = caps.max_by_key(|(_, most)| *most)?;
    if most > declared {
        let budget = budget.to_owned();
        reasons.push(GrantReason::CriticalityCapped { budget, declared, counts_as: most });
    }
    Some(most)
}

/// The nodes on which pods with one node selector may run.
#[derive(Clone)]
struct Pool {
    /// Its position in the input of the arbiter.
    position: usize,
    /// Positions of the budgets that include all of these nodes.
    budgets: Vec<usize>,
}

/// Pools by node selector: few, but for many services.
struct Pools<'a> {
    facts: &'a Facts<'a>,
    nodes: Vec<Vec<usize>>,
    by_selector: BTreeMap<BTreeMap<String, String>, Option<Pool>>,
    by_name: BTreeMap<&'a str, usize>,
}

impl<'a> Pools<'a> {
    fn of(facts: &'a Facts<'_>) -> Self {
        let by_name = facts.nodes.iter().flatten().enumerate().map(|(at, node)| (node.name.as_str(), at));
        Self { facts, nodes: Vec::new(), by_selector: BTreeMap::new(), by_name: by_name.collect() }
    }

    /// The pool of a service; `None` if no node takes its pods, or the nodes are unknown.
    fn pool(&mut self, service: &ServiceFacts<'_>) -> Option<Pool> {
        let selector = service.workload.as_ref().map(|workload| workload.node_selector.clone());
        let selector = selector.unwrap_or_default();
        if let Some(pool) = self.by_selector.get(&selector) {
            return pool.clone();
        }
        let nodes = self.facts.nodes.as_deref().unwrap_or_default();
        let takes =
            |node: &NodeFacts| selector.iter().all(|(key, value)| node.labels.get(key) == Some(value));
        let members: Vec<usize> =
            nodes.iter().enumerate().filter(|(_, node)| takes(node)).map(|(at, _)| at).collect();
        let includes_all = |budget: &BudgetFacts<'_>| {
            let mut members = members.iter().filter_map(|member| nodes.get(*member));
            budget.is_of_nodes() && members.all(|node| budget.spec.limit.includes_node(&node.labels))
        };
        let budgets = self.facts.budgets.iter().enumerate().filter(|(_, budget)| includes_all(budget));
        let budgets = budgets.map(|(position, _)| position).collect();
        let pool = (!members.is_empty()).then(|| {
            self.nodes.push(members);
            Pool { position: self.nodes.len() - 1, budgets }
        });
        self.by_selector.insert(selector, pool.clone());
        pool
    }

    /// Where the pods of a service can run; `None` if it consumes no budget of nodes.
    fn placement(
        &mut self,
        facts: &Facts<'_>,
        service: &ServiceFacts<'_>,
        pool: Option<&Pool>,
        consumes: &[Consumption],
    ) -> Option<Placement> {
        facts.nodes.as_ref()?;
        let is_of_nodes =
            |one: &Consumption| facts.budgets.get(one.budget).is_some_and(BudgetFacts::is_of_nodes);
        if !consumes.iter().any(is_of_nodes) {
            return None;
        }
        let pool = pool.map_or_else(
            || {
                self.nodes.push(Vec::new());
                self.nodes.len() - 1
            },
            |pool| pool.position,
        );
        let requests = service.workload.as_ref().map_or(ONE_POD, |workload| workload.requests);
        let shape = Resources {
            cpu: Amount::of(requests.cpu),
            memory: Amount::of(requests.memory),
            pods: Amount::of(1.0),
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

/// What a node has for the services that consume a budget of nodes.
fn free(facts: &Facts<'_>, node: &NodeFacts, strangers: &BTreeMap<&str, Requests>) -> Resources {
    let is_limited = facts.budgets.iter().any(|budget| budget.spec.limit.includes_node(&node.labels));
    let strangers = strangers.get(node.name.as_str()).copied().unwrap_or_default();
    let used = node.others.plus(strangers);
    let left = |allocatable: f64, used: f64| {
        // Without a budget, or with an unknown amount, the node limits nothing.
        if is_limited && allocatable.is_finite() {
            Amount::of(allocatable).minus(Amount::of(used))
        } else {
            Amount::MAX
        }
    };
    let Requests { cpu, memory, pods } = node.allocatable;
    Resources { cpu: left(cpu, used.cpu), memory: left(memory, used.memory), pods: left(pods, used.pods) }
}
