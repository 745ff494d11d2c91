//! Validates a tree against a structural schema of Kubernetes, with the result that the API server would give: unknown
//! fields, types, limits. CEL rules are not evaluated; they only mark the text fields that are durations.

use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps as Schema, JSONSchemaPropsOrArray as Items, JSONSchemaPropsOrBool as Values,
};
use regex::Regex;

use super::tree::Node;
use plimsoll_api::words::{any_of, child, key, unknown_field};

/// A violation of the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The field.
    pub path: String,
    /// The field, what was found, what is allowed.
    pub sentence: String,
    /// Whether the Rust type can't hold the value, so that the object can't be checked any further.
    pub fatal: bool,
}

/// Most problems that are reported.
const PROBLEMS_MAX: usize = 100;

/// A Go duration, as strict as `time.ParseDuration` is.
static DURATION: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"^([+-]?0|[+-]?(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$").ok()
});

/// Descriptions of the patterns in the schemas of the CRDs. A test compares this list with them.
pub const PATTERNS: [(&str, &str); 14] = [
    (
        "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        "lower-case letters, digits and -, with a letter or a digit at both ends",
    ),
    (
        "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
        "lower-case letters, digits, - and ., with a letter or a digit at both ends",
    ),
    ("^[a-z]([-a-z0-9]*[a-z0-9])?$", "lower-case letters, digits and -, with a letter first and no - last"),
    (
        r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?\.)*[a-z]([-a-z0-9]*[a-z0-9])?$",
        "a DNS name in lower case, such as east.example.com",
    ),
    ("^[A-Za-z0-9]([A-Za-z0-9.:-]*[A-Za-z0-9])?$", "an IP address or a DNS name"),
    ("^[A-Z][A-Za-z0-9]*$", "letters and digits, with a capital letter first"),
    (r"^\S+ +\S+ +\S+ +\S+ +\S+$", "the five fields of a cron expression with spaces between them alone"),
    ("^[A-Za-z0-9_+/-]+$", "an IANA name such as Europe/Berlin"),
    ("^[0-9A-Fa-f.:]+/[0-9]{1,3}$", "a network such as 10.0.0.0/8 or 2001:db8::/32"),
    ("^/[A-Za-z0-9._~!$&()*+,;=:@%/-]*$", "a path that begins with / and has no ? or #"),
    ("^[A-Za-z0-9_-]+$", "letters, digits, _ and -"),
    ("^[A-Za-z0-9-]+$", "letters, digits and -"),
    ("^[ -~]+$", "printable ASCII characters"),
    ("^[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?$", "a name such as example.com/internal"),
];

/// Adds the violations of `schema` by `node`, whose path is `path`.
pub fn check(node: &Node, schema: &Schema, path: &str, problems: &mut Vec<Problem>) {
    if problems.len() >= PROBLEMS_MAX {
        return;
    }
    if schema.x_kubernetes_int_or_string == Some(true) {
        return quantity(node, schema, path, problems);
    }
    match schema.type_.as_deref() {
        Some("object") => object(node, schema, path, problems),
        Some("array") => list(node, schema, path, problems),
        Some("string") => text(node, schema, path, problems),
        Some("integer" | "number") => number(node, schema, path, problems),
        Some("boolean") if !matches!(node, Node::Bool(_)) => refuse(node, schema, path, problems),
        _ => {}
    }
}

fn refuse(node: &Node, schema: &Schema, path: &str, problems: &mut Vec<Problem>) {
    problem(path, format!("{path} is {node}; it must be {}", allowed(schema)), true, problems);
}

fn problem(path: &str, sentence: String, fatal: bool, problems: &mut Vec<Problem>) {
    problems.push(Problem { path: path.to_owned(), sentence, fatal });
}

/// A null field counts as absent: the API server prunes it.
fn object(node: &Node, schema: &Schema, path: &str, problems: &mut Vec<Problem>) {
    let Node::Map(fields) = node else { return refuse(node, schema, path, problems) };
    let set = fields.iter().filter(|(_, value)| !value.is_null());
    match (&schema.properties, &schema.additional_properties) {
        (Some(known), _) => {
            for (name, value) in set {
                let path = &child(path, name);
                match known.get(name) {
                    Some(schema) => check(value, schema, path, problems),
                    None if problems.len() >= PROBLEMS_MAX => break,
                    None => unknown(schema, path, name, problems),
                }
            }
        }
        (None, Some(Values::Schema(schema))) => {
            set.for_each(|(name, value)| check(value, schema, &child(path, name), problems));
        }
        (None, _) => {}
    }
    for field in schema.required.iter().flatten() {
        if node.get(field).is_none() {
            let path = &child(path, field);
            let schema = schema.properties.as_ref().and_then(|known| known.get(field));
            let allowed = schema.map_or_else(|| "set".to_owned(), allowed);
            problem(path, format!("{path} is missing; it must be {allowed}"), true, problems);
        }
    }
}

fn unknown(schema: &Schema, path: &str, field: &str, problems: &mut Vec<Problem>) {
    let known: Vec<&str> =
        schema.properties.iter().flat_map(|known| known.keys().map(String::as_str)).collect();
    let parent = path.strip_suffix(&key(field)).unwrap_or_default().trim_end_matches('.');
    problem(path, unknown_field(parent, field, &known), true, problems);
}

fn list(node: &Node, schema: &Schema, path: &str, problems: &mut Vec<Problem>) {
    let Node::List(items) = node else { return refuse(node, schema, path, problems) };
    if !within(items.len(), schema.min_items, schema.max_items) {
        return refuse(node, schema, path, problems);
    }
    if let Some(Items::Schema(schema)) = &schema.items {
        for (index, item) in items.iter().enumerate() {
            check(item, schema, &format!("{path}[{index}]"), problems);
        }
    }
}

fn text(node: &Node, schema: &Schema, path: &str, problems: &mut Vec<Problem>) {
    let Node::Text(found) = node else {
        let plain =
            matches!(node, Node::Number(_) | Node::Bool(_)) && schema.enum_.is_none() && !is_duration(schema);
        let quotes = if plain { ", in quotes" } else { "" };
        let sentence = format!("{path} is {node}; it must be {}{quotes}", allowed(schema));
        return problem(path, sentence, true, problems);
    };
    let names = names(schema);
    let length = found.chars().count();
    let fatal = (!names.is_empty() && !names.contains(&found.as_str()))
        || !within(length, None, schema.max_length)
        || (is_duration(schema) && !matches(DURATION.as_ref(), found));
    let malformed = !within(length, schema.min_length, None)
        || schema.pattern.as_ref().is_some_and(|pattern| !matches_pattern(pattern, found));
    if fatal || malformed {
        let sentence = format!("{path} is {node}; it must be {}", allowed(schema));
        problem(path, sentence, fatal, problems);
    }
}

/// The compiled patterns: thousands of objects have the same fields.
static COMPILED: LazyLock<Vec<(&str, Regex)>> = LazyLock::new(|| {
    PATTERNS.iter().filter_map(|(pattern, _)| Some((*pattern, Regex::new(pattern).ok()?))).collect()
});

fn matches_pattern(pattern: &str, text: &str) -> bool {
    match COMPILED.iter().find(|(known, _)| *known == pattern) {
        Some((_, regex)) => regex.is_match(text),
        None => matches(Regex::new(pattern).ok().as_ref(), text),
    }
}

fn matches(pattern: Option<&Regex>, text: &str) -> bool {
    pattern.is_none_or(|pattern| pattern.is_match(text))
}

fn number(node: &Node, schema: &Schema, path: &str, problems: &mut Vec<Problem>) {
    let whole = schema.type_.as_deref() == Some("integer");
    let fits = |number: f64| {
        schema.minimum.is_none_or(|least| number >= least) && schema.maximum.is_none_or(|most| number <= most)
    };
    match node {
        Node::Number(number)
            if (number.as_i64().is_some() || !whole) && number.as_f64().is_some_and(fits) => {}
        Node::Text(found) if found.parse::<f64>().is_ok_and(f64::is_finite) => {
            let sentence = format!("{path} is {node}; it must be {}, without quotes", allowed(schema));
            problem(path, sentence, true, problems);
        }
        _ => refuse(node, schema, path, problems),
    }
}

/// Kubernetes' int-or-string, which is always a quantity in these CRDs.
fn quantity(node: &Node, schema: &Schema, path: &str, problems: &mut Vec<Problem>) {
    let fits = match node {
        Node::Number(number) => number.as_i64().is_some(),
        Node::Text(text) => within(text.chars().count(), None, schema.max_length),
        _ => false,
    };
    if !fits {
        refuse(node, schema, path, problems);
    }
}

fn within(length: usize, least: Option<i64>, most: Option<i64>) -> bool {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    least.is_none_or(|least| length >= least) && most.is_none_or(|most| length <= most)
}

/// The values of an enum.
fn names(schema: &Schema) -> Vec<&str> {
    schema.enum_.iter().flatten().filter_map(|name| name.0.as_str()).collect()
}

/// The CEL rule that distinguishes a duration from other text.
fn duration_rule(schema: &Schema) -> Option<&str> {
    let rules = schema.x_kubernetes_validations.iter().flatten();
    rules.filter(|rule| rule.rule.contains("duration(self)")).find_map(|rule| rule.message.as_deref())
}

fn is_duration(schema: &Schema) -> bool {
    duration_rule(schema).is_some()
}

/// The allowed values of a schema, as the end of a sentence with "it must be".
#[must_use]
pub fn allowed(schema: &Schema) -> String {
    if schema.x_kubernetes_int_or_string == Some(true) {
        let most = schema.max_length.map(|most| format!(" of at most {most} characters")).unwrap_or_default();
        return format!("a whole number, or a quantity in quotes{most} such as \"0.25\" or \"250m\"");
    }
    match schema.type_.as_deref() {
        Some("object") => "an object".to_owned(),
        Some("array") => match counted(schema.min_items, schema.max_items, "entries") {
            Some(range) => format!("a list of {range}"),
            None => "a list".to_owned(),
        },
        Some("string") => text_allowed(schema),
        Some("boolean") => "true or false".to_owned(),
        Some(type_) => {
            let what = if type_ == "integer" { "a whole number" } else { "a number" };
            match (schema.minimum, schema.maximum) {
                (Some(least), Some(most)) => format!("{what} from {least} to {most}"),
                (Some(least), None) => format!("{what} of at least {least}"),
                (None, Some(most)) => format!("{what} of at most {most}"),
                (None, None) => what.to_owned(),
            }
        }
        None => "set".to_owned(),
    }
}

fn text_allowed(schema: &Schema) -> String {
    let names = names(schema);
    if !names.is_empty() {
        return any_of(&names);
    }
    if let Some(rule) = duration_rule(schema) {
        let range = rule.split_once(" must be ").map_or("a duration", |(_, range)| range);
        return format!("{range}, with the units h, m, s and ms");
    }
    let pattern = schema.pattern.as_deref();
    let known = pattern.and_then(|pattern| PATTERNS.iter().find(|(known, _)| *known == pattern));
    let form = match (known, pattern) {
        (Some((_, words)), _) => format!(": {words}"),
        (None, Some(pattern)) => format!(" that matches {pattern}"),
        (None, None) => String::new(),
    };
    match counted(schema.min_length, schema.max_length, "characters") {
        Some(range) => format!("text of {range}{form}"),
        None => format!("text{form}"),
    }
}

fn counted(least: Option<i64>, most: Option<i64>, what: &str) -> Option<String> {
    match (least.filter(|least| *least > 0), most) {
        (Some(least), Some(most)) => Some(format!("{least} to {most} {what}")),
        (Some(least), None) => Some(format!("at least {least} {what}")),
        (None, Some(most)) => Some(format!("at most {most} {what}")),
        (None, None) => None,
    }
}
