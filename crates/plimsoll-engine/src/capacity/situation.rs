//! From facts to the input of the arbiter.

use std::collections::BTreeMap;

use jiff::Timestamp;
use plimsoll_api::{BudgetReason, Criticality, GrantReason, Limit, UsageScope};

use super::{
    BudgetFacts, Facts, NodeFacts, Requests, ServiceFacts,
    limit::nodes_of,
    pools::{Pool, Pools},
};
use crate::arbiter::{Amount, Budget, Consumption, Demand, Node, Resources, Situation as Arbiter, Surge};

/// The input of the arbiter, with what was found on the way.
pub(super) struct Situation {
    pub arbiter: Arbiter,
    /// Of each budget.
    pub budgets: Vec<Amounts>,
    /// Reasons of each service that do not depend on the outcome.
    pub reasons: Vec<Vec<GrantReason>>,
}

/// What is known of one budget, in its unit.
#[derive(Clone, Copy, Default)]
pub(super) struct Amounts {
    /// What it has for its consumers and others; `None` if it is unknown.
    pub available: Option<f64>,
    /// Use by others than its consumers; `None` if it is unknown.
    pub others: Option<f64>,
    /// Use by all pods of its consumers.
    pub in_use: f64,
}

pub(super) fn of(facts: &Facts<'_>, limits: &[Result<f64, BudgetReason>], now: Timestamp) -> Situation {
    let positions: BTreeMap<(&str, &str), usize> =
        facts.services.iter().enumerate().map(|(at, one)| ((one.namespace, one.name), at)).collect();
    let mut pools = Pools::of(facts);
    let mut demands = Vec::with_capacity(facts.services.len());
    let mut reasons = Vec::with_capacity(facts.services.len());
    for service in &facts.services {
        let mut of_service = Vec::new();
        let consumes = consumptions(facts, service, pools.pool(service), &mut of_service);
        let depends_on = dependencies(&positions, service, &mut of_service);
        let most_critical = cap(facts, service, &consumes, &mut of_service);
        let max = service.spec.max_replicas;
        let min = service.spec.floor(now).min(max);
        let placement = pools.placement(service, &consumes);
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
    let strangers = strangers(facts, &demands);
    let in_use = sums(facts, &demands, |_, consumption| consumption.in_use);
    // What a measurement includes: a starting pod has no connections yet.
    let measured = sums(facts, &demands, |service, consumption| consumption.per_replica.times(service.ready));
    let amounts = facts.budgets.iter().zip(limits).zip(in_use.iter().zip(&measured));
    let amounts = amounts.map(|((budget, limit), (in_use, measured))| Amounts {
        available: limit.as_ref().ok().map(|limit| (limit - budget.spec.reserved).max(0.0)),
        others: others(facts, budget, &strangers, measured.units()),
        in_use: in_use.units(),
    });
    let amounts: Vec<Amounts> = amounts.collect();
    let budgets = facts.budgets.iter().zip(&amounts);
    let budgets = budgets.map(|(budget, amounts)| arbiter_budget(budget, *amounts)).collect();
    let nodes =
        facts.nodes.iter().flatten().map(|node| Node { free: free(facts, node, &strangers) }).collect();
    let arbiter = Arbiter { budgets, nodes, pools: pools.nodes, demands };
    Situation { arbiter, budgets: amounts, reasons }
}

fn arbiter_budget(facts: &BudgetFacts<'_>, amounts: Amounts) -> Budget {
    Budget {
        limit: amounts.available.map(Amount::of),
        others: amounts.others.map(Amount::of),
        guaranteed: facts.spec.consumers.iter().map(|consumer| Amount::of(consumer.guaranteed)).collect(),
        of_nodes: facts.is_of_nodes(),
    }
}

/// The sum of an amount over all consumptions of each budget.
fn sums(
    facts: &Facts<'_>,
    demands: &[Demand],
    amount: impl Fn(&ServiceFacts<'_>, &Consumption) -> Amount,
) -> Vec<Amount> {
    let mut sums = vec![Amount::ZERO; facts.budgets.len()];
    for (service, demand) in facts.services.iter().zip(demands) {
        for consumption in &demand.consumes {
            if let Some(sum) = sums.get_mut(consumption.budget) {
                *sum += amount(service, consumption);
            }
        }
    }
    sums
}

/// Use of a budget by others than its consumers. `own` is the part of the measured use that is theirs.
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
        let requests =
            service.workload.as_ref().map(|workload| workload.requests).unwrap_or(Requests::UNKNOWN);
        for (node, count) in &service.on_nodes {
            let on_node = strangers.entry(node).or_default();
            *on_node = on_node.plus(requests.times(*count));
        }
    }
    strangers
}

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
    pool: &Pool,
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
                let requests =
                    service.workload.as_ref().map_or(Requests::UNKNOWN, |workload| workload.requests);
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
fn matches(budget: &BudgetFacts<'_>, position: usize, service: &ServiceFacts<'_>, pool: &Pool) -> bool {
    match &budget.spec.limit {
        Limit::ResourceQuota(quota) => quota.namespace == service.namespace,
        Limit::Nodes(_) => pool.consumes(position),
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
