//! Sentences of the single readers; those of whole specs and lines are in `tests/it`.

use super::{Node, json, typed, yaml};
use plimsoll_api::words::{any_of, key, near, quoted};

#[test]
fn long_text_is_truncated_and_its_length_is_shown() {
    assert_eq!(quoted("as it is"), "\"as it is\"");
    let cut = quoted(&"ä\n".repeat(5_000_000));
    assert!(cut.starts_with("\"ä\\nä\\n") && cut.ends_with("…\" (10000000 characters)"), "{cut}");
    assert!(cut.len() < 120);
    assert_eq!(key("a b"), "\"a b\"");
}

#[test]
fn suggested_field_differs_in_case_or_in_few_letters() {
    let known = ["behavior", "maxReplicas", "minReplicas", "mode", "onEmpty"];
    for (found, suggested) in [
        ("behaviour", Some("behavior")),
        ("maxReplica", Some("maxReplicas")),
        ("onempty", Some("onEmpty")),
        ("Mode", Some("mode")),
        ("colour", None),
        ("", None),
    ] {
        assert_eq!(near(found, &known), suggested, "{found}");
    }
    assert_eq!(any_of(&["a", "b", "c"]), "a, b or c");
}

#[test]
fn yaml_numbers_are_read_as_by_kubectl() {
    let document =
        yaml::document("{a: 1e1, b: 10.0, c: 0x0A, d: 012, e: 1_0, f: \"10\", g: .inf, h: 2.5, i: off}");
    let document = document.unwrap();
    for field in ["a", "b", "c", "d", "e"] {
        assert_eq!(document.get(field), Some(&Node::Number(10.into())), "{field}");
    }
    for (field, text) in [("f", "\"10\""), ("g", "\".inf\""), ("h", "2.5"), ("i", "\"off\"")] {
        assert_eq!(document.get(field).unwrap().to_string(), text);
    }
}

#[test]
fn yaml_errors_have_a_line_and_a_plain_sentence() {
    for (text, sentence) in [
        ("a: [1, 2", "this is not YAML: a comma or ] is missing"),
        ("a: \"b", "this is not YAML: a quote is not closed"),
        ("a:\n\t- b", "this is not YAML: there is a tab; indent with spaces"),
        ("a: *b", "there is no anchor of this name"),
        ("a: !!int many", "the value does not fit its tag"),
    ] {
        let error = yaml::documents(text).unwrap_err();
        assert!(error.starts_with("line ") && error.contains(sentence), "{text:?}: {error}");
    }
    assert_eq!(yaml::documents("? [a]\n: b").unwrap_err(), "a key is a list of 1 entry; it must be text");
    let deep = format!("a: {}", "[".repeat(300));
    let error = yaml::documents(&deep).unwrap_err();
    assert!(error.contains("nested too deeply"), "{error}");
    assert!(yaml::text(b"a\nb\xff").unwrap_err().starts_with("line 2 has the byte 0xff"));
}

#[test]
fn documents_are_split_by_the_rules_of_yaml() {
    for text in [
        "a: 1\n--- {a: 2}\n",
        "---\t\na: 1\n---\na: 2",
        "\u{feff}---\na: 1\n...\n---\na: 2\n...\n",
        "%YAML 1.2\n---\na: 1\n...\n# more\n---\na: 2\n",
        "# one\n---\na: 1\n---\n---\na: |\n  2\n",
    ] {
        assert_eq!(yaml::documents(text).unwrap().len(), 2, "{text:?}");
    }
}

#[test]
fn json_errors_have_the_field_and_the_column() {
    for (line, start) in [
        ("{\"a\": {\"b\": NaN}}", "a.b is not JSON at \"NaN}}\" (column 13)"),
        ("{\"a\": 1} {\"a\": 2}", "\"{\\\"a\\\": 2}\" (column 10) follows the object"),
        ("{\"a\": 1", "the line ends too early"),
        ("{\"a\": 1e400}", "a has a number out of range at \"1e400}\" (column 7); it must be below 1e308"),
        ("a: 1", "the line is not JSON at \"a: 1\" (column 1)"),
    ] {
        let error = json::line(line).unwrap_err();
        assert!(error.starts_with(start), "{line}: {error}");
    }
    assert!(json::line(&"[".repeat(100_000)).unwrap_err().contains("nested too deeply"));
    assert_eq!(json::line("{\"a\": {\"b\": 1, \"b\": 2}}").unwrap().duplicate_key().as_deref(), Some("a.b"));
}

#[test]
fn type_errors_name_the_allowed_values() {
    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Config {
        port: u16,
        names: Option<Vec<String>>,
    }
    let read = |text: &str| typed::<Config>(&yaml::document(text).unwrap(), "config");
    for (text, sentence) in [
        ("{}", "config.port is missing"),
        ("port: http", "config.port is \"http\"; it must be a whole number"),
        ("port: 99999", "config.port is 99999; it must be a whole number"),
        ("{port: 1, names: [a, [b]]}", "config.names[1] is a list; it must be text"),
        (
            "{port: 1, name: a}",
            "config.name is not a known field (did you mean names?); allowed are port and names",
        ),
        ("[1, 2]", "config is a list"),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.starts_with(sentence), "{text}: {error}");
    }
    assert!(read("{port: 1, names: null}").is_ok());
}
