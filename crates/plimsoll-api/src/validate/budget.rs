//! Validation of a CapacityBudget: the same rules as those of the schema and its CEL rules, and those for label selectors, which
//! the API server does not check in custom resources.

mod limit;

use std::collections::BTreeMap;

use kube::core::{Selector, SelectorExt as _};
pub use limit::Limit;

use super::{
    Invalid,
    checks::{at_least_zero, chars, number, unique},
    selector::selector,
};
use crate::{BudgetMode, BudgetUsage, CapacityBudget, Consumer, Criticality, Percent, ReclaimPolicy};

/// A valid CapacityBudget with parsed values. Amounts are finite, and in the unit of the resource.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidBudget {
    /// What is limited: cpu, memory, pods, or any other name.
    pub resource: String,
    /// Whether replicas are limited to what is granted.
    pub mode: BudgetMode,
    /// Where the total amount comes from.
    pub limit: Limit,
    /// Fall of the limit above which the new limit is unknown until it has lasted, 1 % to 100 %.
    pub max_decrease: Percent,
    /// Amount that is never granted, at least 0.
    pub reserved: f64,
    /// The query for the use, and what it counts.
    pub usage: Option<BudgetUsage>,
    /// Whether a service may lose what it has been granted.
    pub reclaim_policy: ReclaimPolicy,
    /// In the order of the spec; names are unique. If empty, no service may consume the budget.
    pub consumers: Vec<ConsumerRule>,
}

/// Namespaces whose services may consume the budget.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsumerRule {
    /// Unique within the budget.
    pub name: String,
    /// Labels of the namespaces.
    pub namespaces: Selector,
    /// The highest criticality that counts.
    pub max_criticality: Criticality,
    /// Amount that these services get before those of other entries, at least 0.
    pub guaranteed: f64,
}

impl ValidBudget {
    /// Parses and validates a budget.
    ///
    /// # Errors
    /// A sentence for each mistake.
    pub fn of(budget: &CapacityBudget) -> Result<Self, Invalid> {
        let spec = &budget.spec;
        let mut errors = Vec::new();
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._/-".contains(c);
        chars("spec.resource", &spec.resource, 63, allowed, "letters, digits, ., _, / and -", &mut errors);
        let limit = limit::limit(&spec.limit, &spec.resource, &mut errors);
        number("spec.maxDecreasePercent", spec.max_decrease_percent, 1..=100, &mut errors);
        let reserved = at_least_zero("spec.reserved", &spec.reserved, "6", &mut errors);
        if let Some(usage) = &spec.usage {
            limit::check_query("spec.usage.prometheus", &usage.prometheus, &mut errors);
        }
        unique("spec.consumers", spec.consumers.iter().map(|consumer| consumer.name.as_str()), &mut errors);
        let consumers = spec.consumers.iter().enumerate();
        let consumers: Vec<_> =
            consumers.filter_map(|(index, consumer)| consumer_rule(index, consumer, &mut errors)).collect();
        match (limit, Percent::new(spec.max_decrease_percent.into()), reserved) {
            (Some(limit), Some(max_decrease), Some(reserved)) if errors.is_empty() => Ok(Self {
                resource: spec.resource.clone(),
                mode: spec.mode,
                limit,
                max_decrease,
                reserved,
                usage: spec.usage.clone(),
                reclaim_policy: spec.reclaim_policy,
                consumers,
            }),
            _ => Err(Invalid(errors)),
        }
    }

    /// Index of the entry of `consumers` to which a namespace with these labels belongs: the first that matches. `None` if its
    /// services may not consume the budget.
    #[must_use]
    pub fn entry_of(&self, namespace_labels: &BTreeMap<String, String>) -> Option<usize> {
        self.consumers.iter().position(|consumer| consumer.namespaces.matches(namespace_labels))
    }
}

impl Limit {
    /// Whether it is a limit of nodes, and a node with these labels is one of them.
    #[must_use]
    pub fn includes_node(&self, labels: &BTreeMap<String, String>) -> bool {
        matches!(self, Self::Nodes(selector) if selector.matches(labels))
    }
}

fn consumer_rule(index: usize, consumer: &Consumer, errors: &mut Vec<String>) -> Option<ConsumerRule> {
    let path = format!("spec.consumers[{index}]");
    if consumer.name.is_empty() {
        errors.push(format!("{path}.name is empty; an entry needs a name"));
    }
    let namespaces = selector(&format!("{path}.namespaceSelector"), &consumer.namespace_selector, errors);
    let guaranteed = match &consumer.guaranteed {
        Some(amount) => at_least_zero(&format!("{path}.guaranteed"), amount, "20", errors),
        None => Some(0.0),
    };
    Some(ConsumerRule {
        name: consumer.name.clone(),
        namespaces: namespaces?,
        max_criticality: consumer.max_criticality,
        guaranteed: guaranteed?,
    })
}

#[cfg(test)]
mod tests;
