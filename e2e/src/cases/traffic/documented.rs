//! Runs the balancer KPIs of `examples/README.md` on Prometheus, as they are documented.

use super::front::SHOP;
use crate::{
    prelude::*,
    stage::{Prometheus, Stage},
};

const DOCUMENT: &str = include_str!("../../../../examples/README.md");

/// Runs all of them for an overloaded service: none may be empty or zero. Returns their number.
pub fn run_queries(stage: &Stage, namespace: &str) -> Result<usize> {
    let prometheus = Prometheus::of(stage)?;
    let queries = queries(namespace);
    for query in &queries {
        let value = prometheus.ask(query)?;
        ensure!(value.is_some_and(|value| value > 0.0), "{query} is {value:?} under overload");
    }
    let strange = queries.first().map(|query| query.replace("haproxy_backend", "haproxy_front"));
    let value = prometheus.ask(&strange.unwrap_or_default())?;
    ensure!(value.is_none(), "control: an unknown metric is {value:?}");
    Ok(queries.len())
}

fn queries(namespace: &str) -> Vec<String> {
    let rows = DOCUMENT.lines().filter(|line| line.starts_with("| ") && line.contains("haproxy_backend_"));
    let query = |row: &str| Some(row.split('`').nth(1)?.to_owned());
    let named = |query: String| {
        query
            .replace("namespace=\"N\"", &format!("namespace=\"{namespace}\""))
            .replace("proxy=\"S\"", &format!("proxy=\"{SHOP}\""))
    };
    rows.filter_map(query).map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_is_a_query_of_the_service() {
        let queries = queries("here");
        assert_eq!(queries.len(), 6, "{queries:?}");
        let service = "{namespace=\"here\",proxy=\"shop\"";
        assert!(queries.iter().all(|query| query.contains(service)), "{queries:?}");
    }
}
