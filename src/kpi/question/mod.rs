//! Analyzes a PromQL query without sending it: the normalized form, the burst query and the evidence probe. Pure.

mod burst;
mod outline;
mod probe;
mod reach;
mod targets;
mod volume;

use std::time::Duration;

use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::{self, Expr, VectorSelector, value::ValueType};
use promql_parser::util::visitor::{ExprVisitorMut, walk_expr_mut};
use thiserror::Error;

use probe::Probe;
pub(super) use probe::{Evidence, read as read_probe};

/// A parsed query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    text: String,
    burst: Option<String>,
    probe: Option<Probe>,
    default_is_written: bool,
    reach: Duration,
    volume: Option<String>,
}

/// Why a query is invalid. The text follows the word `query`.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("query {0}")]
pub struct QuestionError(String);

impl Question {
    /// Parses PromQL. Refused are invalid queries, queries that return a range or a string, and queries that are too long, too
    /// deep or read too many metrics to be sent every few seconds.
    pub fn parse(query: &str) -> Result<Self, QuestionError> {
        outline::check(query).map_err(QuestionError)?;
        let mut expr = parser::parse(query)
            .map_err(|error| QuestionError(format!("is not PromQL: {}", error.trim_end_matches('.'))))?;
        match expr.value_type() {
            ValueType::Vector | ValueType::Scalar => {}
            ValueType::Matrix => {
                let wrap = "wrap it in rate(), max_over_time() or the like";
                return Err(QuestionError(format!(
                    "returns a range of samples; it must return numbers: {wrap}"
                )));
            }
            ValueType::String => {
                return Err(QuestionError("returns a string; it must return numbers".into()));
            }
        }
        let _ = walk_expr_mut(&mut Normalise, &mut expr);
        let probe = probe::of(&expr).map_err(QuestionError)?;
        Ok(Self {
            text: faithful(&expr).unwrap_or_else(|| query.trim().to_owned()),
            burst: burst::twin(&expr).as_ref().and_then(faithful),
            probe,
            default_is_written: probe::has_written_default(&expr),
            reach: reach::of(&expr),
            volume: volume::of(&expr).as_ref().and_then(faithful),
        })
    }

    /// The normalized query, the same for all equal queries.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The burst query: the same query over the newest two samples, with `irate` for `rate` and `increase`. `None` if there is
    /// nothing to rewrite, or if the rewritten query would have another meaning.
    #[must_use]
    pub fn burst(&self) -> Option<&str> {
        self.burst.as_deref()
    }

    /// Query for the time of the newest sample behind the answer and the number of scrape targets. `None` if the query reads
    /// no samples, as in `vector(1)`.
    #[must_use]
    pub fn probe(&self) -> Option<&str> {
        self.probe.as_ref().map(|probe| probe.text.as_str())
    }

    /// Query for only the number of scrape targets, to be sent as a range query. `None` as for [`Self::probe`].
    #[must_use]
    pub fn targets(&self) -> Option<&str> {
        self.probe.as_ref().map(|probe| probe.targets.as_str())
    }

    /// How far back from its time the query reads: its longest range, with the ranges of subqueries added; 0 without one.
    #[must_use]
    pub fn reach(&self) -> Duration {
        self.reach
    }

    /// Query for the number of requests behind a ratio, an average or a quantile. `None` if it can't be derived.
    #[must_use]
    pub fn volume(&self) -> Option<&str> {
        self.volume.as_deref()
    }

    /// Whether the query has a default for a missing value: `… or vector(0)`.
    #[must_use]
    pub fn default_is_written(&self) -> bool {
        self.default_is_written
    }
}

/// The text of an expression, if it parses back to the same expression. Otherwise the query is sent as it was written.
fn faithful(expr: &Expr) -> Option<String> {
    let text = expr.to_string();
    (parser::parse(&text).ok().as_ref() == Some(expr)).then_some(text)
}

/// Sorts matchers, and writes metric names that are not identifiers in the form that every Prometheus version accepts.
struct Normalise;

impl ExprVisitorMut for Normalise {
    type Error = std::convert::Infallible;

    fn pre_visit(&mut self, expr: &mut Expr) -> Result<bool, Self::Error> {
        match expr {
            Expr::VectorSelector(selector) => normalise(selector),
            Expr::MatrixSelector(matrix) => normalise(&mut matrix.vs),
            _ => {}
        }
        Ok(true)
    }
}

fn normalise(selector: &mut VectorSelector) {
    if let Some(name) = selector.name.take_if(|name| !is_identifier(name)) {
        let matcher = Matcher::new(MatchOp::Equal, "__name__", &name);
        for matchers in &mut selector.matchers.or_matchers {
            matchers.push(matcher.clone());
        }
        if selector.matchers.or_matchers.is_empty() {
            selector.matchers.matchers.push(matcher);
        }
    }
    selector.matchers.matchers.sort_by_cached_key(ToString::to_string);
    selector.matchers.matchers.dedup();
}

fn is_identifier(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

#[cfg(test)]
mod tests {
    use super::Question;

    fn text(query: &str) -> String {
        Question::parse(query).unwrap().text().to_owned()
    }

    #[test]
    fn equal_queries_have_the_same_text() {
        let one = r#"sum by (pod) (rate(http_requests_total{app="a",code=~"5.."}[90s]))"#;
        for other in [
            r#"sum(rate(http_requests_total{code=~"5..", app='a'}[1m30s])) by (pod)"#,
            "sum by(pod) (\n  # errors\n  rate(http_requests_total{app=`a`,code=~\"5..\",}[90s])\n)",
        ] {
            assert_eq!(text(one), text(other), "{other}");
        }
        assert_ne!(text("rate(x[1m])"), text("rate(x[2m])"));
        assert_ne!(text("a - b"), text("b - a"));
    }

    #[test]
    fn the_normalized_text_keeps_the_meaning() {
        for (query, expected) in [
            ("(a + b) * 2", "(a + b) * 2"),
            ("-(a)^2", "-(a) ^ 2"),
            ("a / on(x) group_left(y) b", "a / on (x) group_left (y) b"),
            (r#"x{path="C:\\\"q\""}"#, r#"x{path="C:\\\"q\""}"#),
            ("max_over_time(sum(rate(x[1m]))[10m:30s])", "max_over_time(sum(rate(x[1m]))[10m:30s])"),
            ("x offset -5m", "x offset -5m"),
            ("quantile(0.9, x)", "quantile(0.9, x)"),
            (r#"{"http.requests", app="a"}"#, r#"{__name__="http.requests",app="a"}"#),
        ] {
            assert_eq!(text(query), expected);
            assert_eq!(text(&text(query)), expected, "again");
        }
    }

    #[test]
    fn an_invalid_query_is_refused_with_the_reason() {
        for (query, expected) in [
            ("sum(rate(x[1m])", "query has a \"(\" at character 4 that is never closed"),
            ("sum(x))", "query has a \")\" at character 7 that closes nothing"),
            ("x{a=\"b}", "query has a \" at character 5 that is never closed"),
            ("sumrate(x[1m])", "query is not PromQL: unknown function with name 'sumrate'"),
            (
                "x[5m]",
                "query returns a range of samples; it must return numbers: wrap it in rate(), max_over_time() or the like",
            ),
            ("\"text\"", "query returns a string; it must return numbers"),
            ("", "query is empty; it must be PromQL"),
        ] {
            assert_eq!(Question::parse(query).unwrap_err().to_string(), expected, "{query}");
        }
        let error = Question::parse("sum rate x").unwrap_err().to_string();
        assert!(error.starts_with("query is not PromQL: "), "{error}");
    }

    #[test]
    fn no_query_overflows_the_stack() {
        for query in [
            "1+".repeat(499) + "1",
            "-".repeat(499) + "x",
            "1+".repeat(999) + "1",
            "(".repeat(499) + "x" + &")".repeat(499),
            "abs(".repeat(499) + "x" + &")".repeat(499),
            "x or ".repeat(499) + "x",
        ] {
            // Refused or not, it must return.
            let _ = Question::parse(&query);
        }
        let error = Question::parse(&"x or ".repeat(1100)).unwrap_err().to_string();
        assert_eq!(error, "query has more than 500 operators and brackets, which is the limit");
    }
}
