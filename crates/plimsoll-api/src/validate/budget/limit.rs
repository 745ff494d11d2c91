//! Validation of `spec.limit` of a CapacityBudget.

use kube::core::Selector;

use crate::validate::{checks::at_least_zero, selector::selector};
use crate::words::key;
use crate::{BudgetLimit, BudgetQuery, LimitType, NodeSet, QuotaRef};

/// The resources that nodes and ResourceQuotas have.
const COUNTED: [&str; 3] = ["cpu", "memory", "pods"];

/// Where the total amount of a budget comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Limit {
    /// A fixed amount, at least 0, in the unit of the resource.
    Value(f64),
    /// The result of a query, in the unit of the resource.
    Prometheus(BudgetQuery),
    /// The sum of what is allocatable on the nodes with these labels; of cpu, memory or pods.
    Nodes(Selector),
    /// The hard limit of a ResourceQuota; of cpu, memory or pods.
    ResourceQuota(QuotaRef),
}

/// Parses `limit` for `resource`.
pub(super) fn limit(limit: &BudgetLimit, resource: &str, errors: &mut Vec<String>) -> Option<Limit> {
    let BudgetLimit { type_, value, prometheus, nodes, resource_quota } = limit;
    check_members(limit, errors);
    if matches!(type_, LimitType::Nodes | LimitType::ResourceQuota) && !COUNTED.contains(&resource) {
        errors.push(format!(
            "spec.limit.type is {type_:?}; with resource {} it must be Value or Prometheus, since nodes and quotas count only \
             cpu, memory and pods",
            key(resource)
        ));
    }
    match type_ {
        LimitType::Value => {
            at_least_zero("spec.limit.value", value.as_ref()?, "60", errors).map(Limit::Value)
        }
        LimitType::Prometheus => {
            let query = prometheus.as_ref()?;
            check_query("spec.limit.prometheus", query, errors);
            Some(Limit::Prometheus(query.clone()))
        }
        LimitType::Nodes => match nodes.as_ref()? {
            NodeSet { selector: None } => Some(Limit::Nodes(Selector::default())),
            NodeSet { selector: Some(labels) } => {
                selector("spec.limit.nodes.selector", labels, errors).map(Limit::Nodes)
            }
        },
        LimitType::ResourceQuota => resource_quota.clone().map(Limit::ResourceQuota),
    }
}

/// The limit must have the member of its type, and no other.
fn check_members(limit: &BudgetLimit, errors: &mut Vec<String>) {
    let type_ = limit.type_;
    let wanted = match type_ {
        LimitType::Value => "value",
        LimitType::Prometheus => "prometheus",
        LimitType::Nodes => "nodes",
        LimitType::ResourceQuota => "resourceQuota",
    };
    let members = [
        ("value", limit.value.is_some()),
        ("prometheus", limit.prometheus.is_some()),
        ("nodes", limit.nodes.is_some()),
        ("resourceQuota", limit.resource_quota.is_some()),
    ];
    for (member, set) in members {
        match (member == wanted, set) {
            (true, false) => {
                errors.push(format!("spec.limit.{member} is missing; type {type_:?} needs it"));
            }
            (false, true) => {
                errors.push(format!("spec.limit.{member} is set; type {type_:?} takes {wanted} only"));
            }
            (true, true) | (false, false) => {}
        }
    }
}

/// Checks the query at `path`.
pub(super) fn check_query(path: &str, query: &BudgetQuery, errors: &mut Vec<String>) {
    if query.query.trim().is_empty() {
        errors.push(format!("{path}.query is empty; it must be PromQL"));
    }
}
