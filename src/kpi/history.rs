//! Past values of a KPI, to rebuild stabilization windows after a start.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::answer::{Data, Track};
use super::reader::KpiReader;
use super::slots::Asker;
use super::transport::Request;
use plimsoll_api::{Goal, KpiRule};

/// Most points of a range query; Prometheus refuses more than 11,000.
const POINTS_MAX: f64 = 1000.0;

impl KpiReader {
    /// The KPI's values over the last `window`, oldest first, at times of our own clock. `step` is raised to at least 1 s,
    /// and so far that there are at most 1,000 points. Times without a number are left out. The values of several pods are
    /// averaged. The error is a sentence.
    pub async fn history(
        &self,
        asker: &Asker,
        rule: &KpiRule,
        window: Duration,
        step: Duration,
    ) -> Result<Vec<(Timestamp, f64)>, String> {
        let question = self.question(&rule.query);
        let question = question.as_ref().as_ref().map_err(ToString::to_string)?;
        let past = self.past(asker, (&rule.source, question.text()), window, step).await?;
        Ok(past.at_our_times(merged(&past.tracks, rule.goal)?))
    }

    /// The number of scrape targets behind the KPI's value over the last `window`, like [`Self::history`]. Times without
    /// targets are left out.
    pub async fn past_targets(
        &self,
        asker: &Asker,
        rule: &KpiRule,
        window: Duration,
        step: Duration,
    ) -> Result<Vec<(Timestamp, u32)>, String> {
        let question = self.question(&rule.query);
        let question = question.as_ref().as_ref().map_err(ToString::to_string)?;
        let Some(targets) = question.targets() else { return Ok(Vec::new()) };
        let past = self.past(asker, (&rule.source, targets), window, step).await?;
        let counts = past.tracks.iter().flat_map(|track| &track.points);
        // The cast saturates, as intended for a count.
        let counts = counts.map(|(at, count)| (*at, *count as u32)).collect();
        Ok(past.at_our_times(counts))
    }

    async fn past(
        &self,
        asker: &Asker,
        (source, query): (&str, &str),
        window: Duration,
        step: Duration,
    ) -> Result<Past, String> {
        let source = self.source(source)?;
        // Prometheus uses its own clock; `skew` is its difference from ours in earlier answers.
        let skew = SignedDuration::try_from_secs_f64(source.skew()).unwrap_or_default();
        let end = self.clock.now().saturating_add(skew).unwrap_or(Timestamp::MAX).as_second();
        let start = end.saturating_sub(i64::try_from(window.as_secs()).unwrap_or(i64::MAX));
        let step = step.as_secs_f64().max(1.0).max(window.as_secs_f64() / POINTS_MAX).ceil();
        let (result, _) = source.send(asker, Request::Range { query, start, end, step }).await;
        let answer = result.map_err(|failure| format!("source {:?} {failure}", source.name()))?;
        let Data::Matrix(tracks) = answer.data else {
            return Err(format!(
                "source {:?} answered a range query without a range of samples",
                source.name()
            ));
        };
        Ok(Past { tracks, skew })
    }
}

/// The answer to a range query, and the server's clock minus ours.
struct Past {
    tracks: Vec<Track>,
    skew: SignedDuration,
}

impl Past {
    fn at_our_times<T>(&self, points: Vec<(Timestamp, T)>) -> Vec<(Timestamp, T)> {
        let ours = |at: Timestamp| at.saturating_sub(self.skew).unwrap_or(at);
        points.into_iter().map(|(at, value)| (ours(at), value)).collect()
    }
}

/// Merges the series into one number per time.
fn merged(tracks: &[Track], goal: Goal) -> Result<Vec<(Timestamp, f64)>, String> {
    if tracks.len() > 1
        && !(matches!(goal, Goal::Average(_)) && tracks.iter().all(|track| track.labels.pod.is_some()))
    {
        return Err(format!(
            "query returned {} series; its history can only be read from one series",
            tracks.len()
        ));
    }
    let mut sums: BTreeMap<Timestamp, (f64, f64)> = BTreeMap::new();
    for (at, value) in tracks.iter().flat_map(|track| &track.points).filter(|(_, value)| value.is_finite()) {
        let (sum, count) = sums.entry(*at).or_default();
        *sum += value;
        *count += 1.0;
    }
    Ok(sums.into_iter().map(|(at, (sum, count))| (at, sum / count)).collect())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::merged;
    use crate::kpi::answer::{Labels, Track};
    use plimsoll_api::Goal;

    fn track(pod: Option<&str>, values: &[f64]) -> Track {
        let points =
            values.iter().zip(1..).map(|(value, second)| (Timestamp::from_second(second).unwrap(), *value));
        Track { labels: Labels { pod: pod.map(str::to_owned), plimsoll: None }, points: points.collect() }
    }

    #[test]
    fn values_of_pods_are_averaged_and_gaps_remain() {
        let values = |tracks: &[Track], goal| -> Vec<f64> {
            merged(tracks, goal).unwrap().iter().map(|p| p.1).collect()
        };
        let load = Goal::PerReplica(1.0);
        assert_eq!(values(&[], load), Vec::<f64>::new());
        assert_eq!(values(&[track(None, &[1.0, f64::NAN, 3.0])], load), [1.0, 3.0]);
        let pods = [track(Some("a"), &[0.2, 0.4]), track(Some("b"), &[0.4])];
        assert_eq!(values(&pods, Goal::Average(0.5)), [0.30000000000000004, 0.4]);
        assert!(merged(&pods, load).is_err(), "a total is not an average");
    }
}
