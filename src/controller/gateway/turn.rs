//! The input of one turn of a rule, for the weights, their probes and the policy.

use std::time::Duration;

use crate::{
    balancer::gateway::{Share, shares},
    controller::{capability::View, context::Context, core::Core, key::ServiceKey},
};
use plimsoll_api::{GatewayRule, ReasonCode, ScalableService};

/// First pause between two checks of a Gateway that does not answer yet.
pub(super) const AGAIN: Duration = Duration::from_millis(500);
/// Pause after a failed write.
pub(super) const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Status, reason and message of `TrafficSynced`.
pub(super) type ConditionUpdate = (Option<bool>, ReasonCode, String);

/// A rule that a service steers, and the wanted shares of its backends.
pub(super) struct Turn<'a> {
    pub service: &'a ScalableService,
    pub key: &'a ServiceKey,
    pub rule: &'a GatewayRule,
    pub shares: Vec<Share>,
    pub context: &'a Context,
}

impl<'a> Turn<'a> {
    pub fn of(rule: &'a GatewayRule, view: &View<'a>, core: &Core) -> Self {
        let View { service, key, context, .. } = *view;
        let status = core.last_written().and_then(|status| status.failover.as_ref());
        let shares = shares((&key.namespace, &key.name), &service.spec, rule, status);
        Self { service, key, rule, shares, context }
    }

    /// The other service that steers the rule, if there is one.
    pub fn keeper(&self) -> Option<String> {
        let keeper = self.context.keeper_of(&self.key.namespace, self.rule);
        keeper.filter(|keeper| *keeper != self.key.name)
    }
}
