//! What was seen of each outage, for the table at the end of the group.

use std::{collections::BTreeSet, time::Duration};

/// One outage.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// What broke.
    pub fault: String,
    /// States of the KPIs while it lasted.
    pub states: BTreeSet<String>,
    /// Replicas when it began.
    pub before: i64,
    /// Fewest replicas from its beginning to some seconds after its end.
    pub lowest: i64,
    /// Reason of the condition Ready while it lasted.
    pub condition: String,
    /// From the beginning until the condition said so.
    pub told: Option<Duration>,
    /// From the end until all was well.
    pub recovered: Option<Duration>,
}

impl Row {
    /// In one line, for the case that made it.
    pub fn line(&self) -> String {
        let states: Vec<_> = self.states.iter().map(String::as_str).collect();
        format!(
            "{}: {} after {}, replicas {} -> at least {}, well again after {}",
            if states.is_empty() { "-".to_owned() } else { states.join("+") },
            self.condition,
            seconds(self.told),
            self.before,
            self.lowest,
            seconds(self.recovered)
        )
    }
}

fn seconds(time: Option<Duration>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| format!("{:.1} s", time.as_secs_f64()))
}

/// Prints all of them.
pub fn print(rows: &[Row]) {
    println!();
    println!(
        "{:<16} {:<16} {:>8} {:>7}  {:<22} {:>7} {:>9}",
        "fault", "KPIs", "replicas", "lowest", "Ready says", "after", "recovery"
    );
    for row in rows {
        let states: Vec<_> = row.states.iter().map(String::as_str).collect();
        println!(
            "{:<16} {:<16} {:>8} {:>7}  {:<22} {:>7} {:>9}",
            row.fault,
            states.join("+"),
            row.before,
            row.lowest,
            row.condition,
            seconds(row.told),
            seconds(row.recovered)
        );
    }
}
