//! Figures of a bench: their spread, and the machine.

use super::system::System;
use crate::prelude::*;

#[derive(Debug, Clone, Default)]
pub struct Spread(Vec<Duration>);

impl Spread {
    pub fn add(&mut self, measured: Duration) {
        self.0.push(measured);
    }

    /// The median; the higher of two.
    pub fn median(&self) -> Option<Duration> {
        let mut sorted = self.0.clone();
        sorted.sort();
        sorted.get(sorted.len() / 2).copied()
    }

    pub fn seconds(&self) -> Value {
        let seconds = |found: Option<Duration>| found.map(|found| round(found.as_secs_f64()));
        json!({
            "n": self.0.len(),
            "min": seconds(self.0.iter().min().copied()),
            "median": seconds(self.median()),
            "max": seconds(self.0.iter().max().copied()),
        })
    }
}

/// Ratio of the medians, `ours / theirs`, of each of our systems and each peer.
pub fn ratios<T>(all: &[(System, T)], spread: impl Fn(&T) -> &Spread) -> Value {
    let mut ratios = json!({});
    for (ours, our_times) in all.iter().filter(|(system, _)| system.is_ours()) {
        for (theirs, their_times) in all.iter().filter(|(system, _)| !system.is_ours()) {
            let ratio = ratio(spread(our_times), spread(their_times));
            put(&mut ratios, &format!("{}/{}", ours.name(), theirs.name()), json!(ratio));
        }
    }
    ratios
}

fn ratio(ours: &Spread, theirs: &Spread) -> Option<f64> {
    Some(round(ours.median()?.as_secs_f64() / theirs.median()?.as_secs_f64()))
}

pub fn put(figures: &mut Value, name: &str, figure: Value) {
    if let Some(fields) = figures.as_object_mut() {
        fields.insert(name.to_owned(), figure);
    }
}

/// Rounds to a thousandth: further digits are noise.
fn round(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

pub struct Machine {
    began: Instant,
    load_average: f64,
}

impl Machine {
    pub fn now() -> Result<Self> {
        Ok(Self { began: Instant::now(), load_average: load_average()? })
    }

    pub fn around(&self, name: &str, mut figures: Value) -> Result<Value> {
        let fields = figures.as_object_mut().context("the figures of a bench are an object")?;
        fields.insert("bench".to_owned(), json!(name));
        fields.insert(
            "machine".to_owned(),
            json!({
                "cores": std::thread::available_parallelism()?.get(),
                // Of the last minute: it includes other programs, and at the end the bench itself.
                "loadAverage": {"begin": self.load_average, "end": load_average()?},
                "seconds": self.began.elapsed().as_secs(),
            }),
        );
        Ok(figures)
    }
}

fn load_average() -> Result<f64> {
    let text = fs::read_to_string("/proc/loadavg").context("cannot read /proc/loadavg")?;
    let first = text.split_whitespace().next().and_then(|word| word.parse().ok());
    first.with_context(|| format!("/proc/loadavg has no number: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(millis: &[u64]) -> Spread {
        Spread(millis.iter().map(|millis| Duration::from_millis(*millis)).collect())
    }

    #[test]
    fn the_median_does_not_depend_on_the_order() {
        let seconds = spread(&[900, 100, 500]).seconds();
        assert_eq!(seconds, json!({"n": 3, "min": 0.1, "median": 0.5, "max": 0.9}));
        assert_eq!(Spread::default().seconds(), json!({"n": 0, "min": null, "median": null, "max": null}));
    }

    #[test]
    fn the_ratio_is_that_of_the_medians() {
        assert_eq!(ratio(&spread(&[100, 200, 900]), &spread(&[800])), Some(0.25));
        assert_eq!(ratio(&spread(&[]), &spread(&[800])), None);
    }
}
