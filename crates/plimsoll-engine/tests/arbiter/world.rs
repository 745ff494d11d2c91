//! Short ways to write a situation.

use plimsoll_api::Criticality;
use plimsoll_engine::arbiter::{
    Amount, Budget, Consumption, Demand, Node, Outcome, Placement, Resources, Situation, arbitrate,
};

/// The most critical first.
pub const CLASSES: [Criticality; 4] =
    [Criticality::CriticalPlus, Criticality::Critical, Criticality::SheddablePlus, Criticality::Sheddable];

pub fn amount(units: i32) -> Amount {
    Amount::of(f64::from(units))
}

/// A budget that admits everybody.
pub fn budget(limit: i32) -> Budget {
    Budget {
        limit: Some(amount(limit)),
        others: Some(Amount::ZERO),
        guaranteed: vec![Amount::ZERO],
        ..Budget::default()
    }
}

/// A service that wants replicas and has none.
pub fn wants(wanted: i32) -> Demand {
    Demand { criticality: Criticality::Critical, weight: 1, wanted, max: 100, ..Demand::default() }
}

/// Consumption of budget 0 by its first entry.
pub fn each(per_replica: i32) -> Consumption {
    Consumption { entry: Some(0), per_replica: amount(per_replica), ..Consumption::default() }
}

pub trait DemandExt {
    fn min(self, min: i32) -> Self;
    fn running(self, running: i32) -> Self;
    fn critical(self, criticality: Criticality) -> Self;
    fn weight(self, weight: u32) -> Self;
    fn after(self, dependencies: &[usize]) -> Self;
    fn consuming(self, consumption: Consumption) -> Self;
    fn of(self, per_replica: i32) -> Self;
    fn cpu(self, cpu: i32) -> Self;
}

impl DemandExt for Demand {
    fn min(self, min: i32) -> Self {
        Self { min, ..self }
    }

    /// With pods that use what the template says.
    fn running(mut self, running: i32) -> Self {
        self.running = running;
        self.consumes.iter_mut().for_each(|one| one.in_use = one.per_replica.times(running));
        self
    }

    fn critical(self, criticality: Criticality) -> Self {
        Self { criticality, ..self }
    }

    fn weight(self, weight: u32) -> Self {
        Self { weight, ..self }
    }

    fn after(self, dependencies: &[usize]) -> Self {
        Self { depends_on: dependencies.to_vec(), ..self }
    }

    fn consuming(mut self, consumption: Consumption) -> Self {
        self.consumes.push(consumption);
        self
    }

    fn of(self, per_replica: i32) -> Self {
        self.consuming(each(per_replica))
    }

    fn cpu(self, cpu: i32) -> Self {
        let shape = Resources { cpu: amount(cpu), ..Resources::default() };
        Self { placement: Some(Placement { shape, ..Placement::default() }), ..self }
    }
}

pub fn node(cpu: i32) -> Node {
    Node { free: Resources { cpu: amount(cpu), memory: Amount::MAX, pods: Amount::MAX } }
}

pub fn on_nodes(nodes: &[i32], demands: Vec<Demand>) -> Situation {
    Situation {
        nodes: nodes.iter().map(|cpu| node(*cpu)).collect(),
        pools: vec![(0..nodes.len()).collect()],
        demands,
        ..Situation::default()
    }
}

pub fn with(budgets: Vec<Budget>, demands: Vec<Demand>) -> Situation {
    Situation { budgets, demands, ..Situation::default() }
}

/// The granted replicas of each service.
pub fn grants(situation: &Situation) -> Vec<i32> {
    replicas(&arbitrate(situation))
}

pub fn replicas(outcome: &Outcome) -> Vec<i32> {
    outcome.grants.iter().map(|grant| grant.replicas).collect()
}
