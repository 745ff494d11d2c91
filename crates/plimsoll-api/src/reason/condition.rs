//! Reasons of conditions and events that no decision has: what keeps Plimsoll from working, and the state of what it
//! runs.

use std::fmt;

use schemars::JsonSchema;
use strum::{EnumIter, IntoStaticStr};

/// A reason of a condition or an event. The numbers and names are in the message beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EnumIter, IntoStaticStr, JsonSchema)]
pub enum ConditionCode {
    // Why Plimsoll can't work for this service.
    /// The spec says something that can't be; the message names the field.
    InvalidSpec,
    /// The target does not exist.
    TargetNotFound,
    /// The target has no scale subresource, or its kind is not served.
    TargetNotScalable,
    /// Something else scales the same target.
    ScalerConflict,

    // The evidence.
    /// No KPI has a fresh sample.
    MetricsUnavailable,
    /// Some KPI has no fresh sample.
    MetricsIncomplete,
    /// Every KPI has a fresh sample.
    MetricsFresh,
    /// Desired replicas lie within the limits.
    WithinLimits,
    /// Replicas are on their way to what is desired.
    Progressing,
    /// No zone that has replicas is lost.
    ZonesServing,

    // The load balancer.
    /// Every balancer runs what is wanted of it.
    BalancersInSync,
    /// Balancers are starting, or taking a change over.
    BalancersStarting,
    /// A balancer says what keeps it from what is wanted of it.
    BalancerOutOfSync,
    /// The balancers could not be reconciled.
    BalancersFailed,
    /// No balancer is near the most that it can take.
    HeadroomLeft,
    /// A balancer is near the most that it can take.
    BalancersSaturated,

    // The rule of an HTTPRoute.
    /// The rule has the weights that failover wants, its Gateways have accepted them, and it answers.
    RouteInSync,
    /// The weights of the rule were changed.
    RouteChanged,
    /// The Gateways are taking a change over.
    RouteProgressing,
    /// There is no such HTTPRoute, or the cluster has no Gateway API.
    RouteNotFound,
    /// Plimsoll can't steer the rule; the message says what is wrong with it.
    RouteRefused,
    /// A Gateway's controller does not accept the route.
    RouteNotAccepted,
    /// A Gateway says that it has the change, but does not answer as the service does.
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
    /// Whether Plimsoll decides nothing for the service while it is the reason.
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
            Self::InvalidSpec => "the spec says something that can't be",
            Self::TargetNotFound => "the target does not exist",
            Self::TargetNotScalable => "the target has no scale subresource",
            Self::ScalerConflict => "something else scales the same target",
            Self::MetricsUnavailable => "no KPI has a fresh sample",
            Self::MetricsIncomplete => "some KPI has no fresh sample",
            Self::MetricsFresh => "every KPI has a fresh sample",
            Self::WithinLimits => "what is wanted lies within the limits",
            Self::Progressing => "replicas are on their way to what is desired",
            Self::ZonesServing => "no zone is lost",
            Self::BalancersInSync => "every balancer runs what is wanted of it",
            Self::BalancersStarting => "balancers are starting or taking a change over",
            Self::BalancerOutOfSync => "a balancer does not run what is wanted of it",
            Self::BalancersFailed => "the load balancers could not be reconciled",
            Self::HeadroomLeft => "no balancer is near the most that it can take",
            Self::BalancersSaturated => "a balancer is near the most that it can take",
            Self::RouteInSync => "the rule has its weights, is accepted and answers",
            Self::RouteChanged => "the weights of the rule were changed",
            Self::RouteProgressing => "the Gateways are taking a change over",
            Self::RouteNotFound => "there is no such HTTPRoute",
            Self::RouteRefused => "the rule can't be steered",
            Self::RouteNotAccepted => "a Gateway does not accept the HTTPRoute",
            Self::RouteNotServing => "a Gateway does not answer as the service does",
            Self::RouteFailed => "the weights of the rule could not be written",
            Self::PolicyNotServed => "the cluster has no BackendTrafficPolicy",
            Self::PolicyNotAccepted => "a Gateway does not accept the BackendTrafficPolicy",
            Self::PolicyFailed => "the BackendTrafficPolicy could not be written",
        })
    }
}
