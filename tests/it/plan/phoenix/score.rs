//! The scores that were published with the scenarios.

use std::collections::BTreeSet;

use serde_json::Value;

use super::scenario::{Failure, Scenario};

#[derive(Clone, Copy, Debug)]
pub struct Score {
    /// Share of the applications whose services of criticality 1 are all on.
    pub availability: f64,
    /// Sum over useful services of 10^(10 - criticality), as a fraction of all.
    pub revenue: f64,
}

impl Score {
    pub fn mean(scores: &[Self]) -> Self {
        let count = scores.len() as f64;
        let mean = |of: fn(&Self) -> f64| scores.iter().map(of).sum::<f64>() / count;
        Self { availability: mean(|one| one.availability), revenue: mean(|one| one.revenue) }
    }
}

/// The services that are on: all of their replicas are granted. As application and name.
pub fn on<'a>(scenario: &'a Scenario, answer: &Value) -> BTreeSet<(&'a str, &'a str)> {
    let mut on = BTreeSet::new();
    for app in &scenario.apps {
        for service in &app.services {
            let key = format!("{}/{}", app.name, service.name);
            let granted = answer["services"][&key]["granted"].as_u64();
            let granted = granted.unwrap_or_else(|| panic!("{key}: {answer}"));
            if granted >= u64::from(service.replicas) {
                on.insert((app.name.as_str(), service.name.as_str()));
            }
        }
    }
    on
}

pub fn score(scenario: &Scenario, on: &BTreeSet<(&str, &str)>) -> Score {
    let revenue = |criticality: u32| 10f64.powi(10 - i32::try_from(criticality).unwrap());
    let (mut all, mut useful, mut available) = (0.0, 0.0, 0.0);
    for app in &scenario.apps {
        let is_on = |name: &str| on.contains(&(app.name.as_str(), name));
        let mut critical = app.services.iter().filter(|service| service.criticality == 1);
        available += f64::from(u8::from(critical.all(|service| is_on(&service.name))));
        let services = app.by_name();
        let mut reached: BTreeSet<&str> = BTreeSet::new();
        let mut open: Vec<&str> = app.entries().iter().map(|entry| entry.name.as_str()).collect();
        while let Some(name) = open.pop() {
            if is_on(name) && reached.insert(name) {
                open.extend(services[name].depends_on.iter().map(String::as_str));
            }
        }
        all += app.services.iter().map(|service| revenue(service.criticality)).sum::<f64>();
        useful += reached.iter().map(|name| revenue(services[name].criticality)).sum::<f64>();
    }
    Score { availability: available / scenario.apps.len() as f64, revenue: useful / all }
}

/// Whether the services that are on have a placement on the nodes that are left: a search, independent of the arbiter's.
pub fn fits(scenario: &Scenario, failure: &Failure, on: &BTreeSet<(&str, &str)>) -> bool {
    let mut replicas: Vec<u32> = Vec::new();
    for app in &scenario.apps {
        for service in app.services.iter().filter(|one| on.contains(&(app.name.as_str(), one.name.as_str())))
        {
            replicas.extend((0..service.replicas).map(|_| service.cpu));
        }
    }
    replicas.sort_unstable_by(|one, other| other.cmp(one));
    let mut free: Vec<u32> = scenario.left(failure).iter().map(|node| node.cpu).collect();
    place(&replicas, &mut free, &mut 1_000_000)
}

/// Places the largest replica on each node in turn that has room, those with the same room only once.
fn place(replicas: &[u32], free: &mut [u32], attempts: &mut u32) -> bool {
    let Some((cpu, rest)) = replicas.split_first() else { return true };
    let mut tried = BTreeSet::new();
    for node in 0..free.len() {
        if free[node] < *cpu || !tried.insert(free[node]) || *attempts == 0 {
            continue;
        }
        *attempts -= 1;
        free[node] -= cpu;
        if place(rest, free, attempts) {
            return true;
        }
        free[node] += cpu;
    }
    false
}
