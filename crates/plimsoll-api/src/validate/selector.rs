//! Validation of label selectors, as strict as the API server's (apimachinery `ValidateLabelSelector`). kube's own conversion
//! accepts invalid keys and values, and operators with the wrong number of values.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kube::core::Selector;

use super::checks::is_object_name;
use crate::words::{child, quoted};

const KEY: &str = "it must be a label key, such as team or example.com/team";
const VALUE: &str =
    "it must be a label value: at most 63 letters, digits, -, _ and ., with a letter or a digit at both ends";

/// Parses the selector at `path`.
pub(super) fn selector(path: &str, selector: &LabelSelector, errors: &mut Vec<String>) -> Option<Selector> {
    let before = errors.len();
    let labels = format!("{path}.matchLabels");
    for (key, value) in selector.match_labels.iter().flatten() {
        if !is_key(key) {
            errors.push(format!("{labels} has the key {}; {KEY}", quoted(key)));
        }
        check_value(&child(&labels, key), value, errors);
    }
    for (index, requirement) in selector.match_expressions.iter().flatten().enumerate() {
        check_requirement(&format!("{path}.matchExpressions[{index}]"), requirement, errors);
    }
    // The conversion fails only for operators and values that are refused above.
    Selector::try_from(selector.clone()).ok().filter(|_| errors.len() == before)
}

fn check_requirement(path: &str, requirement: &LabelSelectorRequirement, errors: &mut Vec<String>) {
    let LabelSelectorRequirement { key, operator, values } = requirement;
    let values = values.as_deref().unwrap_or_default();
    if !is_key(key) {
        errors.push(format!("{path}.key is {}; {KEY}", quoted(key)));
    }
    match operator.as_str() {
        "In" | "NotIn" if values.is_empty() => {
            errors.push(format!(
                "{path}.values is empty; it must have at least one value with operator {operator}"
            ));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            errors.push(format!("{path}.values is set; it must be left out with operator {operator}"));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        other => {
            let found = quoted(other);
            errors.push(format!("{path}.operator is {found}; it must be In, NotIn, Exists or DoesNotExist"));
        }
    }
    for (index, value) in values.iter().enumerate() {
        check_value(&format!("{path}.values[{index}]"), value, errors);
    }
}

fn check_value(path: &str, value: &str, errors: &mut Vec<String>) {
    if !value.is_empty() && !is_label_name(value) {
        errors.push(format!("{path} is {}; {VALUE}", quoted(value)));
    }
}

/// Whether the text is a qualified name: a name, with an optional DNS name as a prefix.
fn is_key(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => {
            is_object_name(prefix) && prefix.split('.').all(is_object_name) && is_label_name(name)
        }
        None => is_label_name(text),
    }
}

fn is_label_name(text: &str) -> bool {
    let edge = |char: char| char.is_ascii_alphanumeric();
    text.len() <= 63
        && text.chars().all(|char| edge(char) || "-_.".contains(char))
        && text.starts_with(edge)
        && text.ends_with(edge)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kube::core::SelectorExt as _;

    use super::{LabelSelector, Selector};

    fn parsed(yaml: &str) -> Result<Selector, Vec<String>> {
        let mut errors = Vec::new();
        let yaml: LabelSelector = serde_saphyr::from_str(yaml).unwrap();
        let selector = super::selector("s", &yaml, &mut errors);
        if errors.is_empty() { Ok(selector.unwrap()) } else { Err(errors) }
    }

    #[test]
    fn a_selector_matches_as_on_the_api_server() {
        let labels: BTreeMap<String, String> = [("team", "shop"), ("example.com/tier", "")]
            .map(|(key, value)| (key.into(), value.into()))
            .into();
        for (yaml, matches) in [
            ("{}", true),
            ("matchLabels: {team: shop}", true),
            ("matchLabels: {team: shop, example.com/tier: ''}", true),
            ("matchLabels: {team: ads}", false),
            ("matchLabels: {other: ''}", false),
            ("matchExpressions: [{key: team, operator: In, values: [ads, shop]}]", true),
            ("matchExpressions: [{key: other, operator: In, values: ['']}]", false),
            ("matchExpressions: [{key: team, operator: NotIn, values: [shop]}]", false),
            ("matchExpressions: [{key: other, operator: NotIn, values: [shop]}]", true),
            ("matchExpressions: [{key: team, operator: Exists}]", true),
            ("matchExpressions: [{key: team, operator: DoesNotExist, values: []}]", false),
            ("{matchLabels: {team: shop}, matchExpressions: [{key: other, operator: Exists}]}", false),
        ] {
            assert_eq!(parsed(yaml).unwrap().matches(&labels), matches, "{yaml}");
        }
    }

    #[test]
    fn each_mistake_in_a_selector_has_a_sentence() {
        let (key, value) = (super::KEY, super::VALUE);
        let expression = |fields: &str| format!("matchExpressions: [{{{fields}}}]");
        for (yaml, sentence) in [
            ("matchLabels: {'a b': c}".to_owned(), format!("s.matchLabels has the key \"a b\"; {key}")),
            ("matchLabels: {team: a b}".to_owned(), format!("s.matchLabels.team is \"a b\"; {value}")),
            (
                expression("key: Example.com/a, operator: Exists"),
                format!("s.matchExpressions[0].key is \"Example.com/a\"; {key}"),
            ),
            (
                expression("key: a/b/c, operator: Exists"),
                format!("s.matchExpressions[0].key is \"a/b/c\"; {key}"),
            ),
            (
                expression("key: a..b/c, operator: Exists"),
                format!("s.matchExpressions[0].key is \"a..b/c\"; {key}"),
            ),
            (expression("key: a/, operator: Exists"), format!("s.matchExpressions[0].key is \"a/\"; {key}")),
            (
                expression("key: a, operator: in, values: [b]"),
                "s.matchExpressions[0].operator is \"in\"; it must be In, NotIn, Exists or DoesNotExist"
                    .to_owned(),
            ),
            (
                expression("key: a, operator: In"),
                "s.matchExpressions[0].values is empty; it must have at least one value with operator In"
                    .to_owned(),
            ),
            (
                expression("key: a, operator: NotIn, values: []"),
                "s.matchExpressions[0].values is empty; it must have at least one value with operator NotIn"
                    .to_owned(),
            ),
            (
                expression("key: a, operator: Exists, values: [b]"),
                "s.matchExpressions[0].values is set; it must be left out with operator Exists".to_owned(),
            ),
            (
                expression("key: a, operator: In, values: [b, -c]"),
                format!("s.matchExpressions[0].values[1] is \"-c\"; {value}"),
            ),
        ] {
            assert_eq!(parsed(&yaml), Err(vec![sentence]), "{yaml}");
        }
    }
}
