//! One scope (the cluster, or one namespace): what a turn needs there, and the states of its services.

use std::sync::Arc;

use super::{context::Context, key::ServiceKey, state::States};

/// One scope.
pub struct Scope {
    /// What a turn needs.
    pub context: Arc<Context>,
    /// What is remembered of each service.
    pub states: States,
}

impl Scope {
    /// A scope without any state yet.
    #[must_use]
    pub fn new(context: Context) -> Self {
        Self { context: Arc::new(context), states: States::default() }
    }

    /// Forgets a service that is gone.
    pub fn forget(&self, key: &ServiceKey) {
        self.states.forget(key);
        self.context.shared.waves.forget(key);
        self.leave(key);
    }

    /// Takes a service off the board and out of the metrics, since this process does not lead. Its state is kept for the case
    /// that this process leads again before any other.
    pub fn leave(&self, key: &ServiceKey) {
        self.context.shared.board.forget(key);
        self.context.shared.metrics.forget(&key.namespace, &key.name);
    }
}
