//! The input of a turn.

use std::time::Duration;

use super::super::{
    context::Context,
    core::Core,
    fleet::Fleet,
    index::{BalancerPod, Target, read},
    key::ServiceKey,
    subject::Subject,
};
use crate::kpi::Asker;
use plimsoll_api::ScalableService;
use plimsoll_engine::Observation;

/// One service in one turn.
pub struct View<'a> {
    /// The service.
    pub service: &'a ScalableService,
    /// Its name.
    pub key: &'a ServiceKey,
    /// The context of the turn.
    pub context: &'a Context,
    /// Facts that several capabilities need.
    pub facts: SharedFacts,
    /// The target with its rules; `None` in a turn without an evaluation, or if nothing is known of the target.
    pub subject: Option<Subject>,
    /// The observation; `None` in a turn without one.
    pub seen: Option<Observation>,
}

/// Facts that several capabilities need.
#[derive(Clone, Debug)]
pub struct SharedFacts {
    /// The balancers; `None` if Plimsoll runs none for the service.
    pub fleet: Option<Fleet>,
    /// Why no standby can get requests; `None` if there is no known reason.
    pub refusal: Option<String>,
    /// Whether the last shares are in force.
    pub settled: bool,
}

impl Default for SharedFacts {
    fn default() -> Self {
        Self { fleet: None, refusal: None, settled: true }
    }
}

impl View<'_> {
    /// The target from the watches; `None` if it is missing, or if its kind is not watched.
    #[must_use]
    pub fn watched_target(&self) -> Option<Target> {
        self.context.targets.watched(&self.key.namespace, &self.service.spec.scale_target_ref)
    }

    /// The pods of the service's balancers.
    #[must_use]
    pub fn balancers(&self) -> Vec<BalancerPod> {
        let (key, now) = (self.key, self.context.shared.clock.now());
        read(&self.context.pods, |index| index.balancers(&key.namespace, &key.name, now))
    }

    /// The service as the originator of queries.
    #[must_use]
    pub fn asker(&self) -> Asker {
        Asker::new(&self.key.namespace, &self.key.name, self.service.spec.criticality)
    }
}

/// One evaluation.
#[derive(Clone, Copy)]
pub struct Look<'a> {
    /// The service.
    pub view: &'a View<'a>,
    /// Its state.
    pub core: &'a Core,
    /// The target with its rules.
    pub subject: &'a Subject,
    /// Maximum age of query results.
    pub age: Duration,
    /// Time limit of queries.
    pub patience: Duration,
}
