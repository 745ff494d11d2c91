//! The value of a query.

use std::collections::BTreeMap;

/// The value of a query at a time.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// No series.
    Nothing,
    /// One series.
    Number(f64),
    /// One series for each pod.
    Pods(BTreeMap<String, f64>),
    /// One series, aggregated from several scrape targets.
    Total {
        /// Its value.
        value: f64,
        /// The number of scrape targets.
        targets: u32,
    },
}
