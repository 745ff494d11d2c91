//! What a turn looks at.

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
    /// What the turn works with.
    pub context: &'a Context,
    /// What several capabilities need to know.
    pub facts: SharedFacts,
    /// What is scaled; `None` in a turn that does not look, or where nothing is known of the target.
    pub subject: Option<Subject>,
    /// What was observed; `None` in a turn that does not look.
    pub seen: Option<Observation>,
}

/// What several capabilities need to know.
#[derive(Clone, Debug)]
pub struct SharedFacts {
    /// The balancers; `None` if Plimsoll runs none for the service.
    pub fleet: Option<Fleet>,
    /// Why no standby can get a request; `None` if nothing is known against it.
    pub refusal: Option<String>,
    /// Whether the shares of before are in force.
    pub settled: bool,
}

impl Default for SharedFacts {
    fn default() -> Self {
        Self { fleet: None, refusal: None, settled: true }
    }
}

impl View<'_> {
    /// The target as the watches show it; `None` if they do not, or if its kind is not watched.
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

    /// As whose the service's queries count.
    #[must_use]
    pub fn asker(&self) -> Asker {
        Asker::new(&self.key.namespace, &self.key.name, self.service.spec.criticality)
    }
}

/// One look at the KPIs.
#[derive(Clone, Copy)]
pub struct Look<'a> {
    /// The service.
    pub view: &'a View<'a>,
    /// What is remembered of it.
    pub core: &'a Core,
    /// What is scaled.
    pub subject: &'a Subject,
    /// An answer of Prometheus may be this old.
    pub age: Duration,
    /// An answer of Prometheus is waited for no longer.
    pub patience: Duration,
}
