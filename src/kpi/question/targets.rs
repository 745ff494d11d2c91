//! The number of scrape targets behind an answer, as PromQL.

use std::collections::{BTreeMap, BTreeSet};

use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::VectorSelector;

/// Labels that discovery gives to a target and all of its series, and labels by which one exporter tells apart what it
/// measures for many (cAdvisor, kube-state-metrics, brokers). A series with such a label is there from the start, or its
/// target is none of those that are asked for. A name with `exported_` before it says the same, and so does one with dots.
const IDENTIFYING: &[&str] = &[
    "app",
    "cluster",
    "consumergroup",
    "container",
    "container_name",
    "cronjob",
    "daemonset",
    "database",
    "datname",
    "deployment",
    "device",
    "horizontalpodautoscaler",
    "host",
    "hostname",
    "image",
    "instance",
    "job",
    "job_name",
    "kubernetes_name",
    "kubernetes_namespace",
    "kubernetes_pod_name",
    "mountpoint",
    "namespace",
    "node",
    "nodename",
    "persistentvolumeclaim",
    "pod",
    "pod_name",
    "prometheus",
    "queue",
    "replicaset",
    "service",
    "service_name",
    "service_namespace",
    "statefulset",
    "topic",
    "uid",
    "vhost",
    "workload",
    "workload_type",
];
/// Begins of such names: the recommended labels of Kubernetes, OpenTelemetry's resource attributes, kube-state-metrics'
/// copies of labels, Istio's two ends of a request, Envoy's clusters.
const IDENTIFYING_PREFIXES: &[&str] =
    &["app_kubernetes_io_", "destination_", "envoy_", "k8s_", "label_", "source_"];
/// Labels of `up` in which the targets of one workload agree, next to those that the query selects by. A job may have the
/// targets of a whole cluster.
const SIBLINGS: &[&str] = &[
    "app",
    "app_kubernetes_io_component",
    "app_kubernetes_io_instance",
    "app_kubernetes_io_name",
    "cluster",
    "container",
    "endpoint",
    "job",
    "k8s_app",
    "kubernetes_namespace",
    "namespace",
    "service",
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
/// `code=~"5.."` and `path="/checkout"` select the targets that have had such a request since they started. After a rollout
/// there are none, and then one after the other: no target is missing. What narrows in this way can't be told from the query
/// alone. Prometheus writes `up` for each target with the labels of its discovery (`namespace`, `version`, …) and without
/// those of its series (`code`, `path`, …). So where a target has a series and its `up` does not meet all matchers, its
/// siblings could have such a series: those whose `up` has the same value as its own in each label that is selected by `=`,
/// none included, and in each of [`SIBLINGS`]. If its `up` meets all matchers, they choose targets.
///
/// Other workloads must not be mixed in, since their targets would hide those that are missing here: a matcher on a label
/// that [`is_identifying`] is never loosened, so that of cAdvisor, whose `up` has no `pod`, only the nodes with series count.
///
/// The limits:
///
/// - A target that is scraped in the same job beside the service, with the same labels, counts too.
/// - If an exporter measures for many and tells them apart by a label with another name, all replicas of it count.
/// - A series with a label that is identifying by its name and `up` lacks, such as `service` for a dependency, makes a
///   target count only once it has that series. The same goes for series whose `instance` and `job` are not those of the
///   scrape (recording rules, `honor_labels`).
fn could_have(text: &str, selector: &VectorSelector) -> Option<String> {
    if !selector.matchers.or_matchers.is_empty() {
        return None;
    }
    let about_labels = selector.matchers.matchers.iter().filter(|matcher| matcher.name != "__name__");
    let (identifying, others): (Vec<&Matcher>, Vec<&Matcher>) =
        about_labels.partition(|matcher| is_identifying(&matcher.name));
    if others.is_empty() {
        return None;
    }
    let of_target = || identifying.iter().map(ToString::to_string);
    let loose: Vec<String> =
        of_target().chain(others.iter().filter_map(|matcher| Some(loosened(matcher)?.to_string()))).collect();
    let met: Vec<String> = of_target().chain(others.iter().map(|matcher| met(matcher).to_string())).collect();
    let equal =
        others.iter().filter(|matcher| matcher.op == MatchOp::Equal).map(|matcher| matcher.name.as_str());
    let same: BTreeSet<&str> = SIBLINGS.iter().copied().chain(equal).collect();
    let same = same.into_iter().map(label).collect::<Vec<_>>().join(", ");
    let (loose, met) = (loose.join(","), met.join(","));
    let narrowed = format!("(up{{{loose}}} unless up{{{met}}}) and on (instance, job) {text}");
    Some(format!("up{{{loose}}} == 1 and on ({same}) ({narrowed})"))
}

/// Whether a label says which target it is, or what it measures, by its name.
fn is_identifying(label: &str) -> bool {
    let label = label.replace('.', "_");
    let label = label.strip_prefix("exported_").unwrap_or(&label);
    IDENTIFYING.contains(&label) || IDENTIFYING_PREFIXES.iter().any(|prefix| label.starts_with(prefix))
}

/// A label as PromQL has it in a list: in quotes if it is no identifier.
fn label(name: &str) -> String {
    let is_identifier = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !name.starts_with(|c: char| c.is_ascii_digit());
    if is_identifier {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n"))
}

/// The matcher, so that it is met without the label, too; `None` if nothing is left of it. One by `=` is left to the
/// comparison with a sibling.
fn loosened(matcher: &Matcher) -> Option<Matcher> {
    match &matcher.op {
        MatchOp::Equal => None,
        // The regular expression is printed from the value: the compiled one is only compared.
        MatchOp::Re(_) => Some(Matcher { value: format!("(?:{})|", matcher.value), ..matcher.clone() }),
        MatchOp::NotEqual if matcher.value.is_empty() => None,
        _ => Some(matcher.clone()),
    }
}

/// The matcher as a target meets it by its own labels: it must have the label, even if the matcher is met without.
fn met(matcher: &Matcher) -> Matcher {
    match &matcher.op {
        MatchOp::Equal => matcher.clone(),
        _ => Matcher::new(MatchOp::NotEqual, &matcher.name, ""),
    }
}

#[cfg(test)]
mod tests {
    use crate::kpi::Question;

    /// The labels in which siblings agree.
    const SAME: &str = "app, app_kubernetes_io_component, app_kubernetes_io_instance, app_kubernetes_io_name, cluster, \
                        container, endpoint, job, k8s_app, kubernetes_namespace, namespace, service";

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
        let errors = r#"http_requests_total{app="a",code=~"5.."}"#;
        let loose = r#"app="a",code=~"(?:5..)|""#;
        assert_eq!(
            targets(&format!("sum(rate({errors}[1m]))")),
            format!(
                "count(count by (instance, job) ({errors}) or count by (instance, job) (up{{{loose}}} == 1 and on ({SAME}) \
                 ((up{{{loose}}} unless up{{app=\"a\",code!=\"\"}}) and on (instance, job) {errors})))"
            )
        );
        let excluded = targets(r#"sum(x{app="a",code!="200",path!=""})"#);
        assert!(
            excluded.contains(r#"((up{app="a",code!="200"} unless up{app="a",code!="",path!=""}) and"#),
            "{excluded}"
        );
    }

    #[test]
    fn what_is_selected_by_equality_is_compared_with_a_sibling_whatever_its_name() {
        for (label, value) in
            [("path", "/checkout"), ("method", "POST"), ("grpc_method", "X"), ("code", "500")]
        {
            let made = targets(&format!(r#"sum(x{{app="a",{label}="{value}"}})"#));
            let narrowed = format!(
                r#"((up{{app="a"}} unless up{{app="a",{label}="{value}"}}) and on (instance, job) x{{app="a",{label}="{value}"}})"#
            );
            assert!(made.contains(&narrowed), "{made}");
            let same = made.split_once("and on (").unwrap().1.split(')').next().unwrap();
            let mut names: Vec<&str> = SAME.split(", ").chain([label]).collect();
            names.sort_unstable();
            assert_eq!(same.split(", ").collect::<Vec<_>>(), names);
        }
    }

    #[test]
    fn what_identifies_a_target_is_counted_by_its_series_and_never_loosened() {
        for query in [
            r#"sum(x{namespace="a",pod=~"web-.*",container!=""})"#,
            r#"sum(x{deployment="web",exported_namespace="a"})"#,
            r#"sum(x{app_kubernetes_io_name="web",destination_service="b"})"#,
            "sum(x)",
            r#"sum({__name__=~"x|y",app="a"})"#,
        ] {
            assert!(!targets(query).contains("up{"), "{query}");
        }
        let cpu = targets(r#"sum(rate(container_cpu_usage_seconds_total{pod=~"web-.*",cpu="total"}[1m]))"#);
        assert!(cpu.contains(r#"up{pod=~"web-.*"} == 1"#), "{cpu}");
    }

    #[test]
    fn the_count_is_promql_whatever_the_matchers() {
        for query in [
            r#"sum(x{a=~"5..|\\d+",b!~"\"q\"",c!=""})"#,
            r#"sum(x{a!=""})"#,
            r#"sum(x{a="",b="\"q\\"})"#,
            r#"sum({"a.b",c=~"d"})"#,
            r#"sum({"a.b","c.d"="e"})"#,
        ] {
            if let Err(error) = Question::parse(query) {
                panic!("{query}: {error}");
            }
            Question::parse(&targets(query)).unwrap_or_else(|error| panic!("{}: {error}", targets(query)));
        }
    }
}
