//! The resources `ScalableService` and `CapacityBudget` as Rust types: spec, status, reasons, validation.
//!
//! Data only: the crate uses no client, no clock and no environment.

mod balancing;
mod budget;
mod capabilities;
mod capacity;
mod conditions;
mod failover;
mod forwarding;
mod front;
mod gateway;
mod kpi;
mod percent;
mod pod;
mod priority;
mod quantity;
pub mod reason;
mod recovery;
mod retries;
mod schedule;
mod selector;
mod spec;
mod standby;
mod status;
pub mod text;
mod traffic;
mod validate;
pub mod words;

pub use balancing::{Arrival, BalancerStatus, Draining, TrafficStatus};
pub use budget::{
    BudgetLimit, BudgetMode, BudgetQuery, BudgetUsage, CapacityBudget, CapacityBudgetSpec,
    CapacityBudgetStatus, Consumer, ConsumerStatus, LimitType, NodeSet, QuotaRef, ReclaimPolicy, UsageScope,
};
pub use capabilities::{Capabilities, Provider, Software};
pub use capacity::{Consumes, Dependency};
pub use conditions::{ConditionType, Verdict, merge_conditions};
pub use failover::{
    FAILOVER_TO_ANNOTATION, FREEZE_ANNOTATION, Failover, FailoverState, FailoverStatus, Leave,
    LeaveCondition, PRIMARY, Return, ReturnMode,
};
pub use forwarding::{AccessLog, is_network};
pub use front::{ExternalTrafficPolicy, FrontService, FrontServiceType, IpFamilyPolicy};
pub use gateway::GatewayRule;
pub use kpi::{Kpi, KpiType, OnEmpty};
pub use percent::Percent;
pub use pod::{BalancerContainer, BalancerPod, ContainerResources};
pub use priority::{Criticality, HeaderMatch, Priority, RequestMatch};
pub use quantity::Quantity;
pub use reason::{
    BudgetCode, BudgetReason, ConditionCode, DecisionCode, DecisionReason, DecisionStep, FailoverCode,
    FailoverReason, GrantCode, GrantReason, Holder, RateLimit, ReasonCode, RecoveryCode, RecoveryReason,
    Role, StepRecord, UnknownStep,
};
pub use recovery::{Ejected, KpiByPod, Outliers, Recovery, RecoveryStatus, Replaced, Returned};
pub use retries::{Retries, RetryOn};
pub use schedule::Schedule;
pub use spec::{
    Behavior, Mode, PolicyType, ScalableService, ScalableServiceSpec, ScaleTargetRef, ScalingPolicy,
    ScalingRules, ScheduleEntry, SelectPolicy,
};
pub use standby::{
    Backend, NotAnswering, Standby, StandbyAddress, StandbyFor, StandbyService, StandbyStatus, StandbyTls,
};
pub use status::{DecisionRecord, KpiState, KpiStatus, ScalableServiceStatus, Summary};
pub use traffic::{
    Algorithm, Carrier, Drain, HealthCheck, Limits, Listener, ListenerTls, PassiveCheck, SessionPersistence,
    Timeouts, Traffic,
};
pub use validate::{
    ConsumerRule, ConsumesRule, FailoverRules, Goal, Invalid, KpiRule, Limit, MoveRules, OutlierRules,
    SignRule, TrafficRules, ValidBudget, Validated, VolumeRule,
};

/// The API group of all resources of Plimsoll.
pub const GROUP: &str = "plimsoll.dev";
/// Label of the pods and the Deployment of the balancers: the name of the ScalableService.
pub const BALANCER_LABEL: &str = "plimsoll.dev/balancer";
/// The only served version.
pub const VERSION: &str = "v1alpha1";

/// Name of the Deployment of the balancers, of their Service, and of the other objects for their pods.
#[must_use]
pub fn balancer_name(service: &str) -> String {
    format!("{service}-lb")
}

/// Name of the headless Service whose EndpointSlices the balancers of a service follow.
#[must_use]
pub fn endpoints_name(service: &str) -> String {
    format!("{service}-endpoints")
}
