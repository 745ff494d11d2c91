//! From the outcome of the arbiter to grants with reasons.

use plimsoll_api::{BudgetReason, GrantReason, Holder, UsageScope};

use super::{
    BudgetState, Facts, Grants, ServiceGrant,
    situation::{Amounts, Situation},
};
use crate::arbiter::{Cause, Demand, Grant, Obstacle, Outcome};

pub(super) fn grants(
    facts: &Facts<'_>,
    limits: &[Result<f64, BudgetReason>],
    situation: &Situation,
    outcome: &Outcome,
) -> Grants {
    let answer = Answer { facts, situation, outcome, holders: Holders::of(facts, situation, outcome) };
    let services = situation.arbiter.demands.iter().zip(&outcome.grants).enumerate();
    let services = services.map(|(at, (demand, grant))| answer.service(at, demand, grant)).collect();
    let budgets =
        (0..facts.budgets.len()).zip(limits).filter_map(|(at, limit)| answer.budget(at, limit)).collect();
    Grants { services, budgets }
}

struct Answer<'a> {
    facts: &'a Facts<'a>,
    situation: &'a Situation,
    outcome: &'a Outcome,
    holders: Holders,
}

impl Answer<'_> {
    fn service(&self, at: usize, demand: &Demand, grant: &Grant) -> ServiceGrant {
        let Grant { replicas, achievable, criticality, obstacle } = *grant;
        let mut reasons: Vec<GrantReason> =
            obstacle.iter().filter_map(|obstacle| self.limited(at, *obstacle)).collect();
        if replicas < demand.min {
            reasons.push(GrantReason::MinimumNotGranted { min_replicas: demand.min, granted: replicas });
        }
        if achievable < replicas {
            reasons.push(GrantReason::NotAllPlaced { achievable, replicas });
        }
        // A lower criticality is greater.
        if criticality < demand.criticality {
            let declared = demand.criticality;
            reasons.push(GrantReason::CriticalityInherited { declared, counts_as: criticality });
        }
        reasons.extend(self.situation.reasons.get(at).into_iter().flatten().cloned());
        let budgets = demand.consumes.iter().map(|one| self.name(one.budget)).collect();
        ServiceGrant { asked: demand.wanted, replicas, achievable, criticality, budgets, reasons }
    }

    fn name(&self, budget: usize) -> String {
        self.facts.budgets.get(budget).map(|budget| budget.name.to_owned()).unwrap_or_default()
    }

    /// The reason for a limit of the service at `at`.
    fn limited(&self, at: usize, obstacle: Obstacle) -> Option<GrantReason> {
        let of = obstacle.of;
        let (demand, grant) = (self.situation.arbiter.demands.get(of)?, self.outcome.grants.get(of)?);
        let (asked, granted, kept) = (demand.wanted, grant.replicas, grant.replicas);
        let reason = match obstacle.cause {
            Cause::Budget { budget } => {
                let amounts = self.situation.budgets.get(budget)?;
                GrantReason::LimitedByBudget {
                    budget: self.name(budget),
                    asked,
                    granted,
                    available: amounts.available.unwrap_or_default(),
                    others: amounts.others.unwrap_or_default(),
                    holder: self.holders.largest_but(budget, of),
                }
            }
            Cause::Guaranteed { budget } => {
                GrantReason::LimitedByGuarantees { budget: self.name(budget), asked, granted }
            }
            Cause::Nodes => GrantReason::LimitedByNodes { asked, granted },
            Cause::Unknown { budget } => GrantReason::HeldByUnknownBudget { budget: self.name(budget), kept },
            Cause::NotAdmitted { budget } => GrantReason::NotAConsumer { budget: self.name(budget), kept },
        };
        if of == at {
            return Some(reason);
        }
        let service = self.facts.services.get(of)?.key();
        Some(GrantReason::LimitedByDependency { service, cause: Box::new(reason) })
    }

    fn budget(&self, at: usize, limit: &Result<f64, BudgetReason>) -> Option<BudgetState> {
        let (facts, totals) = (self.facts.budgets.get(at)?, self.outcome.budgets.get(at)?);
        let Amounts { available, others, in_use } = *self.situation.budgets.get(at)?;
        let total = totals.all;
        let measures_all = facts.spec.usage.as_ref().is_some_and(|usage| usage.includes == UsageScope::All);
        let guaranteed: f64 = facts.spec.consumers.iter().map(|consumer| consumer.guaranteed).sum();
        let mut reasons: Vec<BudgetReason> = limit.as_ref().err().cloned().into_iter().collect();
        if others.is_none() && !(facts.is_of_nodes() && limit.is_err()) {
            reasons.push(BudgetReason::UsageUnknown);
        }
        if let (Some(available), Some(others)) = (available, others)
            && guaranteed > available - others
        {
            let available = (available - others).max(0.0);
            reasons.push(BudgetReason::GuaranteesExceedLimit { guaranteed, available });
        }
        if totals.exhausted {
            let (requested, granted) = (total.requested.units(), total.granted.units());
            reasons.push(BudgetReason::Exhausted { requested, granted });
        }
        Some(BudgetState {
            limit: limit.as_ref().ok().copied(),
            used: if measures_all { facts.used } else { others.map(|others| others + in_use) },
            total,
            consumers: totals.entries.clone(),
            exhausted: totals.exhausted,
            reasons,
        })
    }
}

/// The two largest holders of each budget, so that one is another service than the one that is limited.
struct Holders(Vec<Vec<(usize, Holder)>>);

impl Holders {
    fn of(facts: &Facts<'_>, situation: &Situation, outcome: &Outcome) -> Self {
        let mut holders: Vec<Vec<(usize, f64)>> = vec![Vec::new(); facts.budgets.len()];
        for (at, (demand, grant)) in situation.arbiter.demands.iter().zip(&outcome.grants).enumerate() {
            for one in &demand.consumes {
                let amount = one.per_replica.times(grant.replicas).units();
                let Some(of_budget) = holders.get_mut(one.budget).filter(|_| amount > 0.0) else { continue };
                of_budget.push((at, amount));
                of_budget.sort_by(|(_, less), (_, more)| more.total_cmp(less));
                of_budget.truncate(2);
            }
        }
        let holder = |(at, amount): (usize, f64)| {
            let (service, grant) = (facts.services.get(at)?, outcome.grants.get(at)?);
            Some((at, Holder { service: service.key(), criticality: grant.criticality, amount }))
        };
        Self(
            holders.into_iter().map(|of_budget| of_budget.into_iter().filter_map(holder).collect()).collect(),
        )
    }

    fn largest_but(&self, budget: usize, service: usize) -> Option<Holder> {
        let mut others = self.0.get(budget)?.iter().filter(|(at, _)| *at != service);
        others.next().map(|(_, holder)| holder.clone())
    }
}
