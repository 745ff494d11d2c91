//! Reasons of conditions and events outside of decisions: why Plimsoll can't manage a service, and the state of what it runs.

use std::fmt;

use schemars::JsonSchema;
use strum::{EnumIter, IntoStaticStr};

/// A reason of a condition or an event. Its numbers and names are in the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EnumIter, IntoStaticStr, JsonSchema)]
pub enum ConditionCode {
    // Why Plimsoll can't manage this service.
    /// The spec is invalid; the message names the field.
    InvalidSpec,
    /// The target does not exist.
    TargetNotFound,
    /// The target has no scale subresource, or its kind is not served.
    TargetNotScalable,
    /// Another autoscaler scales the same target.
    ScalerConflict,

    // The evidence.
    /// No KPI has a fresh sample.
    MetricsUnavailable,
    /// At least one KPI has no fresh sample.
    MetricsIncomplete,
    /// Every KPI has a fresh sample.
    MetricsFresh,
    /// The desired replicas are within the limits.
    WithinLimits,
    /// Replicas are being started or removed.
    Progressing,
    /// No zone that has replicas is lost.
    ZonesServing,

    // The load balancer.
    /// Every balancer runs its wanted configuration.
    BalancersInSync,
    /// Balancers are starting or applying a change.
    BalancersStarting,
    /// A balancer reports why it does not run its wanted configuration.
    BalancerOutOfSync,
    /// The balancers could not be reconciled.
    BalancersFailed,
    /// No balancer is near its capacity.
    HeadroomLeft,
    /// A balancer is near its capacity.
    BalancersSaturated,

    // The rule of an HTTPRoute.
    /// The rule has the wanted weights, its Gateways have accepted them, and it answers.
    RouteInSync,
    /// The weights of the rule were changed.
    RouteChanged,
    /// The Gateways are applying a change.
    RouteProgressing,
    /// The HTTPRoute does not exist, or the cluster has no Gateway API.
    RouteNotFound,
    /// Plimsoll can't set the weights of the rule; the message has the cause.
    RouteRefused,
    /// A Gateway's controller does not accept the route.
    RouteNotAccepted,
    /// A Gateway reports that it has applied the change, but a probe through it failed.
    RouteNotServing,
    /// The weights could not be written.
    RouteFailed,
    /// The cluster has no BackendTrafficPolicy, which fields of `spec.traffic` need.
    PolicyNotServed,
    /// A Gateway's controller does not accept the BackendTrafficPolicy.
    PolicyNotAccepted,
    /// The BackendTrafficPolicy could not be written.
    PolicyFailed,
}

impl ConditionCode {
    /// Whether Plimsoll makes no decisions for the service with this reason.
    #[must_use]
    pub fn stops_deciding(self) -> bool {
        matches!(
            self,
            Self::InvalidSpec | Self::TargetNotFound | Self::TargetNotScalable | Self::ScalerConflict
        )
    }
}

impl fmt::Display for ConditionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidSpec => "the spec is invalid",
            Self::TargetNotFound => "the target does not exist",
            Self::TargetNotScalable => "the target has no scale subresource",
            Self::ScalerConflict => "another autoscaler scales the same target",
            Self::MetricsUnavailable => "no KPI has a fresh sample",
            Self::MetricsIncomplete => "at least one KPI has no fresh sample",
            Self::MetricsFresh => "every KPI has a fresh sample",
            Self::WithinLimits => "the desired replicas are within the limits",
            Self::Progressing => "replicas are being started or removed",
            Self::ZonesServing => "no zone is lost",
            Self::BalancersInSync => "every balancer runs its wanted configuration",
            Self::BalancersStarting => "balancers are starting or applying a change",
            Self::BalancerOutOfSync => "a balancer does not run its wanted configuration",
            Self::BalancersFailed => "the load balancers could not be reconciled",
            Self::HeadroomLeft => "no balancer is near its capacity",
            Self::BalancersSaturated => "a balancer is near its capacity",
            Self::RouteInSync => "the rule has the wanted weights, is accepted and answers",
            Self::RouteChanged => "the weights of the rule were changed",
            Self::RouteProgressing => "the Gateways are applying a change",
            Self::RouteNotFound => "the HTTPRoute does not exist",
            Self::RouteRefused => "the weights of the rule can't be set",
            Self::RouteNotAccepted => "a Gateway does not accept the HTTPRoute",
            Self::RouteNotServing => "a probe through a Gateway failed",
            Self::RouteFailed => "the weights of the rule could not be written",
            Self::PolicyNotServed => "the cluster has no BackendTrafficPolicy",
            Self::PolicyNotAccepted => "a Gateway does not accept the BackendTrafficPolicy",
            Self::PolicyFailed => "the BackendTrafficPolicy could not be written",
        })
    }
}
