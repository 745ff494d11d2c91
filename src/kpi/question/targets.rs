//! The number of scrape targets behind an answer, as PromQL.

use std::collections::BTreeMap;

use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::VectorSelector;

/// Labels for the outcome of a request, by the names in client libraries and in the semantic conventions of OpenTelemetry. A
/// target has a series with such a value only after that outcome has occurred.
const OUTCOMES: [&str; 14] = [
    "code",
    "error",
    "error_type",
    "exception",
    "grpc_code",
    "http_response_status_code",
    "http_status_code",
    "outcome",
    "response_code",
    "response_code_class",
    "result",
    "rpc_grpc_status_code",
    "status",
    "status_code",
];

/// PromQL for the number of distinct scrape targets (pairs of the labels `instance` and `job`) behind these selectors, by
/// their text. A target counts once, however many selectors read it, and in these cases:
///
/// - It has a series of one of the selectors, so that a target without errors counts in `errors / requests`.
/// - It is scraped, and could have a series of a selector that an outcome narrows: see [`could_have`].
pub(super) fn count(selectors: &BTreeMap<String, VectorSelector>) -> String {
    let by_target = |series: &str| format!("count by (instance, job) ({series})");
    let own = selectors.keys().map(|text| by_target(text));
    let others =
        selectors.iter().filter_map(|(text, selector)| Some(by_target(&could_have(text, selector)?)));
    let targets: Vec<String> = own.chain(others).collect();
    format!("count({})", targets.join(" or "))
}

/// The scraped targets that the selector does not rule out; `None` if no matcher narrows it.
///
/// `code=~"5.."` selects the targets that have had an error since they started. After a rollout there are none, and then
/// they appear one after the other, although no target is missing. Any matcher other than `=` may be of that kind, and so is
/// `=` on a label of [`OUTCOMES`]. Prometheus writes `up` for each target with only the labels of its discovery (`namespace`,
/// `pod`, …), without those of its series (`code`, `path`, …). So a target whose `up` lacks one of the labels could have the
/// series. If `up` has all of them, the matchers select targets.
///
/// Only jobs that currently have the series are counted, and no other `=` is relaxed: targets of other workloads would hide
/// missing ones of this workload.
fn could_have(text: &str, selector: &VectorSelector) -> Option<String> {
    if !selector.matchers.or_matchers.is_empty() {
        return None;
    }
    let about_labels = || selector.matchers.matchers.iter().filter(|matcher| matcher.name != "__name__");
    let narrowing: Vec<String> = about_labels()
        .filter(|matcher| matcher.op != MatchOp::Equal || is_outcome(matcher))
        .map(|matcher| Matcher::new(MatchOp::NotEqual, &matcher.name, "").to_string())
        .collect();
    if narrowing.is_empty() {
        return None;
    }
    let loose: Vec<String> = about_labels().filter_map(loosened).map(|matcher| matcher.to_string()).collect();
    let (loose, narrowing) = (loose.join(","), narrowing.join(","));
    Some(format!("(up{{{loose}}} == 1 unless up{{{narrowing}}}) and on (job) {text}"))
}

fn is_outcome(matcher: &Matcher) -> bool {
    OUTCOMES.contains(&matcher.name.as_str())
}

/// The matcher, relaxed to match series without the label too; `None` if it then matches everything.
fn loosened(matcher: &Matcher) -> Option<Matcher> {
    match &matcher.op {
        // Only the value is printed; the compiled regular expression is only used for comparison.
        MatchOp::Re(_) => Some(Matcher { value: format!("(?:{})|", matcher.value), ..matcher.clone() }),
        MatchOp::NotEqual if matcher.value.is_empty() => None,
        MatchOp::Equal if is_outcome(matcher) => Some(Matcher::new(MatchOp::Equal, &matcher.name, "")),
        _ => Some(matcher.clone()),
    }
}

#[cfg(test)]
mod tests {
    use crate::kpi::Question;

    fn targets(query: &str) -> String {
        Question::parse(query).unwrap().targets().unwrap().to_owned()
    }

    #[test]
    fn targets_of_several_selectors_are_counted_once() {
        assert_eq!(
            targets(r#"sum(rate(errors{app="a"}[1m])) / sum(rate(requests{app="a"}[1m]))"#),
            r#"count(count by (instance, job) (errors{app="a"}) or count by (instance, job) (requests{app="a"}))"#
        );
    }

    #[test]
    fn a_target_that_is_scraped_and_had_no_error_counts() {
        assert_eq!(
            targets(r#"sum(rate(http_requests_total{app="a",code=~"5.."}[1m]))"#),
            concat!(
                r#"count(count by (instance, job) (http_requests_total{app="a",code=~"5.."})"#,
                r#" or count by (instance, job) ((up{app="a",code=~"(?:5..)|"} == 1 unless up{code!=""})"#,
                r#" and on (job) http_requests_total{app="a",code=~"5.."}))"#,
            )
        );
        let excluded = targets(r#"sum(x{app="a",code!="200",pod!=""})"#);
        assert!(
            excluded.contains(r#"(up{app="a",code!="200"} == 1 unless up{code!="",pod!=""})"#),
            "{excluded}"
        );
    }

    #[test]
    fn an_exact_status_code_is_treated_like_a_pattern() {
        assert!(targets(r#"sum(x{app="a",code="500"})"#).ends_with(
            r#"((up{app="a",code=""} == 1 unless up{code!=""}) and on (job) x{app="a",code="500"}))"#
        ));
    }

    #[test]
    fn selectors_with_only_equality_count_their_series() {
        for query in [r#"sum(x{app="a",version="2"})"#, "sum(x)", r#"sum({__name__=~"x|y",app="a"})"#] {
            assert!(!targets(query).contains("up{"), "{query}");
        }
    }

    #[test]
    fn the_count_is_valid_promql_for_any_matchers() {
        for query in
            [r#"sum(x{a=~"5..|\\d+",b!~"\"q\"",c!=""})"#, r#"sum(x{a!=""})"#, r#"sum({"a.b",c=~"d"})"#]
        {
            Question::parse(&targets(query)).unwrap_or_else(|error| panic!("{}: {error}", targets(query)));
        }
    }
}
