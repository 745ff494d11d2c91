//! Repeated cases, and the figures that each run reports with its result.

use super::{Case, Ended, Fixture, all, perform};
use crate::{prelude::*, stage::Profile};
use std::cell::RefCell;

thread_local! {
    static FIGURES: RefCell<Vec<(&'static str, f64)>> = const { RefCell::new(Vec::new()) };
}

/// Records a measurement of the running case; the name ends with its unit.
pub fn figure(name: &'static str, value: f64) {
    FIGURES.with_borrow_mut(|figures| figures.push((name, value)));
}

pub fn count(name: &'static str, count: impl TryInto<u32>) {
    figure(name, f64::from(count.try_into().unwrap_or(u32::MAX)));
}

/// Records the requests of a case, the lost ones, and those that its control lost.
pub fn requests(sent: u64, lost: u64, control_lost: u64) {
    count("requests", sent);
    count("lost", lost);
    count("lost by the control", control_lost);
}

pub fn take() -> Vec<(&'static str, f64)> {
    FIGURES.take()
}

/// A figure as text, such as `first answer 0.2 s`.
pub fn figure_text((name, value): &(&'static str, f64)) -> String {
    let (name, unit) = name.rsplit_once(", ").unwrap_or((name, ""));
    format!("{name} {} {unit}", text(*value)).trim_end().to_owned()
}

pub struct Repeated {
    case: &'static Case,
    runs: usize,
    failures: Vec<String>,
    figures: BTreeMap<&'static str, Vec<f64>>,
}

/// Runs the cases one after the other, `runs` times, on a cluster that is set up once; prints a table of the results so far
/// after each round.
pub fn repeat(names: &[&str], runs: usize) -> Result<Vec<Repeated>> {
    let known = all();
    let unknown: Vec<_> = names.iter().filter(|name| !known.iter().any(|case| case.name == **name)).collect();
    ensure!(unknown.is_empty(), "no case is named {unknown:?}");
    let fixture = Fixture::open(Profile::Image)?;
    let cases = known.into_iter().filter(|case| names.contains(&case.name));
    let mut all: Vec<_> = cases.map(Repeated::new).collect();
    for _ in 0..runs {
        all.iter_mut().for_each(|repeated| repeated.play(&fixture));
        println!("\n{:<22}   {:<44} {:>9} {:>9} {:>9}", "case", "figure", "min", "median", "max");
        all.iter().for_each(Repeated::print);
    }
    Ok(all)
}

impl Repeated {
    fn new(case: &'static Case) -> Self {
        Self { case, runs: 0, failures: Vec::new(), figures: BTreeMap::new() }
    }

    fn play(&mut self, fixture: &Fixture) {
        let Ended { seen, figures, .. } = perform(self.case, fixture);
        self.runs += 1;
        // Also of a failed run: the figures show by how much.
        for (name, value) in figures {
            self.figures.entry(name).or_default().push(value);
        }
        self.failures.extend(seen.err().map(|error| format!("{error:#}")));
    }

    fn print(&self) {
        let held = self.runs - self.failures.len();
        println!("{:<22} passed {held} of {}: {}", self.case.name, self.runs, self.case.must);
        for (name, values) in &self.figures {
            let [min, median, max] = spread(values).map(text);
            println!("{:<22}   {name:<44} {min:>9} {median:>9} {max:>9}", "");
        }
        self.failures.iter().for_each(|why| println!("{:<22}   failed: {why}", ""));
    }

    pub fn json(&self) -> (String, Value) {
        let figures = self.figures.iter().map(|(name, values)| {
            let [min, median, max] = spread(values);
            ((*name).to_owned(), json!({"n": values.len(), "min": min, "median": median, "max": max}))
        });
        let figures: BTreeMap<_, _> = figures.collect();
        let held = self.runs - self.failures.len();
        (self.case.name.to_owned(), json!({"runs": self.runs, "held": held, "figures": figures}))
    }
}

/// Minimum, median (the higher of two) and maximum, rounded to a thousandth.
fn spread(values: &[f64]) -> [f64; 3] {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |place: usize| sorted.get(place).map_or(f64::NAN, |value| (value * 1e3).round() / 1e3);
    [at(0), at(sorted.len() / 2), at(sorted.len().saturating_sub(1))]
}

fn text(value: f64) -> String {
    let rounded = if value.abs() < 10.0 { format!("{value:.2}") } else { format!("{value:.0}") };
    rounded.strip_suffix(".00").map_or_else(|| rounded.clone(), ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_printed_without_needless_digits() {
        assert_eq!(spread(&[3.0, 1.0, 2.0, 4.000_4]), [1.0, 3.0, 4.0]);
        assert_eq!([0.0, 0.256, 12.6, 5.0].map(text), ["0", "0.26", "13", "5"]);
    }
}
