//! Load traces as plans: a CSV file with the columns `time_s,value`.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::shape::{Plan, Segment};

/// How a trace is replayed.
#[derive(Clone, Copy, Debug)]
pub struct Replay {
    /// Seconds of the trace in one second.
    pub speedup: f64,
    /// Requests/s for the highest value of the replayed part.
    pub peak: f64,
    /// Begin of the replayed part, in the trace's time after its first sample.
    pub start: Duration,
    /// Length of the replayed part, in the trace's time; to the end if `None`.
    pub duration: Option<Duration>,
}

/// Reads a file into a plan. Each value is valid until the next sample; the last one for as long
/// as the one before it.
pub fn load(path: &Path, replay: Replay) -> anyhow::Result<Plan> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(|| format!("{name} cannot be read"))?;
    plan(&name, &text, replay)
}

fn plan(name: &str, text: &str, replay: Replay) -> anyhow::Result<Plan> {
    let samples = parse(name, text)?;
    let (Some(first), [.., before_last, last]) = (samples.first(), samples.as_slice()) else {
        bail!("{name} has {} samples: at least 2 are needed", samples.len());
    };
    let end = last.0 + (last.0 - before_last.0);
    let begin = first.0 + replay.start.as_secs_f64();
    let until = replay.duration.map_or(end, |duration| end.min(begin + duration.as_secs_f64()));
    let ends = samples.iter().skip(1).map(|sample| sample.0).chain([end]);
    let mut segments = Vec::new();
    for (&(from, value), to) in samples.iter().zip(ends) {
        let seconds = to.min(until) - from.max(begin);
        if seconds > 0.0 {
            segments.push(Segment { from: value, to: value, seconds: seconds / replay.speedup });
        }
    }
    let highest = segments.iter().map(|segment| segment.from).fold(0.0, f64::max);
    if segments.is_empty() {
        bail!("{name} covers {} s: nothing is left after a start of {:?}", end - first.0, replay.start);
    }
    if highest <= 0.0 {
        bail!("{name} has no value above 0 in the replayed part, so it cannot be scaled to a peak");
    }
    for segment in &mut segments {
        segment.from *= replay.peak / highest;
        segment.to = segment.from;
    }
    Ok(Plan(segments))
}

fn parse(name: &str, text: &str) -> anyhow::Result<Vec<(f64, f64)>> {
    let mut samples: Vec<(f64, f64)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') || (samples.is_empty() && line == "time_s,value") {
            continue;
        }
        let fields = line.split_once(',').map(|(time, value)| (time.trim().parse(), value.trim().parse()));
        let Some((Ok(time), Ok(value))) = fields else {
            bail!("{name}, line {number}: found {line:?}, but two numbers as in time_s,value are needed");
        };
        if !(f64::is_finite(time) && f64::is_finite(value) && value >= 0.0) {
            bail!(
                "{name}, line {number}: found {line:?}, but numbers must be finite and values not negative"
            );
        }
        if let Some(&(last, _)) = samples.last()
            && time <= last
        {
            bail!("{name}, line {number}: the time {time} is not after {last}, but times must ascend");
        }
        samples.push((time, value));
    }
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "time_s,value\n0,10\n60,40\n120,20\n\n180,5\n";

    fn replay(start: u64, duration: Option<u64>) -> Replay {
        let duration = duration.map(Duration::from_secs);
        Replay { speedup: 60.0, peak: 400.0, start: Duration::from_secs(start), duration }
    }

    fn rates(plan: &Plan) -> Vec<(f64, f64)> {
        plan.0.iter().map(|segment| (segment.from, segment.seconds)).collect()
    }

    #[test]
    fn values_are_valid_until_the_next_and_scale_to_the_peak() {
        let plan = plan("t.csv", TRACE, replay(0, None)).expect("valid");
        assert_eq!(rates(&plan), [(100.0, 1.0), (400.0, 1.0), (200.0, 1.0), (50.0, 1.0)]);
    }

    #[test]
    fn a_part_may_begin_and_end_between_samples() {
        let plan = plan("t.csv", TRACE, replay(90, Some(60))).expect("valid");
        assert_eq!(rates(&plan), [(400.0, 0.5), (200.0, 0.5)]);
    }

    #[test]
    fn errors_have_the_bad_line() {
        for (text, wanted) in [
            ("time_s,value\n0,1\n1;2\n", "t.csv, line 3: found \"1;2\""),
            ("0,1\nx,2\n", "line 2: found \"x,2\""),
            ("0,1\n1,-2\n", "not negative"),
            ("0,1\n1,inf\n", "finite"),
            ("0,1\n5,1\n5,2\n", "line 3: the time 5 is not after 5"),
            ("0,1\n", "at least 2"),
            ("0,0\n1,0\n", "no value above 0"),
        ] {
            let error = plan("t.csv", text, replay(0, None)).expect_err(text).to_string();
            assert!(error.contains(wanted), "{error}");
        }
        let error = plan("t.csv", TRACE, replay(1_000, None)).expect_err("too late").to_string();
        assert!(error.contains("covers 240 s"), "{error}");
        let error = load(Path::new("/no/such.csv"), replay(0, None)).expect_err("missing").to_string();
        assert!(error.contains("/no/such.csv cannot be read"), "{error}");
    }
}
