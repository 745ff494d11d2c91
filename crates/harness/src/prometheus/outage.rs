//! The ways in which Prometheus answers badly, or not at all.

use std::time::Duration;

use serde_json::{Value as Json, json};

/// A value this close to its sample's time is a time itself, in seconds.
const NEAR: f64 = 86_400.0;

/// What is wrong.
#[derive(Clone, Debug, PartialEq)]
pub enum Outage {
    /// Every connection is closed.
    Down,
    /// Answers come so much later, whatever time limit the query has, as over a bad network.
    Slow(Duration),
    /// A query takes this long to evaluate. The server cancels it at its own time limit and returns an error that says so.
    Expensive(Duration),
    /// This status with this text.
    Status(u16, &'static str),
    /// 200 with a text that is no JSON.
    Garbage(&'static str),
    /// More than is read.
    Huge,
    /// No series at all.
    Empty,
    /// Every number is NaN.
    NaN,
    /// Every second series is missing.
    Half,
    /// A warning beside a complete answer.
    Partial(&'static str),
    /// Answers are those of the first time that they were asked for, as of a cache.
    Stale,
    /// The server's clock differs by so many seconds.
    Skew(f64),
}

impl Outage {
    /// Changes an answer, where the outage is one of contents.
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
