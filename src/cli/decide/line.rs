//! The input lines of `plimsoll decide`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use strum::{EnumIter, EnumString, IntoEnumIterator as _, IntoStaticStr};

use crate::{cli::filter, input::Node};
use plimsoll_api::KpiState;
use plimsoll_api::words::{any_of, child, unknown_field};

/// One observation, as it is read.
#[derive(Clone, Debug, PartialEq, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct ObservationLine {
    /// Seconds, not before the previous line: Unix time if the spec has a schedule, else from any start.
    #[schemars(range(min = -62_135_596_800_i64, max = 221_845_391_999_i64))]
    pub time: f64,
    /// The target's current number of desired replicas.
    #[schemars(range(min = 0))]
    pub replicas: i32,
    /// Ready replicas; by default all of `replicas`.
    #[schemars(range(min = 0))]
    pub ready_replicas: Option<i32>,
    /// The answer for each KPI of the spec, by its name. Unknown names are ignored.
    pub kpis: BTreeMap<String, KpiAnswer>,
    /// Requests that wait at a load balancer because no replica is ready; 0 by default.
    #[schemars(default, range(min = 0))]
    pub held: i32,
}

/// The answer of Prometheus for a KPI.
#[derive(Clone, Copy, Debug, PartialEq, JsonSchema)]
#[schemars(untagged)]
pub enum KpiAnswer {
    /// A fresh, complete number.
    Number(f64),
    /// There is no fresh sample.
    NoSample(()),
    /// Why there is no number.
    State(NoNumber),
}

/// Why there is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct NoNumber {
    /// The state of the answer.
    pub state: Unusable,
}

/// The state of an answer without a usable number, as in `status.kpis`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, EnumString, IntoStaticStr, JsonSchema)]
pub enum Unusable {
    /// Older than its source allows.
    Stale,
    /// Prometheus has no such series; `onEmpty` applies.
    Empty,
    /// Some series are missing.
    Partial,
    /// Not a number, or infinite.
    NaN,
    /// No usable answer.
    Error,
}

impl From<Unusable> for KpiState {
    fn from(state: Unusable) -> Self {
        match state {
            Unusable::Stale => Self::Stale,
            Unusable::Empty => Self::Empty,
            Unusable::Partial => Self::Partial,
            Unusable::NaN => Self::NaN,
            Unusable::Error => Self::Error,
        }
    }
}

const FIELDS: [&str; 5] = ["time", "replicas", "readyReplicas", "kpis", "held"];

/// Reads a line.
///
/// # Errors
/// One sentence: the field, what was found, what is allowed.
pub fn read(bytes: &[u8]) -> Result<ObservationLine, String> {
    let line = filter::object(bytes, "time, replicas and kpis")?;
    if let Some((unknown, _)) = line.fields().find(|(name, _)| !FIELDS.contains(name)) {
        return Err(unknown_field("", unknown, &FIELDS));
    }
    Ok(ObservationLine {
        time: filter::time(&line)?,
        replicas: required(count(&line, "replicas")?, "replicas", COUNT)?,
        ready_replicas: count(&line, "readyReplicas")?,
        kpis: kpis(&line)?,
        held: count(&line, "held")?.unwrap_or_default(),
    })
}

const COUNT: &str = "a whole number from 0 to 2147483647";

fn required<T>(value: Option<T>, field: &str, allowed: &str) -> Result<T, String> {
    value.ok_or_else(|| format!("{field} is missing; it must be {allowed}"))
}

/// A number of replicas or requests; `None` if it is absent or null.
fn count(line: &Node, field: &str) -> Result<Option<i32>, String> {
    let Some(found) = line.get(field) else { return Ok(None) };
    let number = match found {
        Node::Number(number) => number.as_i64().and_then(|number| i32::try_from(number).ok()),
        _ => None,
    };
    let number = number.filter(|number| *number >= 0);
    number.map(Some).ok_or_else(|| format!("{field} is {found}; it must be {COUNT}"))
}

fn kpis(line: &Node) -> Result<BTreeMap<String, KpiAnswer>, String> {
    let allowed = "an object with a number for each KPI by its name";
    match required(line.get("kpis"), "kpis", allowed)? {
        Node::Map(kpis) => {
            kpis.iter().map(|(name, found)| Ok((name.clone(), answer(name, found)?))).collect()
        }
        other => Err(format!("kpis is {other}; it must be {allowed}")),
    }
}

fn answer(name: &str, found: &Node) -> Result<KpiAnswer, String> {
    let path = child("kpis", name);
    match found {
        Node::Null => return Ok(KpiAnswer::NoSample(())),
        Node::Number(number) => {
            if let Some(number) = number.as_f64() {
                return Ok(KpiAnswer::Number(number));
            }
        }
        Node::Map(fields) => {
            if let Some((unknown, _)) = fields.iter().find(|(field, _)| field != "state") {
                return Err(unknown_field(&path, unknown, &["state"]));
            }
            let states: Vec<&'static str> = Unusable::iter().map(Into::into).collect();
            let allowed = any_of(&states);
            let state = found.get("state");
            let known = state.and_then(Node::text).and_then(|text| text.parse().ok());
            return match (known, state) {
                (Some(state), _) => Ok(KpiAnswer::State(NoNumber { state })),
                (None, Some(other)) => Err(format!("{path}.state is {other}; it must be {allowed}")),
                (None, None) => Err(format!("{path}.state is missing; it must be {allowed}")),
            };
        }
        _ => {}
    }
    Err(format!(
        "{path} is {found}; it must be a number, null, or an object such as {{\"state\": \"Empty\"}}"
    ))
}
