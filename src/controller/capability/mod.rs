//! A capability of the operator: its part of the observation, its writes, and its reports. A turn calls all capabilities
//! through the same trait.

mod effect;
mod view;

use std::{fmt::Debug, time::Duration};

use futures::future::{BoxFuture, FutureExt as _, ready};
use kube::Client;

use super::{core::Core, key::ServiceKey, outcome::Outcome, signals::Signals};
use crate::{
    actuate::Note,
    lease::{Permit, WriteError},
};
use plimsoll_api::{ScalableServiceStatus, Verdict};
use plimsoll_engine::{Departure, Observation, Veto};

pub use effect::{Effect, Phase};
pub use view::{Look, SharedFacts, View};

/// Adds a part to an observation. It is called after all queries have completed, so that its reads of the watches are current.
pub type Part<'a> = Box<dyn FnOnce(&mut Observation) + Send + 'a>;

/// One capability for one service. It keeps its own state between turns.
pub trait Capability: Debug + Send + Sync {
    /// Provides facts that other capabilities need too. Called at the beginning of a turn, and again after the writes.
    fn facts(&self, _view: &View<'_>, _sight: &mut SharedFacts) {}

    /// Adds signals that may trigger an evaluation before it is due.
    fn signals(&self, _view: &View<'_>, _core: &Core, _signals: &mut Signals) {}

    /// Whether the evaluation must not wait for a slow Prometheus.
    fn hurries(&self, _look: &Look<'_>) -> bool {
        false
    }

    /// Observes its part for an evaluation. All capabilities observe concurrently.
    fn observe<'a>(&'a mut self, _look: Look<'a>) -> BoxFuture<'a, Part<'a>> {
        let nothing: Part<'a> = Box::new(|_| {});
        ready(nothing).boxed()
    }

    /// Whether this capability allows a departure from the primary. Called in reverse order: the last one, failover, records a
    /// departure that all others have allowed.
    ///
    /// # Errors
    /// The departure is not allowed.
    fn consent(&self, _view: &View<'_>, _departure: Departure<'_>) -> Result<(), Veto> {
        Ok(())
    }

    /// Called with the outcome of an evaluation, before anything is written.
    fn decided(&mut self, _view: &View<'_>, _core: &mut Core) {}

    /// The effect to carry out in this phase.
    fn effect(&mut self, _phase: Phase, _view: &View<'_>, _core: &Core) -> Option<Effect> {
        None
    }

    /// Carries out the effect declared for this phase, and records the result.
    fn execute<'a>(
        &'a mut self,
        _phase: Phase,
        _view: &'a View<'_>,
        _core: &'a mut Core,
    ) -> BoxFuture<'a, ()> {
        ready(()).boxed()
    }

    /// Called instead of [`Self::execute`] if the finalizer that the effect needs could not be written.
    fn stopped(&mut self, _effect: &Effect, _why: &WriteError) {}

    /// Updates the outcome of the last evaluation.
    fn follow(&mut self, _view: &View<'_>, _core: &mut Core) {}

    /// The condition `TrafficSynced`, if this capability handles the service's traffic.
    fn synced(&self, _view: &View<'_>) -> Option<Verdict> {
        None
    }

    /// Its other conditions.
    fn conditions(&self, _sight: &SharedFacts, _outcome: &Outcome) -> Vec<Verdict> {
        Vec::new()
    }

    /// Its events between two statuses.
    fn notes(&self, _change: &Reported<'_>) -> Vec<Note> {
        Vec::new()
    }

    /// Time until this capability needs another turn; `None` if a watch or the next evaluation triggers it.
    fn next_turn(&self) -> Option<Duration> {
        None
    }

    /// Restores what it changed for a service that is being deleted, or released on uninstallation of the operator. Returns a
    /// sentence for each restored object.
    fn restore<'a>(
        &'a self,
        _key: &'a ServiceKey,
        _client: &'a Client,
        _permit: &'a Permit,
    ) -> BoxFuture<'a, Result<Vec<String>, WriteError>> {
        ready(Ok(Vec::new())).boxed()
    }
}

/// Two successive statuses, and the outcome that led to the new one.
#[derive(Clone, Copy, Debug)]
pub struct Reported<'a> {
    /// The old status.
    pub old: &'a ScalableServiceStatus,
    /// The new status.
    pub new: &'a ScalableServiceStatus,
    /// The outcome.
    pub outcome: &'a Outcome,
}
