//! The evidence probe: the age of the samples behind an answer, and the number of their scrape targets.
//!
//! The answer itself does not show them: `rate(x[5m])` has values for minutes after the last scrape, and its timestamp is
//! that of the evaluation.

use std::collections::BTreeMap;
use std::convert::Infallible;

use jiff::Timestamp;
use promql_parser::parser::{AtModifier, Expr, VectorSelector};
use promql_parser::util::{ExprVisitor, walk_expr};

use super::targets;
use crate::kpi::answer::{Answer, Data, timestamp};

/// The label that distinguishes the parts of the answer: [`crate::kpi::answer::Labels::plimsoll`].
const PART: &str = "plimsoll";
/// Most distinct selectors of a query.
const SELECTORS_MAX: usize = 32;

/// The result of a probe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::kpi) struct Evidence {
    /// When the server evaluated it, on its clock.
    pub(in crate::kpi) server: Timestamp,
    /// The minimum over all selectors of the time of their newest sample; `None` if no selector has a sample.
    pub(in crate::kpi) newest: Option<Timestamp>,
    /// Number of distinct scrape targets behind the answer: see [`targets::count`].
    pub(in crate::kpi) targets: u32,
}

/// The additional queries for a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Probe {
    /// The time of the newest sample and the number of scrape targets.
    pub(super) text: String,
    /// Only the number of scrape targets.
    pub(super) targets: String,
}

/// The probe of an expression; `None` if it reads no series. An `offset` is dropped, since the probe is about whether the
/// targets are scraped now. Selectors at a fixed time (`@ 1700000000`) are left out, since their samples never change.
/// Works on Prometheus 2 and 3, Thanos, Mimir and VictoriaMetrics.
pub(super) fn of(expr: &Expr) -> Result<Option<Probe>, String> {
    let selectors = selectors(expr);
    if selectors.is_empty() {
        return Ok(None);
    }
    if selectors.len() > SELECTORS_MAX {
        return Err(format!(
            "reads {} different selectors; at most {SELECTORS_MAX} are allowed",
            selectors.len()
        ));
    }
    let part =
        |value: String, name: &str| format!("label_replace({value}, \"{PART}\", \"{name}\", \"\", \"\")");
    let mut parts = vec![part("vector(time())".to_owned(), "server")];
    for (index, selector) in selectors.keys().enumerate() {
        parts.push(part(format!("max(timestamp({selector}))"), &format!("newest/{index}")));
    }
    let targets = targets::count(&selectors);
    parts.push(part(targets.clone(), "targets"));
    Ok(Some(Probe { text: parts.join(" or "), targets }))
}

/// Parses the answer to a probe; the error completes a sentence that begins with the source's name.
pub(in crate::kpi) fn read(answer: &Answer) -> Result<Evidence, String> {
    let Data::Vector(series) = &answer.data else {
        return Err("answered the evidence query without a vector".into());
    };
    let mut server = None;
    let mut newest: Option<Timestamp> = None;
    let mut targets = 0_f64;
    for one in series {
        let name = one.labels.plimsoll.as_deref().unwrap_or_default();
        match name.split('/').next().unwrap_or_default() {
            "server" => server = timestamp(one.value),
            "newest" => {
                let found = timestamp(one.value).ok_or("answered the evidence query with an invalid time")?;
                newest = Some(newest.map_or(found, |before| before.min(found)));
            }
            "targets" => targets = one.value,
            _ => {}
        }
    }
    let server = server.ok_or("answered the evidence query without its evaluation time")?;
    // The cast saturates, as intended for a count.
    Ok(Evidence { server, newest, targets: targets as u32 })
}

/// Whether an `or` has a number on its right, so that the query is never empty.
pub(super) fn has_written_default(expr: &Expr) -> bool {
    struct Find(bool);
    impl ExprVisitor for Find {
        type Error = Infallible;
        fn pre_visit(&mut self, expr: &Expr) -> Result<bool, Infallible> {
            if let Expr::Binary(binary) = expr
                && binary.op.to_string() == "or"
            {
                self.0 |= selectors(&binary.rhs).is_empty();
            }
            Ok(!self.0)
        }
    }
    let mut find = Find(false);
    let _ = walk_expr(&mut find, expr);
    find.0
}

/// The distinct selectors of an expression without offsets, by their text.
fn selectors(expr: &Expr) -> BTreeMap<String, VectorSelector> {
    struct Collect(BTreeMap<String, VectorSelector>);
    impl ExprVisitor for Collect {
        type Error = Infallible;
        fn pre_visit(&mut self, expr: &Expr) -> Result<bool, Infallible> {
            let selector = match expr {
                Expr::VectorSelector(selector) => selector,
                Expr::MatrixSelector(matrix) => &matrix.vs,
                _ => return Ok(true),
            };
            if !matches!(selector.at, Some(AtModifier::At(_))) {
                let now = VectorSelector { offset: None, at: None, ..selector.clone() };
                self.0.insert(now.to_string(), now);
            }
            Ok(true)
        }
    }
    let mut collect = Collect(BTreeMap::new());
    let _ = walk_expr(&mut collect, expr);
    collect.0
}

#[cfg(test)]
mod tests {
    use super::{Evidence, read};
    use crate::kpi::Question;
    use crate::kpi::answer::{Answer, Data, Labels, Series, timestamp};

    fn probe(query: &str) -> Option<String> {
        Question::parse(query).unwrap().probe().map(str::to_owned)
    }

    #[test]
    fn the_probe_has_the_time_of_each_selector_and_the_targets_of_all() {
        assert_eq!(
            probe(r#"sum(rate(x{app="a"}[1m] offset 1h)) / sum(x{app="a"})"#).unwrap(),
            concat!(
                r#"label_replace(vector(time()), "plimsoll", "server", "", "")"#,
                r#" or label_replace(max(timestamp(x{app="a"})), "plimsoll", "newest/0", "", "")"#,
                r#" or label_replace(count(count by (instance, job) (x{app="a"})), "plimsoll", "targets", "", "")"#,
            )
        );
        assert!(probe("a + b").unwrap().contains("newest/1"));
        assert!(
            probe("max_over_time(sum(rate(inner[1m]))[1h:1m] offset 1d)")
                .unwrap()
                .contains("timestamp(inner)")
        );
        // The probe is valid PromQL.
        Question::parse(&probe("a + b").unwrap()).unwrap();
    }

    #[test]
    fn a_query_that_reads_no_series_needs_no_probe() {
        for query in ["vector(1)", "time()", "1", "x @ 1700000000"] {
            assert_eq!(probe(query), None, "{query}");
        }
    }

    #[test]
    fn too_many_selectors_are_refused() {
        let query: Vec<String> = (0..33).map(|n| format!("m{n}")).collect();
        let error = Question::parse(&query.join(" + ")).unwrap_err().to_string();
        assert_eq!(error, "query reads 33 different selectors; at most 32 are allowed");
    }

    #[test]
    fn a_default_in_the_query_is_detected() {
        let written = |query| Question::parse(query).unwrap().default_is_written();
        assert!(written("sum(rate(x[1m])) or vector(0)"));
        assert!(written("(sum(a) or on() vector(0)) / sum(b)"));
        assert!(!written("sum(a) or sum(b)"));
    }

    #[test]
    fn the_evidence_has_the_least_recent_newest_sample_and_the_targets() {
        let labels = |name: &str| Labels { pod: None, plimsoll: Some(name.into()) };
        let series = |name: &str, value| Series { labels: labels(name), value };
        let data = Data::Vector(vec![
            series("server", 1_800_000_010.5),
            series("newest/0", 1_800_000_009.0),
            series("newest/1", 1_800_000_001.25),
            series("targets", 5.0),
        ]);
        let evidence = read(&Answer { data, time: None, warning: None }).unwrap();
        let expected = Evidence {
            server: timestamp(1_800_000_010.5).unwrap(),
            newest: timestamp(1_800_000_001.25),
            targets: 5,
        };
        assert_eq!(evidence, expected);
        let nothing = Answer { data: Data::Vector(Vec::new()), time: None, warning: None };
        assert!(read(&nothing).is_err(), "an answer without the server's time is refused");
    }
}
