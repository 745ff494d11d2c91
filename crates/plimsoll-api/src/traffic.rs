//! `spec.traffic`: the load balancer in front of a service. Names are those of the Gateway API wherever it has one.

use kube::{KubeSchema, core::Duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    AccessLog, BalancerContainer, BalancerPod, FrontService, FrontServiceType, GatewayRule, Priority,
    Provider, Retries, RetryOn,
};

/// The load balancer in front: one that Plimsoll runs, feeds and drains, or a rule of an HTTPRoute that it steers.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = (
        "self.listeners.all(a, self.listeners.exists_one(b, a.port == b.port))",
        "traffic.listeners must each have a port of their own"
    ),
    validation = (
        "self.algorithm != 'SourceHash' || !has(self.sessionPersistence)",
        "traffic.sessionPersistence is not allowed with algorithm SourceHash: that binds clients already"
    ),
    validation = (
        "self.provider != 'NGINX' || !has(self.sessionPersistence)",
        "traffic.sessionPersistence is not possible with provider NGINX, which binds clients by algorithm SourceHash only"
    ),
    validation = (
        "self.provider != 'NGINX' || !has(self.healthCheck) || (has(self.healthCheck.passive) && \
         !has(self.healthCheck.path) && duration(self.healthCheck.interval) == duration('2s') && \
         self.healthCheck.rise == 2 && self.healthCheck.fall == 3)",
        "traffic.healthCheck can have passive alone with provider NGINX, which makes no checks of its own"
    ),
    validation = (
        "self.provider != 'NGINX' || duration(self.slowStart) == duration('0s')",
        "traffic.slowStart is not possible with provider NGINX; leave it out"
    ),
    validation = (
        "self.provider != 'NGINX' || (!has(self.limits.connectionsPerReplica) && \
         duration(self.limits.queueTimeout) == duration('30s'))",
        "traffic.limits are not possible with provider NGINX, which has no queue; leave them out"
    ),
    validation = (
        "self.provider != 'NGINX' || size(self.priorities) == 0",
        "traffic.priorities are not possible with provider NGINX, which has no queue; leave them out"
    ),
    validation = (
        "self.provider != 'NGINX' || !has(self.retries.retryOn) || \
         (('ConnectFailure' in self.retries.retryOn) == ('EmptyResponse' in self.retries.retryOn))",
        "traffic.retries.retryOn must have both or none of ConnectFailure and EmptyResponse with provider NGINX, which \
         can't tell them apart"
    ),
    validation = (
        "(self.provider == 'Gateway') == has(self.gateway)",
        "traffic.gateway is required with provider Gateway, and not possible with any other"
    ),
    validation = (
        "self.provider == 'Gateway' || (has(self.targetPort) && size(self.listeners) > 0)",
        "traffic.targetPort and traffic.listeners are required with provider HAProxy or NGINX"
    ),
    validation = (
        "!self.proxyProtocol || size(self.trustedProxies) > 0",
        "traffic.proxyProtocol needs traffic.trustedProxies: otherwise any client could claim any address"
    ),
    validation = (
        "self.provider != 'Gateway' || (!has(self.targetPort) && size(self.listeners) == 0 && \
         (!has(self.replicas) || self.replicas == 2) && !has(self.minReadySeconds) && !has(self.pod) && \
         !has(self.container) && self.service.type == 'ClusterIP' && size(self.service.annotations) == 0 && \
         !has(self.service.ipFamilyPolicy) && \
         !has(self.sessionPersistence) && duration(self.drain.timeout) == duration('30s') && \
         !has(self.limits.connectionsPerReplica) && duration(self.limits.queueTimeout) == duration('30s') && \
         duration(self.timeouts.backendRequest) == duration('60s') && size(self.priorities) == 0 && \
         size(self.trustedProxies) == 0 && !self.proxyProtocol && self.accessLog == 'Off')",
        "traffic can have gateway, algorithm, healthCheck, slowStart and retries with provider Gateway: listeners, \
         targetPort, replicas, minReadySeconds, pod, container, service, sessionPersistence, drain, limits, timeouts, \
         priorities, trustedProxies, proxyProtocol and accessLog are for balancers that Plimsoll runs"
    ),
    validation = (
        "self.provider != 'Gateway' || self.algorithm != 'SourceHash' || duration(self.slowStart) == duration('0s')",
        "traffic.slowStart is not possible with provider Gateway and algorithm SourceHash; leave one of them out"
    ),
    validation = (
        "self.provider != 'Gateway' || !has(self.retries.retryOn) || self.retries.retryOn.all(on, on == 'ConnectFailure')",
        "traffic.retries.retryOn can have ConnectFailure alone with provider Gateway: Envoy sends again whatever the \
         method is"
    )
)]
pub struct Traffic {
    /// Who balances. HAProxy does all that is here. NGINX is reloaded for each change, at most every 2 s, and then cuts
    /// what takes longer than `drain.timeout`; what it can't do is refused. With Gateway there are `gateway` and what a
    /// BackendTrafficPolicy of Envoy Gateway can say: `algorithm`, `healthCheck`, `slowStart` and `retries`; of these a
    /// field with its default leaves the Gateway as it is. The policy is for the one rule: it is merged into one for the
    /// Gateway or a listener, but one for the whole HTTPRoute has no effect on that rule any more.
    pub provider: Provider,
    /// The rule of an HTTPRoute whose weights follow `failover`; with provider Gateway alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewayRule>,
    /// Balancers, spread over nodes and zones; at least two, so that the loss of one is survived. Without it there are two at
    /// first, and the number belongs to whoever scales the Deployment `NAME-lb`, such as a HorizontalPodAutoscaler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 20))]
    pub replicas: Option<i32>,
    /// Seconds that a new balancer must be ready until a rollout goes on. The default is 30 with a Service of type
    /// LoadBalancer, in which a cloud registers it and finds it healthy, and 0 otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 300))]
    pub min_ready_seconds: Option<i32>,
    /// Pods of the balancers: where they run, and what else they have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<BalancerPod>,
    /// The container of HAProxy or NGINX.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<BalancerContainer>,
    /// Port of the service's pods that requests go to; required for a balancer that Plimsoll runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_535))]
    pub target_port: Option<i32>,
    /// Where the balancer listens; at least one for a balancer that Plimsoll runs.
    #[serde(default)]
    #[schemars(length(max = 8))]
    pub listeners: Vec<Listener>,
    /// The balancer's own Service, `NAME-lb`.
    #[serde(default)]
    pub service: FrontService,
    /// How a replica is chosen.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// How a replica is found fit, beyond its readiness.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// Binds a client to its replica by a cookie that the balancer sets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_persistence: Option<SessionPersistence>,
    /// How long a new replica's share grows, from 0s (the default: at once) to 10m.
    #[serde(default = "zero")]
    // The type's own text would be `0ns`, an unusual form.
    #[schemars(default = "zero_text")]
    #[x_kube(validation = (
        "duration(self) >= duration('0s') && duration(self) <= duration('10m')",
        "traffic.slowStart must be a duration from 0s to 10m"
    ))]
    #[schemars(length(max = 16))]
    pub slow_start: Duration,
    /// What happens before a replica is removed.
    #[serde(default)]
    pub drain: Drain,
    /// When a request is sent again, to another replica.
    #[serde(default)]
    pub retries: Retries,
    /// How much a replica gets at a time, and how long the rest waits.
    #[serde(default)]
    pub limits: Limits,
    /// How long an answer may take.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// Which requests go first when requests wait; the first that matches counts.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub priorities: Vec<Priority>,
    /// Networks (CIDR) of proxies in front, such as a cloud's load balancer or a CDN. What their requests say in
    /// X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, X-Real-IP, Forwarded and X-Request-Id is passed on; of all others
    /// it is replaced by what the balancer sees.
    #[serde(default)]
    #[schemars(length(max = 32), inner(length(max = 43), regex(pattern = "^[0-9A-Fa-f.:]+/[0-9]{1,3}$")))]
    pub trusted_proxies: Vec<String>,
    /// Connections of `trustedProxies` begin with the client's address in the PROXY protocol, version 1 or 2. With HAProxy
    /// others connect without it; with NGINX they must send it too, and what they say there counts for nothing.
    #[serde(default)]
    pub proxy_protocol: bool,
    /// Which requests are logged: Off (the default), Errors, Sampled or All.
    #[serde(default)]
    pub access_log: AccessLog,
}

impl Traffic {
    /// After what a request is sent again, if `retries.attempts` lets it.
    #[must_use]
    pub fn retry_on(&self) -> &[RetryOn] {
        match (&self.retries.on, self.provider) {
            (Some(on), _) => on,
            (None, Provider::NGINX) => &[RetryOn::ConnectFailure, RetryOn::EmptyResponse],
            (None, _) => &[RetryOn::ConnectFailure],
        }
    }

    /// Balancers at first, where the spec does not say how many.
    pub const REPLICAS: i32 = 2;
    /// Seconds within which the common clouds register a target and find it healthy: two checks of 10 s (the default of
    /// AWS' Network Load Balancer), and as long for the registration.
    const REGISTERED_WITHIN: i32 = 30;

    /// Seconds that a balancer must be ready until a rollout goes on.
    #[must_use]
    pub fn ready_for(&self) -> i32 {
        let registered = match self.service.type_ {
            FrontServiceType::LoadBalancer => Self::REGISTERED_WITHIN,
            FrontServiceType::ClusterIP | FrontServiceType::NodePort => 0,
        };
        self.min_ready_seconds.unwrap_or(registered)
    }
}

/// A port of the balancer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// Port, of the balancer's Service and of its pods (there above 1024: 10000 is added to lower ones).
    #[schemars(range(min = 1, max = 65_535))]
    pub port: i32,
    /// TLS ends at the balancer; without it the listener speaks plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ListenerTls>,
}

/// The certificate of a listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListenerTls {
    /// Name of a Secret of type `kubernetes.io/tls` in the same namespace; a new content is served within seconds.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub secret_name: String,
}

/// How a replica is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Algorithm {
    /// One after the other.
    RoundRobin,
    /// The one with the fewest requests.
    #[default]
    LeastConnections,
    /// The better of two drawn at random: what many balancers beside each other should use.
    RandomOfTwo,
    /// By the client's address, consistently.
    SourceHash,
}

/// How a replica is found fit, beyond its readiness.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// Path that answers 2xx or 3xx when the replica is fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), regex(pattern = "^/[A-Za-z0-9._~!$&()*+,;=:@%/-]*$"))]
    pub path: Option<String>,
    /// Time between two checks, from 100ms to 1m.
    #[serde(default = "check_interval")]
    #[x_kube(validation = (
        "duration(self) >= duration('100ms') && duration(self) <= duration('1m')",
        "traffic.healthCheck.interval must be a duration from 100ms to 1m"
    ))]
    #[schemars(length(max = 16))]
    pub interval: Duration,
    /// Good checks in a row until it is fit again.
    #[serde(default = "check_rise")]
    #[schemars(range(min = 1, max = 10))]
    pub rise: i32,
    /// Bad checks in a row until it is not.
    #[serde(default = "check_fall")]
    #[schemars(range(min = 1, max = 10))]
    pub fall: i32,
    /// Watches the answers to real requests too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passive: Option<PassiveCheck>,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self { path: None, interval: check_interval(), rise: check_rise(), fall: check_fall(), passive: None }
    }
}

/// Watches the answers to real requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PassiveCheck {
    /// Answers 5xx, or none, in a row until the replica gets no more requests. NGINX counts within 10 s, and of the
    /// answers only 503, if `retries.retryOn` names it; the replica is tried again 10 s later.
    #[schemars(range(min = 1, max = 1000))]
    pub consecutive_errors: i32,
}

/// Binds a client to its replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionPersistence {
    /// Name of the cookie.
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9_-]+$"))]
    pub cookie: String,
}

/// What happens before a replica is removed.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drain {
    /// Longest time that a replica which gets no new requests may take for those it has, from 0s to 1h. Sessions that are
    /// bound to it move in its last third, or its last 10s.
    #[serde(default = "drain_timeout")]
    #[x_kube(validation = (
        "duration(self) >= duration('0s') && duration(self) <= duration('1h')",
        "traffic.drain.timeout must be a duration from 0s to 1h"
    ))]
    #[schemars(length(max = 16))]
    pub timeout: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self { timeout: drain_timeout() }
    }
}

/// How much a replica gets at a time, and how long the rest waits.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Requests that one replica gets at the same time, over all balancers; what is above waits in the balancer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub connections_per_replica: Option<i32>,
    /// How long a request may wait, also for the first replica of a start from zero, from 1s to 10m.
    #[serde(default = "queue_timeout")]
    #[x_kube(validation = (
        "duration(self) >= duration('1s') && duration(self) <= duration('10m')",
        "traffic.limits.queueTimeout must be a duration from 1s to 10m"
    ))]
    #[schemars(length(max = 16))]
    pub queue_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections_per_replica: None, queue_timeout: queue_timeout() }
    }
}

/// How long an answer may take.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Timeouts {
    /// Longest silence of a replica within a request, from 1s to 1h; a WebSocket may be silent for an hour. A client has 10 s for
    /// the head of a request and, with HAProxy, for its body or the first 16 KiB of it, before a replica gets it; with NGINX no
    /// pause within a body may be longer.
    #[serde(default = "backend_request")]
    #[x_kube(validation = (
        "duration(self) >= duration('1s') && duration(self) <= duration('1h')",
        "traffic.timeouts.backendRequest must be a duration from 1s to 1h"
    ))]
    #[schemars(length(max = 16))]
    pub backend_request: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { backend_request: backend_request() }
    }
}

fn seconds(seconds: u64) -> Duration {
    std::time::Duration::from_secs(seconds).into()
}

fn zero() -> Duration {
    seconds(0)
}

fn zero_text() -> &'static str {
    "0s"
}

fn check_interval() -> Duration {
    seconds(2)
}

fn check_rise() -> i32 {
    2
}

fn check_fall() -> i32 {
    3
}

fn drain_timeout() -> Duration {
    seconds(30)
}

fn queue_timeout() -> Duration {
    seconds(30)
}

fn backend_request() -> Duration {
    seconds(60)
}

/// What carries the requests of a service.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Carrier<'a> {
    /// Balancers that Plimsoll runs.
    Balancers(&'a Traffic),
    /// A rule of an HTTPRoute; Plimsoll does not run its Gateways.
    Rule(&'a GatewayRule),
}
