//! A capability of the operator: what it observes for the engine, what it writes, and what it reports. A turn goes through
//! all of them and knows none by name.

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

/// A part of an observation, to be put into it. It is made when all answers are there, so that what it reads from the watches
/// is of that moment.
pub type Part<'a> = Box<dyn FnOnce(&mut Observation) + Send + 'a>;

/// What one capability does for one service. It remembers what it needs between two turns.
pub trait Capability: Debug + Send + Sync {
    /// Says what other capabilities need as well. It is asked at the beginning of a turn, and again after the writes.
    fn facts(&self, _view: &View<'_>, _sight: &mut SharedFacts) {}

    /// Notes what calls for a look before it is due.
    fn signals(&self, _view: &View<'_>, _core: &Core, _signals: &mut Signals) {}

    /// Whether a slow Prometheus is not to be waited for.
    fn hurries(&self, _look: &Look<'_>) -> bool {
        false
    }

    /// Observes its part for a look. Those of all capabilities are observed at the same time.
    fn observe<'a>(&'a mut self, _look: Look<'a>) -> BoxFuture<'a, Part<'a>> {
        let nothing: Part<'a> = Box::new(|_| {});
        ready(nothing).boxed()
    }

    /// Whether a departure from the primary is allowed, as far as this capability knows. They are asked in reverse order: the
    /// last one to be asked, failover, notes a departure that all allow.
    ///
    /// # Errors
    /// It is not.
    fn consent(&self, _view: &View<'_>, _departure: Departure<'_>) -> Result<(), Veto> {
        Ok(())
    }

    /// Takes note of what a look decided, before anything is written.
    fn decided(&mut self, _view: &View<'_>, _core: &mut Core) {}

    /// What is to be written in this phase.
    fn effect(&mut self, _phase: Phase, _view: &View<'_>, _core: &Core) -> Option<Effect> {
        None
    }

    /// Carries out the effect that it declared for this phase, and notes what came of it.
    fn execute<'a>(
        &'a mut self,
        _phase: Phase,
        _view: &'a View<'_>,
        _core: &'a mut Core,
    ) -> BoxFuture<'a, ()> {
        ready(()).boxed()
    }

    /// Takes note that an effect was not carried out, since what has to be persisted before it could not be.
    fn stopped(&mut self, _effect: &Effect, _why: &WriteError) {}

    /// Brings the outcome of the last look up to date.
    fn follow(&mut self, _view: &View<'_>, _core: &mut Core) {}

    /// The condition `TrafficSynced`, if this is what carries the service's requests.
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

    /// When the next turn is due for this capability; `None` where a watch or the next look calls for it.
    fn next_turn(&self) -> Option<Duration> {
        None
    }

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
