//! The one table of metrics: what is registered, what is exposed and what the documentation says come from it.

use prometheus_client::registry::Unit;

/// A metric's type in OpenMetrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub(super) enum Kind {
    Gauge,
    Counter,
    Histogram,
    Info,
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// As it is exposed and queried.
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    /// For people; `seconds` is also the last word of the name.
    pub unit: &'static str,
    /// A sentence without its full stop.
    pub help: &'static str,
}

impl Row {
    /// The name without what `prometheus-client` appends by itself: the unit and the suffix of the type.
    pub fn stem(&self) -> &'static str {
        let suffix = match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram if self.unit == "seconds" => "_seconds",
            Kind::Gauge | Kind::Histogram => "",
        };
        self.name.strip_suffix(suffix).unwrap_or(self.name)
    }

    /// The unit that belongs to the name.
    pub fn name_unit(&self) -> Option<Unit> {
        (self.unit == "seconds").then_some(Unit::Seconds)
    }
}

macro_rules! metrics {
    ($($row:ident = $kind:ident $name:literal $labels:tt $unit:literal $help:literal;)+) => {
        $(pub(super) const $row: Row =
            Row { name: $name, kind: Kind::$kind, labels: &$labels, unit: $unit, help: $help };)+
        /// Every metric, in the order of the documentation.
        pub(super) const ALL: &[Row] = &[$($row),+];
    };
}

metrics! {
    REPLICAS_DESIRED = Gauge "plimsoll_replicas_desired" ["namespace", "name"] "replicas"
        "Replicas that Plimsoll wants";
    REPLICAS_WANTED = Gauge "plimsoll_replicas_wanted" ["namespace", "name"] "replicas"
        "Replicas that the target was told to have (its spec.replicas)";
    REPLICAS_READY = Gauge "plimsoll_replicas_ready" ["namespace", "name"] "replicas"
        "Replicas that are ready";
    REPLICAS_MIN = Gauge "plimsoll_replicas_min" ["namespace", "name"] "replicas"
        "The floor in force, a schedule included";
    REPLICAS_MAX = Gauge "plimsoll_replicas_max" ["namespace", "name"] "replicas"
        "The ceiling, maxReplicas";
    REPLICAS_DRAINING = Gauge "plimsoll_replicas_draining" ["namespace", "name"] "replicas"
        "Replicas that finish their last requests before they are removed; absent without a load balancer";
    REPLICAS_EJECTED = Gauge "plimsoll_replicas_ejected" ["namespace", "name"] "replicas"
        "Replicas that are out because they stand out from their peers; absent without spec.recovery";
    STANDBY_WEIGHT = Gauge "plimsoll_standby_weight" ["namespace", "name"] "percent"
        "Share of the requests that standbys get; absent without spec.failover";
    REQUESTS_HELD = Gauge "plimsoll_requests_held" ["namespace", "name"] "requests"
        "Requests that wait at the load balancers for the first replica; absent without a load balancer";
    BALANCERS_IN_SYNC = Gauge "plimsoll_balancers_in_sync" ["namespace", "name"] "balancers"
        "Load balancers that run what is wanted of them; absent without any";
    KPI_VALUE = Gauge "plimsoll_kpi_value" ["namespace", "name", "kpi"] "of the query"
        "The KPI's value; absent while its sample is not fresh";
    KPI_TARGET = Gauge "plimsoll_kpi_target" ["namespace", "name", "kpi"] "of the query"
        "What the KPI is held against: perReplica, target or atMost";
    KPI_STATE = Gauge "plimsoll_kpi_state" ["namespace", "name", "kpi", "state"] ""
        "1 for what the KPI's sample is worth now; the other states are absent";
    KPI_SAMPLE_AGE = Gauge "plimsoll_kpi_sample_age_seconds" ["namespace", "name", "kpi"] "seconds"
        "Age of the KPI's newest sample when it was last looked at";
    CONDITION = Gauge "plimsoll_condition" ["namespace", "name", "type"] ""
        "A condition of the ScalableService: 1 True, 0 False, -1 Unknown";
    BUILD_INFO = Info "plimsoll_build_info" ["version"] ""
        "The version that runs";
    LEADER = Gauge "plimsoll_leader" [] ""
        "1 if this process leads, 0 if it follows";
    SERVICES = Gauge "plimsoll_services" [] "services"
        "ScalableServices that this process knows";
    WATCH_SYNCED = Gauge "plimsoll_watch_synced" ["resource"] ""
        "1 once a watch has listed everything, 0 before";
    DECISIONS = Counter "plimsoll_decisions_total" ["reason"] "decisions"
        "Decisions by what bound them";
    EVALUATION = Histogram "plimsoll_evaluation_seconds" [] "seconds"
        "Time that one decision took, without any request";
    QUERY = Histogram "plimsoll_query_seconds" ["source"] "seconds"
        "Time that a question to a metrics source took";
    QUERIES = Counter "plimsoll_queries_total" ["source", "result"] "queries"
        "Questions to a metrics source by how they ended";
    SCALE_WRITES = Counter "plimsoll_scale_writes_total" ["result"] "writes"
        "Writes of a target's scale by how they ended";
    STATUS_WRITES = Counter "plimsoll_status_writes_total" ["result"] "writes"
        "Writes of a ScalableService's status by how they ended";
    EVICTIONS = Counter "plimsoll_evictions_total" ["result"] "evictions"
        "Evictions of replicas that stand out from their peers by how they ended";
    SAMPLE_TO_WRITE = Histogram "plimsoll_sample_to_write_seconds" [] "seconds"
        "Age of the newest sample behind a decision when the target's scale was written";
}
