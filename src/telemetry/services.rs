//! The series of the ScalableServices. Each evaluation replaces all series of its service, so no old series remain.

use std::{
    collections::BTreeMap,
    fmt::Error,
    sync::{Arc, PoisonError, RwLock},
};

use jiff::Timestamp;
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder, metrics::MetricType};
use strum::IntoEnumIterator;

use super::{
    Health,
    table::{
        BALANCERS_IN_SYNC, CONDITION, KPI_SAMPLE_AGE, KPI_STATE, KPI_TARGET, KPI_VALUE, REPLICAS_DESIRED,
        REPLICAS_DRAINING, REPLICAS_EJECTED, REPLICAS_MAX, REPLICAS_MIN, REPLICAS_READY, REPLICAS_SPEC,
        REQUESTS_HELD, Row, STANDBY_WEIGHT, WATCH_SYNCED,
    },
};
use plimsoll_api::{ConditionType, KpiState, KpiStatus, Percent, Verdict};

/// Most KPIs of one service that have series. A valid ScalableService never has more.
const KPIS_MAX: usize = 16;

/// Result of one evaluation of a ScalableService. Unknown values have no series.
#[derive(Clone, Copy, Debug)]
pub struct ServiceLook<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Desired replicas.
    pub desired: Option<i32>,
    /// The target's `spec.replicas`.
    pub spec: Option<i32>,
    /// Ready replicas.
    pub ready: Option<i32>,
    /// The lower bound in force: minReplicas, or that of an active schedule.
    pub min: Option<i32>,
    /// The upper bound: maxReplicas.
    pub max: Option<i32>,
    /// Its KPIs; at most 16.
    pub kpis: &'a [KpiStatus],
    /// Its load balancers, if it has any.
    pub traffic: Option<TrafficLook>,
    /// Ejected replicas; `None` without `spec.recovery`.
    pub ejected: Option<usize>,
    /// Share of the requests that goes to standbys; `None` without `spec.failover`.
    pub away: Option<Percent>,
    /// Its conditions.
    pub conditions: &'a [Verdict],
    /// Time of the evaluation.
    pub now: Timestamp,
}

/// State of a service's load balancers.
#[derive(Clone, Copy, Debug)]
pub struct TrafficLook {
    /// Draining replicas.
    pub draining: usize,
    /// Held requests.
    pub held: i32,
    /// Balancers that run the wanted configuration.
    pub in_sync: usize,
}

/// Most series of one ScalableService: those of its replicas, balancers, KPIs and conditions.
pub(super) fn series_per_service_max() -> usize {
    // Each KPI has a state in addition to its numbers.
    REPLICAS.len() + TRAFFIC.len() + KPIS_MAX * (KPI.len() + 1) + ConditionType::iter().count()
}

/// The last evaluation of every service.
#[derive(Debug, Default)]
pub(super) struct Services(RwLock<BTreeMap<Object, Arc<Series>>>);

/// Namespace and name.
type Object = (Arc<str>, Arc<str>);

#[derive(Debug)]
struct Series {
    desired: Option<f64>,
    spec: Option<f64>,
    ready: Option<f64>,
    min: Option<f64>,
    max: Option<f64>,
    ejected: Option<f64>,
    away: Option<f64>,
    traffic: Option<TrafficLook>,
    kpis: BTreeMap<String, KpiSeries>,
    conditions: BTreeMap<ConditionType, Option<bool>>,
}

#[derive(Debug)]
struct KpiSeries {
    state: KpiState,
    value: Option<f64>,
    target: Option<f64>,
    sample_age: Option<f64>,
}

impl Services {
    pub fn observe(&self, look: &ServiceLook<'_>) {
        let object = (Arc::from(look.namespace), Arc::from(look.name));
        let series = Arc::new(Series::new(look));
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(object, series);
    }

    pub fn forget(&self, namespace: &str, name: &str) {
        let object = (Arc::from(namespace), Arc::from(name));
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&object);
    }

    pub fn forget_all(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// A copy of the current series, so that encoding ten thousand services does not block evaluations.
    fn snapshot(&self) -> Vec<(Object, Arc<Series>)> {
        let services = self.0.read().unwrap_or_else(PoisonError::into_inner);
        services.iter().map(|(object, series)| (object.clone(), Arc::clone(series))).collect()
    }
}

impl Series {
    fn new(look: &ServiceLook<'_>) -> Self {
        let kpis = look.kpis.iter().take(KPIS_MAX);
        let conditions = look.conditions.iter();
        Self {
            desired: look.desired.map(f64::from),
            spec: look.spec.map(f64::from),
            ready: look.ready.map(f64::from),
            min: look.min.map(f64::from),
            max: look.max.map(f64::from),
            ejected: look.ejected.and_then(whole),
            away: look.away.map(Percent::ratio),
            traffic: look.traffic,
            kpis: kpis.map(|kpi| (kpi.name.clone(), KpiSeries::new(kpi, look.now))).collect(),
            conditions: conditions.map(|verdict| (verdict.type_, verdict.status)).collect(),
        }
    }
}

impl KpiSeries {
    fn new(kpi: &KpiStatus, now: Timestamp) -> Self {
        let finite = |value: &f64| value.is_finite();
        let age = kpi.sample_time.as_ref().map(|at| now.duration_since(at.0).as_secs_f64());
        Self {
            state: kpi.state,
            // Status keeps the last known value, which would look like a measurement in a graph.
            value: kpi.value.filter(|_| kpi.state == KpiState::Fresh).filter(finite),
            target: Some(kpi.target).filter(finite),
            // A source whose clock is ahead has samples in our future.
            sample_age: age.map(|age| age.max(0.0)),
        }
    }
}

/// The label value, as in `status.conditions[].status`.
fn status_label(status: Option<bool>) -> &'static str {
    match status {
        Some(true) => "True",
        Some(false) => "False",
        None => "Unknown",
    }
}

type Number<T> = fn(&T) -> Option<f64>;

const REPLICAS: [(Row, Number<Series>); 7] = [
    (REPLICAS_DESIRED, |series| series.desired),
    (REPLICAS_SPEC, |series| series.spec),
    (REPLICAS_READY, |series| series.ready),
    (REPLICAS_MIN, |series| series.min),
    (REPLICAS_MAX, |series| series.max),
    (REPLICAS_EJECTED, |series| series.ejected),
    (STANDBY_WEIGHT, |series| series.away),
];

const TRAFFIC: [(Row, Number<TrafficLook>); 3] = [
    (REPLICAS_DRAINING, |traffic| whole(traffic.draining)),
    (REQUESTS_HELD, |traffic| Some(f64::from(traffic.held))),
    (BALANCERS_IN_SYNC, |traffic| whole(traffic.in_sync)),
];

fn whole(count: usize) -> Option<f64> {
    u32::try_from(count).ok().map(f64::from)
}

const KPI: [(Row, Number<KpiSeries>); 3] =
    [(KPI_VALUE, |kpi| kpi.value), (KPI_TARGET, |kpi| kpi.target), (KPI_SAMPLE_AGE, |kpi| kpi.sample_age)];

/// Encodes the services and the watches when the metrics are read.
#[derive(Debug)]
pub(super) struct Reader {
    pub services: Arc<Services>,
    pub health: Health,
}

impl Collector for Reader {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let services = self.services.snapshot();
        let objects =
            || services.iter().map(|((namespace, name), series)| (&**namespace, &**name, &**series));
        for (row, number) in &REPLICAS {
            let lines = objects().filter_map(|(ns, name, series)| Some(([ns, name], number(series)?)));
            gauge(&mut encoder, row, lines)?;
        }
        for (row, number) in &TRAFFIC {
            let traffic = |series: &Series| series.traffic.as_ref().and_then(number);
            let lines = objects().filter_map(|(ns, name, series)| Some(([ns, name], traffic(series)?)));
            gauge(&mut encoder, row, lines)?;
        }
        let kpis = || {
            objects().flat_map(|(ns, name, series)| {
                series.kpis.iter().map(move |(kpi, series)| ([ns, name, kpi.as_str()], series))
            })
        };
        for (row, number) in &KPI {
            gauge(&mut encoder, row, kpis().filter_map(|(labels, kpi)| Some((labels, number(kpi)?))))?;
        }
        let states = kpis().map(|([ns, name, kpi], series)| ([ns, name, kpi, series.state.into()], 1.0));
        gauge(&mut encoder, &KPI_STATE, states)?;
        let conditions = objects().flat_map(|(ns, name, series)| {
            let label = move |(type_, status): (&ConditionType, &Option<bool>)| {
                ([ns, name, <&str>::from(type_), status_label(*status)], 1.0)
            };
            series.conditions.iter().map(label)
        });
        gauge(&mut encoder, &CONDITION, conditions)?;
        let watches = self.health.watches();
        let watches = watches.iter().map(|(resource, synced)| ([*resource], f64::from(u8::from(*synced))));
        gauge(&mut encoder, &WATCH_SYNCED, watches)
    }
}

/// Encodes one gauge, with label values in the order of the table. Omits a gauge without series.
fn gauge<'a, const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    row: &Row,
    series: impl Iterator<Item = ([&'a str; N], f64)>,
) -> Result<(), Error> {
    let mut series = series.peekable();
    if series.peek().is_none() {
        return Ok(());
    }
    let unit = row.name_unit();
    let help = format!("{}.", row.help);
    let mut metric = encoder.encode_descriptor(row.stem(), &help, unit.as_ref(), MetricType::Gauge)?;
    for (values, number) in series {
        let mut names = row.labels.iter();
        let labels = values.map(|value| (names.next().copied().unwrap_or_default(), value));
        metric.encode_family(&labels)?.encode_gauge(&number)?;
    }
    Ok(())
}
