//! What a query answers.

use std::collections::BTreeMap;

/// What a query answers at a time.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// No series.
    Nothing,
    /// One series.
    Number(f64),
    /// One series for each pod.
    Pods(BTreeMap<String, f64>),
    /// One series, made of those of so many scrape targets.
    Total {
        /// Its value.
        value: f64,
        /// Scrape targets behind it.
        targets: u32,
    },
}
