//! A capability of the operator: what it observes for the engine, what it writes, and what it reports. A turn runs all of
//! them in the order of [`all`] and knows none by name.

mod effect;
mod signals;
mod view;

use std::{fmt::Debug, time::Duration};

use futures::future::{BoxFuture, FutureExt as _, ready};
use kube::Client;

use super::{
    core::Core, failover, gateway, key::ServiceKey, outcome::Outcome, recovery, scale, traffic, zones,
};
use crate::{
    actuate::Note,
    lease::{Permit, WriteError},
};
use plimsoll_api::{ScalableServiceStatus, Verdict};
use plimsoll_engine::{Departure, Observation, Veto};

pub use effect::Effect;
pub use signals::Signals;
pub use view::{Look, Sight, View};

/// The capabilities of one service, in the order in which their effects are carried out: requests are sent elsewhere before
/// replicas are written, and replicas are written before one of them is evicted.
#[must_use]
pub fn all() -> Vec<Box<dyn Capability>> {
    vec![
        Box::<failover::Failing>::default(),
        Box::<scale::Scaling>::default(),
        Box::<recovery::Recovering>::default(),
        Box::<traffic::Balancing>::default(),
        Box::<gateway::Steering>::default(),
        Box::<zones::Placing>::default(),
    ]
}

/// A part of an observation, to be put into it.
pub type Part = Box<dyn FnOnce(&mut Observation) + Send>;

/// What one capability does for one service. It remembers what it needs between two turns.
///
/// A turn calls the methods from top to bottom; those from [`Self::hurries`] to [`Self::decided`] only in a turn that looks at
/// the KPIs.
pub trait Capability: Debug + Send + Sync {
    /// Reads from the watches what other capabilities need as well.
    fn sight(&self, _view: &View<'_>, _core: &Core, _sight: &mut Sight) {}

    /// Notes what calls for a look before it is due.
    fn signals(&self, _view: &View<'_>, _core: &Core, _signals: &mut Signals) {}

    /// Whether a slow Prometheus is not to be waited for.
    fn hurries(&self, _look: &Look<'_>) -> bool {
        false
    }

    /// Observes its part. Those of all capabilities are observed at the same time.
    fn observe<'a>(&'a mut self, _look: Look<'a>) -> BoxFuture<'a, Part> {
        let nothing: Part = Box::new(|_| {});
        ready(nothing).boxed()
    }

    /// Whether a departure from the primary is allowed, as far as this capability knows.
    ///
    /// # Errors
    /// It is not.
    fn consent(&self, _view: &View<'_>, _departure: Departure<'_>) -> Result<(), Veto> {
        Ok(())
    }

    /// Takes note of what was decided, before anything is written.
    fn decided(&mut self, _view: &View<'_>, _core: &mut Core) {}

    /// What is to be written now.
    fn effects(&mut self, _view: &View<'_>, _core: &Core) -> Vec<Effect> {
        Vec::new()
    }

    /// Carries out an effect that it declared, and notes what came of it.
    fn execute<'a>(
        &'a mut self,
        _effect: &'a Effect,
        _view: &'a View<'_>,
        _core: &'a mut Core,
    ) -> BoxFuture<'a, ()> {
        ready(()).boxed()
    }

    /// Takes note that an effect was not carried out, since what has to be persisted before it could not be.
    fn stopped(&mut self, _effect: &Effect, _why: &WriteError) {}

    /// Puts back what it changed for a service that is being deleted, or released by an operator that is uninstalled.
    /// Returns what was put back, a sentence for each object.
    fn restore<'a>(
        &'a self,
        _key: &'a ServiceKey,
        _client: &'a Client,
        _permit: &'a Permit,
    ) -> BoxFuture<'a, Result<Vec<String>, WriteError>> {
        ready(Ok(Vec::new())).boxed()
    }

    /// Brings the outcome of the last look up to date.
    fn follow(&mut self, _view: &View<'_>, _core: &mut Core) {}

    /// When the next turn is due for this capability; `None` where a watch or the next look calls for it.
    fn next_turn(&self) -> Option<Duration> {
        None
    }

    /// Its conditions.
    fn conditions(&self, _sight: &Sight, _outcome: &Outcome) -> Vec<Verdict> {
        Vec::new()
    }

    /// Its events between two statuses.
    fn notes(&self, _change: &Reported<'_>) -> Vec<Note> {
        Vec::new()
    }
}

/// Two statuses, and the outcome that is between them.
#[derive(Clone, Copy, Debug)]
pub struct Reported<'a> {
    /// The last one.
    pub old: &'a ScalableServiceStatus,
    /// The new one.
    pub new: &'a ScalableServiceStatus,
    /// What led to the new one.
    pub outcome: &'a Outcome,
}
