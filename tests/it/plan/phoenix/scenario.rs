//! The form of the scenarios.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Deserialize)]
pub struct Scenario {
    pub name: String,
    pub nodes: Vec<Node>,
    pub apps: Vec<App>,
    pub failures: Vec<Failure>,
}

#[derive(Deserialize)]
pub struct Node {
    pub name: String,
    /// Millicores.
    pub cpu: u32,
}

#[derive(Deserialize)]
pub struct App {
    pub name: String,
    pub services: Vec<Service>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    pub name: String,
    pub replicas: u32,
    /// Millicores of a replica.
    pub cpu: u32,
    /// 1 is the most critical.
    pub criticality: u32,
    /// The services that it calls.
    pub depends_on: Vec<String>,
}

#[derive(Deserialize)]
pub struct Failure {
    pub name: String,
    pub fraction: f64,
    pub lost: Vec<String>,
}

impl Scenario {
    /// The nodes that a failure leaves.
    pub fn left(&self, failure: &Failure) -> Vec<&Node> {
        self.nodes.iter().filter(|node| !failure.lost.contains(&node.name)).collect()
    }
}

impl App {
    /// Services by name.
    pub fn by_name(&self) -> BTreeMap<&str, &Service> {
        self.services.iter().map(|service| (service.name.as_str(), service)).collect()
    }

    /// Services that no other service calls. An application in which every service is called begins with its most critical one.
    pub fn entries(&self) -> Vec<&Service> {
        let is_called = |service: &&Service| {
            self.services
                .iter()
                .any(|other| other.name != service.name && other.depends_on.contains(&service.name))
        };
        let entries: Vec<&Service> = self.services.iter().filter(|service| !is_called(service)).collect();
        if entries.is_empty() {
            return self.services.iter().min_by_key(|service| service.criticality).into_iter().collect();
        }
        entries
    }
}
