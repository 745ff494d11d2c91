//! The series of the ScalableServices. One look replaces all series of its service, so nothing old stays behind.

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

/// KPIs of one service that have series; more are left out, which a valid ScalableService never has.
const KPIS_MAX: usize = 16;

/// What one look at a ScalableService found. What is not known has no series.
#[derive(Clone, Copy, Debug)]
pub struct ServiceLook<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Replicas that Plimsoll wants.
    pub desired: Option<i32>,
    /// The target's `spec.replicas`.
    pub spec: Option<i32>,
    /// Replicas that are ready.
    pub ready: Option<i32>,
    /// The floor in force: minReplicas, or more while a schedule holds.
    pub min: Option<i32>,
    /// The ceiling.
    pub max: Option<i32>,
    /// Its KPIs; at most 16.
    pub kpis: &'a [KpiStatus],
    /// Its load balancers, if it has any.
    pub traffic: Option<TrafficLook>,
    /// Replicas that are ejected, if outliers are.
    pub ejected: Option<usize>,
    /// Share of the requests that standbys get, if there are any.
    pub away: Option<Percent>,
    /// Its conditions.
    pub conditions: &'a [Verdict],
    /// When it was looked at.
    pub now: Timestamp,
}

/// What the load balancers of a service do.
#[derive(Clone, Copy, Debug)]
pub struct TrafficLook {
    /// Replicas that finish their last requests.
    pub draining: usize,
    /// Requests that wait for the first replica.
    pub held: i32,
    /// Balancers that run what is wanted of them.
    pub in_sync: usize,
}

/// Series that one ScalableService can have: those of its replicas, of each KPI and of each condition.
pub(super) fn series_per_service_max() -> usize {
    // Each KPI has its state besides its numbers.
    REPLICAS.len() + TRAFFIC.len() + KPIS_MAX * (KPI.len() + 1) + ConditionType::iter().count()
}

/// The last look at every service.
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

    /// The series as they are now: writing ten thousand of them out must not stop the deciding.
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
            // Status also keeps the last known value; in a graph it would look like a measurement.
            value: kpi.value.filter(|_| kpi.state == KpiState::Fresh).filter(finite),
            target: Some(kpi.target).filter(finite),
            // A source whose clock is ahead takes samples in our future.
            sample_age: age.map(|age| age.max(0.0)),
        }
    }
}

/// As in `status.conditions[].status`.
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

/// Writes the services and the watches whenever the metrics are read.
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

/// Writes one gauge with the values of its labels in the table's order; nothing if it has no series.
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
