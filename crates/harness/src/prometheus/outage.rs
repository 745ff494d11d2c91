//! The outages of Prometheus: bad responses, or none.

use std::time::Duration;

use serde_json::{Value as Json, json};

/// A value within this many seconds of its sample's time is itself a time.
const NEAR: f64 = 86_400.0;

/// The kind of outage.
#[derive(Clone, Debug, PartialEq)]
pub enum Outage {
    /// Every connection is closed.
    Down,
    /// Responses are delayed by this time whatever the query's time limit, as by a bad network.
    Slow(Duration),
    /// A query takes this long to evaluate. The server cancels it at its own time limit and returns an error that says so.
    Expensive(Duration),
    /// A response with this status and this text.
    Status(u16, &'static str),
    /// A response with the status 200 and a text that is not JSON.
    Garbage(&'static str),
    /// A response that exceeds the size limit.
    Huge,
    /// No series at all.
    Empty,
    /// Every number is NaN.
    NaN,
    /// Every second series is missing.
    Half,
    /// A warning in addition to a complete response.
    Partial(&'static str),
    /// Each query repeats its first response, as from a cache.
    Stale,
    /// The server's clock is off by this many seconds.
    Skew(f64),
}

impl Outage {
    /// Changes a response, if the outage affects its contents.
    pub(super) fn change(&self, answer: &mut Json) {
        if let Self::Partial(warning) = self {
            answer["warnings"] = json!([warning]);
        }
        let Some(series) = answer["data"]["result"].as_array_mut() else { return };
        match self {
            Self::Empty => series.clear(),
            Self::NaN => samples(series, |_, value| *value = json!("NaN")),
            Self::Half => {
                let mut keep = false;
                series.retain(|_| {
                    keep = !keep;
                    keep
                });
            }
            Self::Skew(seconds) => samples(series, |time, value| {
                let before = time.as_f64().unwrap_or_default();
                *time = json!(before + seconds);
                let number: Option<f64> = value.as_str().and_then(|text| text.parse().ok());
                if let Some(number) = number.filter(|number| (number - before).abs() < NEAR) {
                    *value = json!((number + seconds).to_string());
                }
            }),
            _ => {}
        }
    }
}

/// Changes time and value of every sample.
fn samples(series: &mut [Json], mut change: impl FnMut(&mut Json, &mut Json)) {
    for one in series {
        let single = one.get("value").is_some();
        let samples = if single { one.get_mut("value").into_iter().collect() } else { points(one) };
        for sample in samples {
            if let Some([time, value]) = sample.as_array_mut().map(Vec::as_mut_slice) {
                change(time, value);
            }
        }
    }
}

fn points(series: &mut Json) -> Vec<&mut Json> {
    series["values"].as_array_mut().map(|points| points.iter_mut().collect()).unwrap_or_default()
}
