//! Milliseconds for one arbitration: 10 replicas a service, 100 budgets, 1,000 nodes, 20 shapes of pods.
//!
//! Half of the wanted replicas run and have pods, so the nodes are fragmented. The budgets have what is wanted without rollouts, and the
//! nodes four fifths of it, so the less critical services are limited.

use std::{
    error::Error,
    hint::black_box,
    time::{Duration, Instant},
};

use plimsoll_api::Criticality;
use plimsoll_engine::arbiter::{
    Amount, Budget, Consumption, Demand, Node, Placement, Resources, Situation, Surge, arbitrate,
};
use serde_json::{Value as Json, json};

const SIZES: [usize; 3] = [100, 1_000, 10_000];
const BUDGETS: usize = 100;
const NODES: usize = 1_000;
const SHAPES: usize = 20;
const REPLICAS: i32 = 10;
const ROUNDS: usize = 11;

fn main() -> Result<(), Box<dyn Error>> {
    // `cargo bench` passes `--bench` and perhaps a filter; there is one bench only, so nothing is read.
    let mut figures = json!({
        "bench": "arbiter",
        "rounds": ROUNDS,
        "budgets": BUDGETS,
        "nodes": NODES,
        "shapes": SHAPES,
        "replicasWanted": REPLICAS,
    });
    if let Some(figures) = figures.as_object_mut() {
        figures.extend(SIZES.map(|services| (format!("services{services}"), measure(services))));
    }
    println!("{figures}");
    Ok(())
}

fn measure(services: usize) -> Json {
    let situation = situation(services);
    let outcome = arbitrate(&situation);
    let granted: i32 = outcome.grants.iter().map(|grant| grant.replicas).sum();
    let limited = outcome.grants.iter().filter(|grant| grant.obstacle.is_some()).count();
    let mut rounds: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let begin = Instant::now();
            black_box(arbitrate(black_box(&situation)));
            begin.elapsed()
        })
        .collect();
    rounds.sort();
    let at = |index: usize| rounds.get(index).map(|time| (time.as_secs_f64() * 1e6).round() / 1e3);
    json!({
        "arbitration_ms": {"min": at(0), "median": at(ROUNDS / 2), "max": at(ROUNDS - 1)},
        // Without a limit nothing would be arbitrated.
        "granted": granted,
        "limitedServices": limited,
    })
}

/// Numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: usize) -> usize {
        // Knuth's MMIX generator.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or_default() % most.max(1)
    }
}

fn units(units: usize) -> Amount {
    Amount::of(units as f64)
}

fn situation(services: usize) -> Situation {
    let mut numbers = Numbers(1);
    let shapes: Vec<Resources> = (0..SHAPES)
        .map(|shape| Resources { cpu: units(1 + shape % 5), memory: units(1 + shape / 5), pods: units(1) })
        .collect();
    let demands: Vec<Demand> = (0..services).map(|at| demand(at, services, &shapes, &mut numbers)).collect();
    // What all services want of each budget.
    let wanted = |budget: usize| -> f64 {
        let consumed = demands.iter().flat_map(|demand| &demand.consumes).filter(|one| one.budget == budget);
        consumed.map(|one| one.per_replica.times(REPLICAS).units()).sum()
    };
    let budgets = (0..BUDGETS).map(|at| Budget {
        limit: Some(Amount::of(wanted(at))),
        others: Some(Amount::ZERO),
        guaranteed: vec![Amount::ZERO, Amount::of(wanted(at) / 20.0)],
        of_nodes: at == 0,
    });
    let each = |of: fn(&Resources) -> Amount| {
        let shapes = demands.iter().filter_map(|demand| demand.placement.as_ref());
        let wanted: f64 = shapes.map(|placement| of(&placement.shape).times(REPLICAS).units()).sum();
        Amount::of(wanted * 0.8 / NODES as f64)
    };
    let free =
        Resources { cpu: each(|shape| shape.cpu), memory: each(|shape| shape.memory), pods: Amount::MAX };
    let budgets = budgets.collect();
    Situation { budgets, nodes: vec![Node { free }; NODES], pools: vec![(0..NODES).collect()], demands }
}

fn demand(at: usize, services: usize, shapes: &[Resources], numbers: &mut Numbers) -> Demand {
    const CLASSES: [Criticality; 4] = [
        Criticality::CriticalPlus,
        Criticality::Critical,
        Criticality::SheddablePlus,
        Criticality::Sheddable,
    ];
    let shape = shapes.get(numbers.below(SHAPES)).copied().unwrap_or_default();
    let running = REPLICAS / 2;
    let consumption = |budget: usize, per_replica: Amount, surge: Surge| Consumption {
        budget,
        entry: Some(at % 2),
        per_replica,
        in_use: per_replica.times(running),
        surge,
    };
    // All of them use the nodes, and each of them a database.
    let database = 1 + numbers.below(BUDGETS - 1);
    let connections = units(1 + numbers.below(10));
    let pods = (0..running).map(|_| numbers.below(NODES)).collect();
    let depends_on = if at.is_multiple_of(4) { vec![numbers.below(services)] } else { Vec::new() };
    Demand {
        criticality: CLASSES.get(numbers.below(4)).copied().unwrap_or_default(),
        most_critical: None,
        weight: 1 + u32::try_from(numbers.below(3)).unwrap_or_default(),
        min: 2,
        wanted: REPLICAS,
        max: 2 * REPLICAS,
        running,
        depends_on,
        consumes: vec![
            consumption(0, shape.cpu, Surge::None),
            consumption(database, connections, Surge::Percent(25)),
        ],
        placement: Some(Placement { pool: 0, shape, pods }),
    }
}
