//! The table of all metrics. Registration, exposition and documentation are derived from it.

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
    /// Name as exposed and queried.
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    /// Unit in the documentation; `seconds` is also the suffix of the name.
    pub unit: &'static str,
    /// A sentence without its full stop.
    pub help: &'static str,
}

impl Row {
    /// The name without the unit and the suffix of the type, which `prometheus-client` appends.
    pub fn stem(&self) -> &'static str {
        let suffix = match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram if self.unit == "seconds" => "_seconds",
            Kind::Gauge | Kind::Histogram => "",
        };
        self.name.strip_suffix(suffix).unwrap_or(self.name)
    }

    /// The unit, if it is part of the name.
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
        "Replicas that the last decision asks for";
    REPLICAS_SPEC = Gauge "plimsoll_replicas_spec" ["namespace", "name"] "replicas"
        "spec.replicas of the target";
    REPLICAS_READY = Gauge "plimsoll_replicas_ready" ["namespace", "name"] "replicas"
        "Replicas that are ready";
    REPLICAS_MIN = Gauge "plimsoll_replicas_min" ["namespace", "name"] "replicas"
        "Lower bound in force: minReplicas, or that of an active schedule";
    REPLICAS_MAX = Gauge "plimsoll_replicas_max" ["namespace", "name"] "replicas"
        "Upper bound: maxReplicas";
    REPLICAS_DRAINING = Gauge "plimsoll_replicas_draining" ["namespace", "name"] "replicas"
        "Replicas that are draining before their removal; absent without spec.traffic";
    REPLICAS_EJECTED = Gauge "plimsoll_replicas_ejected" ["namespace", "name"] "replicas"
        "Replicas that are ejected as outliers; absent without spec.recovery";
    STANDBY_WEIGHT = Gauge "plimsoll_standby_weight_ratio" ["namespace", "name"] "ratio"
        "Share of the requests that goes to standbys; absent without spec.failover";
    REQUESTS_HELD = Gauge "plimsoll_requests_held" ["namespace", "name"] "requests"
        "Requests that wait at the load balancers for a first ready replica; absent without spec.traffic";
    BALANCERS_IN_SYNC = Gauge "plimsoll_balancers_in_sync" ["namespace", "name"] "balancers"
        "Load balancers that run the wanted configuration; absent without spec.traffic";
    KPI_VALUE = Gauge "plimsoll_kpi_value" ["namespace", "name", "kpi"] "of the query"
        "The KPI's value; absent while its sample is not fresh";
    KPI_TARGET = Gauge "plimsoll_kpi_target" ["namespace", "name", "kpi"] "of the query"
        "Target of the KPI: perReplica, target or atMost";
    KPI_STATE = Gauge "plimsoll_kpi_state" ["namespace", "name", "kpi", "state"] ""
        "1 for the current state of the KPI's sample; the other states are absent";
    KPI_SAMPLE_AGE = Gauge "plimsoll_kpi_sample_age_seconds" ["namespace", "name", "kpi"] "seconds"
        "Age of the KPI's newest sample at the last evaluation";
    CONDITION = Gauge "plimsoll_condition" ["namespace", "name", "type", "status"] ""
        "1 for the current status (True, False or Unknown) of a condition; the other statuses are absent";
    BUILD_INFO = Info "plimsoll_build_info" ["version"] ""
        "Version of this process";
    LEADER = Gauge "plimsoll_leader" [] ""
        "1 if this process is the leader, 0 if not";
    SERVICES = Gauge "plimsoll_services" [] "services"
        "ScalableServices in the cache of this process";
    WATCH_SYNCED = Gauge "plimsoll_watch_synced" ["resource"] ""
        "1 once the first list of a watch is complete, 0 before";
    DECISIONS = Counter "plimsoll_decisions_total" ["reason"] "decisions"
        "Decisions by the reason that determined the result";
    EVALUATION = Histogram "plimsoll_evaluation_seconds" [] "seconds"
        "Duration of one decision, without requests to other systems";
    QUERY = Histogram "plimsoll_query_seconds" ["source"] "seconds"
        "Duration of a query to a metrics source";
    QUERIES = Counter "plimsoll_queries_total" ["source", "result"] "queries"
        "Queries to a metrics source by result";
    SCALE_WRITES = Counter "plimsoll_scale_writes_total" ["result"] "writes"
        "Writes of a target's scale subresource by result";
    STATUS_WRITES = Counter "plimsoll_status_writes_total" ["result"] "writes"
        "Writes of a ScalableService's status by result";
    EVICTIONS = Counter "plimsoll_evictions_total" ["result"] "evictions"
        "Evictions of outliers by result";
    SAMPLE_TO_WRITE = Histogram "plimsoll_sample_to_write_seconds" [] "seconds"
        "Age of the newest sample behind a decision when the target's scale was written";
}
