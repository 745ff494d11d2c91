//! One scope (the cluster, or one namespace): the context of its turns, and the states of its services.

use std::sync::Arc;

use super::{context::Context, key::ServiceKey, state::States};

/// One scope.
pub struct Scope {
    /// The context of its turns.
    pub context: Arc<Context>,
    /// The states of its services.
    pub states: States,
}

impl Scope {
    /// A scope without states.
    #[must_use]
    pub fn new(context: Context) -> Self {
        Self { context: Arc::new(context), states: States::default() }
    }

    /// Discards everything about a deleted service.
    pub fn forget(&self, key: &ServiceKey) {
        self.states.forget(key);
        self.context.shared.waves.forget(key);
        self.leave(key);
    }

    /// Removes a service from the board and the metrics. Its state is kept, in case this process leads again before any
    /// other does.
    pub fn leave(&self, key: &ServiceKey) {
        self.context.shared.board.forget(key);
        self.context.shared.metrics.forget(&key.namespace, &key.name);
    }
}
