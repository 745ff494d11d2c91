//! The number of scrape targets behind an answer, as PromQL.

use std::collections::BTreeMap;

use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::VectorSelector;

/// Labels that say what happened in a request, by the names that client libraries and the semantic conventions of
/// OpenTelemetry give them. A target has a series with such a value only after that has happened.
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
/// - It has a series of one of the selectors. So a target without errors counts in `errors / requests`.
/// - It is scraped, and could have a series of a selector that is narrowed by what happens: see [`could_have`].
pub(super) fn count(selectors: &BTreeMap<String, VectorSelector>) -> String {
    let by_target = |series: &str| format!("count by (instance, job) ({series})");
    let own = selectors.keys().map(|text| by_target(text));
    let others =
        selectors.iter().filter_map(|(text, selector)| Some(by_target(&could_have(text, selector)?)));
    let targets: Vec<String> = own.chain(others).collect();
    format!("count({})", targets.join(" or "))
}

/// The targets that are scraped and that the selector does not rule out; `None` if it is not narrowed.
///
/// `code=~"5.."` selects the targets that have had an error since they started. After a rollout there are none, and then
/// one after the other: no target is missing. A matcher other than `=` may be of that kind, and so is `=` on a label of
/// [`OUTCOMES`]. Prometheus writes `up` for each
/// target with the labels of its discovery alone (`namespace`, `pod`, …) and without those of its series (`code`, `path`, …).
/// So a target whose `up` lacks one of the labels could have the series. If `up` has all of them, the matchers choose targets.
///
/// Only jobs that have the series now are counted, and no other `=` is loosened: other workloads must not be mixed in,
/// since their targets would hide those that are missing here.
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

/// The matcher, so that it is met without the label, too; `None` if nothing is left of it.
fn loosened(matcher: &Matcher) -> Option<Matcher> {
    match &matcher.op {
        // The regular expression is printed from the value: the compiled one is only compared.
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
    fn a_status_that_is_named_narrows_as_a_pattern_does() {
        assert!(targets(r#"sum(x{app="a",code="500"})"#).ends_with(
            r#"((up{app="a",code=""} == 1 unless up{code!=""}) and on (job) x{app="a",code="500"}))"#
        ));
    }

    #[test]
    fn what_selects_by_equality_alone_is_counted_by_its_series() {
        for query in [r#"sum(x{app="a",version="2"})"#, "sum(x)", r#"sum({__name__=~"x|y",app="a"})"#] {
            assert!(!targets(query).contains("up{"), "{query}");
        }
    }

    #[test]
    fn the_count_is_promql_whatever_the_matchers() {
        for query in
            [r#"sum(x{a=~"5..|\\d+",b!~"\"q\"",c!=""})"#, r#"sum(x{a!=""})"#, r#"sum({"a.b",c=~"d"})"#]
        {
            Question::parse(&targets(query)).unwrap_or_else(|error| panic!("{}: {error}", targets(query)));
        }
    }
}
