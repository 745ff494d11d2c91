//! `spec.traffic`: the load balancer in front of a service. Names are those of the Gateway API where it has one.

use kube::{KubeSchema, core::Duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    AccessLog, BalancerContainer, BalancerPod, FrontService, FrontServiceType, GatewayRule, Priority,
    Provider, Retries, RetryOn,
};

/// The load balancer in front of a service: balancers that Plimsoll runs, or an HTTPRoute rule whose weights it sets.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = (
        "self.listeners.all(a, self.listeners.exists_one(b, a.port == b.port))",
        "traffic.listeners must have unique ports"
    ),
    validation = (
        "self.algorithm != 'SourceHash' || !has(self.sessionPersistence)",
        "traffic.sessionPersistence is not allowed with algorithm SourceHash, which already binds clients"
    ),
    validation = (
        "self.provider != 'NGINX' || !has(self.sessionPersistence)",
        "traffic.sessionPersistence is not possible with provider NGINX, which binds clients by algorithm SourceHash only"
    ),
    validation = (
        "self.provider != 'NGINX' || !has(self.healthCheck) || (has(self.healthCheck.passive) && \
         !has(self.healthCheck.path) && duration(self.healthCheck.interval) == duration('2s') && \
         self.healthCheck.rise == 2 && self.healthCheck.fall == 3)",
        "traffic.healthCheck can have only passive with provider NGINX, which has no active checks"
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
        "traffic.retries.retryOn must have both or neither of ConnectFailure and EmptyResponse with provider NGINX, which \
         can't distinguish them"
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
        "traffic can have only gateway, algorithm, healthCheck, slowStart and retries with provider Gateway: listeners, \
         targetPort, replicas, minReadySeconds, pod, container, service, sessionPersistence, drain, limits, timeouts, \
         priorities, trustedProxies, proxyProtocol and accessLog are for balancers that Plimsoll runs"
    ),
    validation = (
        "self.provider != 'Gateway' || self.algorithm != 'SourceHash' || duration(self.slowStart) == duration('0s')",
        "traffic.slowStart is not possible with provider Gateway and algorithm SourceHash; leave one of them out"
    ),
    validation = (
        "self.provider != 'Gateway' || !has(self.retries.retryOn) || self.retries.retryOn.all(on, on == 'ConnectFailure')",
        "traffic.retries.retryOn can have only ConnectFailure with provider Gateway: Envoy retries regardless of the method"
    )
)]
pub struct Traffic {
    /// The load balancer. HAProxy supports all fields. NGINX is reloaded for each change, at most every 2 s; requests
    /// that are still in progress `drain.timeout` after a reload are cut off, and fields that NGINX does not support are
    /// refused. Gateway supports `gateway`, and `algorithm`, `healthCheck`, `slowStart` and `retries` through a
    /// BackendTrafficPolicy of Envoy Gateway; fields with their default values leave the Gateway as it is. The policy applies
    /// to the one rule: it is merged into a policy of the Gateway or a listener, but a policy of the whole HTTPRoute no longer
    /// has an effect on that rule.
    pub provider: Provider,
    /// The rule of an HTTPRoute whose weights follow `failover`; only with provider Gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewayRule>,
    /// Number of balancers, at least two, so that the service survives the loss of one. They are spread over nodes and zones.
    /// Without this field there are initially two, and another client, such as a HorizontalPodAutoscaler, may scale the
    /// Deployment `NAME-lb`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 20))]
    pub replicas: Option<i32>,
    /// Seconds for which a new balancer must be ready before a rollout continues. The default is 30 with a Service of type
    /// LoadBalancer, the time in which a cloud registers and checks a balancer, and 0 otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 300))]
    pub min_ready_seconds: Option<i32>,
    /// Pods of the balancers: scheduling, metadata and security.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<BalancerPod>,
    /// The container of HAProxy or NGINX.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<BalancerContainer>,
    /// Port of the service's pods; required for a balancer that Plimsoll runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_535))]
    pub target_port: Option<i32>,
    /// Ports of the balancer; at least one is required for a balancer that Plimsoll runs.
    #[serde(default)]
    #[schemars(length(max = 8))]
    pub listeners: Vec<Listener>,
    /// The balancer's own Service, `NAME-lb`.
    #[serde(default)]
    pub service: FrontService,
    /// How the replica for a request is selected.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// Health checks of the replicas, in addition to their readiness.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// Binds a client to its replica by a cookie that the balancer sets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_persistence: Option<SessionPersistence>,
    /// Time over which the share of a new replica rises to its full value, from 0s (the default: immediately) to 10m.
    #[serde(default = "zero")]
    // The type would write `0ns`, an unusual form.
    #[schemars(default = "zero_text")]
    #[x_kube(validation = (
        "duration(self) >= duration('0s') && duration(self) <= duration('10m')",
        "traffic.slowStart must be a duration from 0s to 10m"
    ))]
    #[schemars(length(max = 16))]
    pub slow_start: Duration,
    /// Draining of replicas before they are removed.
    #[serde(default)]
    pub drain: Drain,
    /// Retries of requests on another replica.
    #[serde(default)]
    pub retries: Retries,
    /// Concurrent requests per replica, and how long further requests wait.
    #[serde(default)]
    pub limits: Limits,
    /// Timeouts of requests.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// Priorities of waiting requests; the first match counts.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub priorities: Vec<Priority>,
    /// Networks (CIDR) of trusted proxies, such as a cloud load balancer or a CDN. The headers X-Forwarded-For,
    /// X-Forwarded-Proto, X-Forwarded-Host, X-Real-IP, Forwarded and X-Request-Id of their requests are passed on; those of
    /// other clients are replaced or removed.
    #[serde(default)]
    #[schemars(length(max = 32), inner(length(max = 43), regex(pattern = "^[0-9A-Fa-f.:]+/[0-9]{1,3}$")))]
    pub trusted_proxies: Vec<String>,
    /// Connections from `trustedProxies` begin with the client's address in the PROXY protocol, version 1 or 2. With HAProxy,
    /// other clients connect without it. With NGINX, they must send it too, and their address in it is ignored.
    #[serde(default)]
    pub proxy_protocol: bool,
    /// Requests in the access log: Off (the default), Errors, Sampled or All.
    #[serde(default)]
    pub access_log: AccessLog,
}

impl Traffic {
    /// The failures after which a request is retried, if `retries.attempts` allows it.
    #[must_use]
    pub fn retry_on(&self) -> &[RetryOn] {
        match (&self.retries.on, self.provider) {
            (Some(on), _) => on,
            (None, Provider::NGINX) => &[RetryOn::ConnectFailure, RetryOn::EmptyResponse],
            (None, _) => &[RetryOn::ConnectFailure],
        }
    }

    /// Initial number of balancers without `replicas`.
    pub const REPLICAS: i32 = 2;
    /// Seconds in which the common clouds register a target and find it healthy: two checks of 10 s (the default of AWS'
    /// Network Load Balancer), and the time of the registration.
    const REGISTERED_WITHIN: i32 = 30;

    /// Seconds for which a balancer must be ready before a rollout continues.
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
    /// Port of the balancer's Service and of its pods; for the pods, 10000 is added to ports below 1024.
    #[schemars(range(min = 1, max = 65_535))]
    pub port: i32,
    /// TLS termination; without it, the listener serves plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ListenerTls>,
}

/// The certificate of a listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListenerTls {
    /// Name of a Secret of type `kubernetes.io/tls` in the same namespace; a changed certificate is served within seconds.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub secret_name: String,
}

/// How the replica for a request is selected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Algorithm {
    /// Each replica in turn.
    RoundRobin,
    /// The replica with the fewest requests.
    #[default]
    LeastConnections,
    /// The better of two random replicas; recommended with many balancers.
    RandomOfTwo,
    /// By a consistent hash of the client's address.
    SourceHash,
}

/// Health checks of the replicas, in addition to their readiness.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// Path that a healthy replica answers with 2xx or 3xx.
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
    /// Consecutive successful checks until a replica is healthy again.
    #[serde(default = "check_rise")]
    #[schemars(range(min = 1, max = 10))]
    pub rise: i32,
    /// Consecutive failed checks until a replica is unhealthy.
    #[serde(default = "check_fall")]
    #[schemars(range(min = 1, max = 10))]
    pub fall: i32,
    /// Also checks the responses to real requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passive: Option<PassiveCheck>,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self { path: None, interval: check_interval(), rise: check_rise(), fall: check_fall(), passive: None }
    }
}

/// Checks of the responses to real requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PassiveCheck {
    /// Consecutive 5xx or missing responses until the replica gets no more requests. NGINX counts failures within 10 s, and of
    /// the responses only 503, if `retries.retryOn` has Http503; it tries the replica again after 10 s.
    #[schemars(range(min = 1, max = 1000))]
    pub consecutive_errors: i32,
}

/// Binds a client to its replica by a cookie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionPersistence {
    /// Name of the cookie.
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9_-]+$"))]
    pub cookie: String,
}

/// Draining of replicas before they are removed.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drain {
    /// Maximum time for a draining replica to finish its requests, from 0s to 1h. Sessions that are bound to it move in the
    /// last third of that time, or in the last 10s if that is shorter.
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

/// Concurrent requests per replica, and how long further requests wait.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Maximum number of concurrent requests per replica, over all balancers; further requests wait in the balancer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub connections_per_replica: Option<i32>,
    /// Maximum time that a request waits, also for the first replica when scaling from zero; from 1s to 10m.
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

/// Timeouts of requests.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Timeouts {
    /// Maximum inactivity of a replica during a request, from 1s to 1h; a WebSocket may be idle for an hour. A client has 10 s
    /// to send the head of a request. With HAProxy, it also has 10 s for the body, or its first 16 KiB, before a replica gets
    /// the request; with NGINX, no pause within a body may be longer than 10 s.
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
