//! Sentences of the readers by themselves; those of whole specs and lines are in `tests/it`.

use super::{Node, json, typed, yaml};
use plimsoll_api::words::{any_of, key, near, quoted};

#[test]
fn a_long_text_is_cut_and_its_length_told() {
    assert_eq!(quoted("as it is"), "\"as it is\"");
    let cut = quoted(&"ä\n".repeat(5_000_000));
    assert!(cut.starts_with("\"ä\\nä\\n") && cut.ends_with("…\" (10000000 characters)"), "{cut}");
    assert!(cut.len() < 120);
    assert_eq!(key("a b"), "\"a b\"");
}

#[test]
fn the_field_that_was_meant_differs_in_case_or_in_few_letters() {
    let known = ["behavior", "maxReplicas", "minReplicas", "mode", "onEmpty"];
    for (found, meant) in [
        ("behaviour", Some("behavior")),
        ("maxReplica", Some("maxReplicas")),
        ("onempty", Some("onEmpty")),
        ("Mode", Some("mode")),
        ("colour", None),
        ("", None),
    ] {
        assert_eq!(near(found, &known), meant, "{found}");
    }
    assert_eq!(any_of(&["a", "b", "c"]), "a, b or c");
}

#[test]
fn numbers_are_read_as_kubectl_reads_them() {
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
fn what_is_no_yaml_has_its_line_and_plain_words() {
    for (text, sentence) in [
        ("a: [1, 2", "this is not YAML: a comma or ] is missing"),
        ("a: \"b", "this is not YAML: a quote is not closed"),
        ("a:\n\t- b", "this is not YAML: there is a tab; indent with spaces"),
        ("a: *b", "there is no anchor of this name"),
        ("a: !!int many", "the value does not fit its tag"),
    ] {
        let said = yaml::documents(text).unwrap_err();
        assert!(said.starts_with("line ") && said.contains(sentence), "{text:?}: {said}");
    }
    assert_eq!(yaml::documents("? [a]\n: b").unwrap_err(), "a key is a list of 1 entry; it must be text");
    let deep = format!("a: {}", "[".repeat(300));
    let said = yaml::documents(&deep).unwrap_err();
    assert!(said.contains("nested too deeply"), "{said}");
    assert!(yaml::text(b"a\nb\xff").unwrap_err().starts_with("line 2 has the byte 0xff"));
}

#[test]
fn documents_are_parted_as_yaml_parts_them() {
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
fn what_is_no_json_has_its_field_and_the_place() {
    for (line, start) in [
        ("{\"a\": {\"b\": NaN}}", "a.b is not JSON at \"NaN}}\" (column 13)"),
        ("{\"a\": 1} {\"a\": 2}", "\"{\\\"a\\\": 2}\" (column 10) stands after the object"),
        ("{\"a\": 1", "the line ends too early"),
        ("{\"a\": 1e400}", "a is too large at \"1e400}\" (column 7); a number must be below 1e308"),
        ("a: 1", "the line is not JSON at \"a: 1\" (column 1)"),
    ] {
        let said = json::line(line).unwrap_err();
        assert!(said.starts_with(start), "{line}: {said}");
    }
    assert!(json::line(&"[".repeat(100_000)).unwrap_err().contains("nested too deeply"));
    assert_eq!(json::line("{\"a\": {\"b\": 1, \"b\": 2}}").unwrap().twice().as_deref(), Some("a.b"));
}

#[test]
fn a_type_says_what_it_allows() {
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
        let said = read(text).unwrap_err();
        assert!(said.starts_with(sentence), "{text}: {said}");
    }
    assert!(read("{port: 1, names: null}").is_ok());
}
