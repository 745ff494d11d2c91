//! Responses of Prometheus' HTTP API as JSON.

use jiff::Timestamp;
use plimsoll::kpi::{Answer, Failure};
use serde_json::{Value as Json, json};

use super::value::Value;

/// Seconds since the epoch, in Prometheus' format.
fn time(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1e3
}

fn success(kind: &str, result: &[Json]) -> Json {
    json!({"status": "success", "data": {"resultType": kind, "result": result}})
}

/// The value of a query, evaluated at `now`.
pub(super) fn vector(value: &Value, now: Timestamp) -> Json {
    let sample = |number: &f64| json!([time(now), number.to_string()]);
    let series = match value {
        Value::Nothing => Vec::new(),
        Value::Number(number) | Value::Total { value: number, .. } => {
            vec![json!({"metric": {}, "value": sample(number)})]
        }
        Value::Pods(pods) => {
            let series = |(pod, number)| json!({"metric": {"pod": pod}, "value": sample(number)});
            pods.iter().map(series).collect()
        }
    };
    success("vector", &series)
}

/// The evidence probe of a query whose newest sample is of `scrape`: see `kpi::question::probe`.
pub(super) fn probe(value: &Value, now: Timestamp, scrape: Timestamp) -> Json {
    let part = |name: &str, number: f64| json!({"metric": {"plimsoll": name}, "value": [time(now), number.to_string()]});
    let targets = targets(value);
    let mut parts = vec![part("server", time(now))];
    if targets > 0 {
        parts.push(part("newest/0", time(scrape)));
        parts.push(part("targets", f64::from(targets)));
    }
    success("vector", &parts)
}

/// Scrape targets behind a value.
pub(super) fn targets(value: &Value) -> u32 {
    match value {
        Value::Nothing => 0,
        Value::Number(_) => 1,
        Value::Pods(pods) => u32::try_from(pods.len()).unwrap_or(u32::MAX),
        Value::Total { targets, .. } => *targets,
    }
}

/// The values of a query at several times.
pub(super) fn matrix(values: impl Iterator<Item = (Timestamp, Value)>) -> Json {
    let mut points = Vec::new();
    let mut by_pod = std::collections::BTreeMap::<String, Vec<Json>>::new();
    for (at, value) in values {
        match value {
            Value::Nothing => {}
            Value::Number(number) | Value::Total { value: number, .. } => {
                points.push(json!([time(at), number.to_string()]));
            }
            Value::Pods(pods) => {
                for (pod, number) in pods {
                    by_pod.entry(pod).or_default().push(json!([time(at), number.to_string()]));
                }
            }
        }
    }
    let total = (!points.is_empty()).then(|| json!({"metric": {}, "values": points}));
    let pods = by_pod.into_iter().map(|(pod, values)| json!({"metric": {"pod": pod}, "values": values}));
    let series: Vec<Json> = total.into_iter().chain(pods).collect();
    success("matrix", &series)
}

/// Parses a response as the HTTP transport does.
pub(super) fn read(status: u16, body: &Json) -> Result<Answer, Failure> {
    Answer::read(status, body.to_string().as_bytes())
}
