//! For any spec text and any observation lines, `plimsoll decide` does not panic, and each error is one sentence.

use std::sync::LazyLock;

use plimsoll::cli::decide::{run, service};
use plimsoll_api::Validated;
use proptest::prelude::*;
use serde_json::Value;

/// A spec with every field that `decide` uses, and one that only balancers use.
const SPEC: &str = r#"apiVersion: plimsoll.dev/v1alpha1
kind: ScalableService
metadata: {name: shop, namespace: a}
spec:
  mode: Auto
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: shop}
  minReplicas: 2
  maxReplicas: 40
  period: 15s
  kpis:
  - {name: load, type: Load, query: "sum(rate(a[1m]))", perReplica: "10", onEmpty: Zero}
  - {name: cpu, type: Utilization, query: b, target: "0.6"}
  - {name: slow, type: Objective, query: c, atMost: 250m}
  behavior:
    scaleUp: {policies: [{type: Percent, value: 50, periodSeconds: 30}], tolerance: "0.2"}
    scaleDown: {selectPolicy: Min, policies: [{type: Pods, value: 1, periodSeconds: 60}], stabilizationWindowSeconds: 60}
  schedule:
  - {name: sale, timeZone: Europe/Berlin, start: "30 2 * * 5", duration: 14h, minReplicas: 20}
  traffic: {provider: HAProxy, targetPort: 8080, listeners: [{port: 80}], slowStart: 5s}
"#;

const LINE: &str = r#"{"time": 1774657800.5, "replicas": 4, "readyReplicas": 3, "held": 1, "kpis": {"load": 35, "cpu": 0.4, "slow": {"state": "Empty"}}}"#;

static SERVICE: LazyLock<Validated> = LazyLock::new(|| service(SPEC.as_bytes()).unwrap());

/// Unexpected values.
static STRANGE: [&str; 40] = [
    "",
    "null",
    "~",
    "true",
    "off",
    "-1",
    "0",
    "1e400",
    "-1e308",
    "1e-400",
    "2147483648",
    "-9223372036854775809",
    "0x10",
    "010",
    "1_0",
    ".inf",
    "NaN",
    "\"10\"",
    "10%",
    "1,5",
    "1Ei",
    "250m",
    "-5s",
    "1s-1s",
    "9999999999999h",
    "[]",
    "{}",
    "[[[",
    "}",
    "\"",
    "'",
    "&a [*a]",
    "*b",
    "!!int x",
    "<<: {a: b}",
    "\t",
    "\r",
    "\u{feff}",
    "\u{0}",
    "é\u{202e}𝕏",
];

/// One change of a text: a part is removed, or replaced by an unexpected value, by random text, or by another part.
fn change() -> impl Strategy<Value = (prop::sample::Index, usize, String)> {
    let instead = prop_oneof![
        3 => prop::sample::select(STRANGE.as_slice()).prop_map(str::to_owned),
        1 => "\\PC{0,8}",
        1 => "[-:{}\\[\\],&*#?|>%@\"' \n]{0,6}",
        1 => (any::<prop::sample::Index>(), 0..60usize).prop_map(|(at, length)| part(SPEC, at, length)),
    ];
    (any::<prop::sample::Index>(), 0..12usize, instead)
}

fn part(text: &str, at: prop::sample::Index, length: usize) -> String {
    text.chars().skip(at.index(text.len())).take(length).collect()
}

fn changed(text: &str, changes: &[(prop::sample::Index, usize, String)]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for (at, length, instead) in changes {
        let start = at.index(chars.len() + 1);
        let end = (start + length).min(chars.len());
        chars.splice(start..end, instead.chars());
    }
    chars.into_iter().collect()
}

/// Random bytes, with more of those that end texts, lines and characters early.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let ends = prop::sample::select(b"\0\r\n\x1a\x7f\x80\xc3\xed\xa0\xf4\xfe\xff\"\\{}".as_slice());
    prop::collection::vec(prop_oneof![any::<u8>(), ends], 0..30)
}

/// Like [`changed`], by bytes.
fn with_bytes(text: &str, changes: &[(prop::sample::Index, usize, Vec<u8>)]) -> Vec<u8> {
    let mut text = text.as_bytes().to_vec();
    for (at, length, instead) in changes {
        let start = at.index(text.len() + 1);
        let end = (start + length).min(text.len());
        text.splice(start..end, instead.iter().copied());
    }
    text
}

/// Like [`changed`], at the values of keys, where most mistakes are made.
fn with_values(text: &str, changes: &[(prop::sample::Index, usize, String)]) -> String {
    let mut text = text.to_owned();
    for (at, _, instead) in changes {
        let colons: Vec<usize> = text.match_indices(": ").map(|(at, _)| at + 2).collect();
        if colons.is_empty() {
            break;
        }
        let start = colons[at.index(colons.len())];
        let rest = &text[start..];
        let end = start + rest.find([',', '}', ']', '\n']).unwrap_or(rest.len());
        text.replace_range(start..end, instead);
    }
    text
}

/// Terms of libraries and of the source, which mean nothing to a user.
const JARGON: [&str; 8] = ["untagged", "serde", "EOF", "i32", "f64", "Options", "struct ", "invalid type"];

/// The first word of [`JARGON`] that a sentence has more often than the input, from which it may quote.
pub fn jargon(sentence: &str, input: &[u8]) -> Option<&'static str> {
    let input = String::from_utf8_lossy(input);
    JARGON.into_iter().find(|word| sentence.matches(word).count() > input.matches(word).count())
}

/// One sentence, or several on one line.
fn is_short(sentence: &str, input: &[u8]) -> Result<(), TestCaseError> {
    prop_assert!(!sentence.is_empty() && sentence.len() <= 1000, "{} bytes: {sentence}", sentence.len());
    prop_assert_eq!(sentence.lines().count(), 1, "{}", sentence);
    prop_assert_eq!(jargon(sentence, input), None, "internal term: {}", sentence);
    Ok(())
}

/// A text is either a service that answers the line, or an error of one sentence.
fn decides(text: &[u8]) -> Result<(), TestCaseError> {
    match service(text) {
        Ok(spec) => answers(&spec, format!("{LINE}\n{LINE}").as_bytes()),
        Err(invalid) => is_short(&invalid.to_string(), text),
    }
}

/// Each line that is not blank gets one answer.
fn answers(spec: &Validated, lines: &[u8]) -> Result<(), TestCaseError> {
    let mut output = Vec::new();
    run(spec, lines, &mut output).unwrap();
    let output = String::from_utf8(output).unwrap();
    let asked =
        lines.split(|byte| *byte == b'\n').filter(|line| !line.iter().all(u8::is_ascii_whitespace)).count();
    prop_assert_eq!(output.lines().count(), asked);
    for answer in output.lines() {
        let answer: Value = serde_json::from_str(answer).unwrap();
        match answer["error"].as_str() {
            Some(sentence) => is_short(sentence, lines)?,
            None => {
                let replicas = answer["replicas"].as_i64().unwrap();
                prop_assert!(replicas >= 0, "{answer}");
            }
        }
    }
    Ok(())
}

proptest! {
    // Some 40 s of a core for the four of them in the suite's profile.
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_spec_is_accepted_or_refused(changes in prop::collection::vec(change(), 1..4), values in any::<bool>()) {
        decides(if values { with_values(SPEC, &changes) } else { changed(SPEC, &changes) }.as_bytes())?;
    }

    #[test]
    fn any_bytes_are_accepted_or_refused(text in "[ -~\n\t]{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        decides(text.as_bytes())?;
        decides(&bytes)?;
    }

    #[test]
    fn changed_lines_are_answered_one_by_one(
        lines in prop::collection::vec((prop::collection::vec(change(), 0..3), any::<bool>()), 1..5)
    ) {
        let line = |(changes, values): &(Vec<_>, bool)| {
            if *values { with_values(LINE, changes) } else { changed(LINE, changes) }
        };
        answers(&SERVICE, lines.iter().map(line).collect::<Vec<_>>().join("\n").as_bytes())?;
    }

    #[test]
    fn lines_of_any_bytes_are_answered_one_by_one(
        lines in prop::collection::vec((bytes(), prop::collection::vec((any::<prop::sample::Index>(), 0..3usize, bytes()), 0..3)), 1..4)
    ) {
        let line = |(alone, changes): &(Vec<u8>, Vec<_>)| if changes.is_empty() { alone.clone() } else { with_bytes(LINE, changes) };
        answers(&SERVICE, &lines.iter().map(line).collect::<Vec<_>>().join(b"\n".as_slice()))?;
    }
}

#[test]
fn a_term_quoted_from_the_input_is_not_jargon() {
    assert_eq!(jargon("it is not JSON at \"2147.inf648\"", b"2147.inf648"), None);
    assert_eq!(jargon("it is not an f64 at \"2147.inf648\"", b"2147.inf648"), Some("f64"));
}

#[test]
fn a_line_that_is_not_utf8_is_refused_with_its_byte_and_the_next_one_is_answered() {
    let mut output = Vec::new();
    let lines = [b"{\"time\": 0, \xff}\n\xc3\n".as_slice(), LINE.as_bytes()].concat();
    assert_eq!(run(&SERVICE, lines.as_slice(), &mut output).unwrap(), 2);
    let output: Vec<Value> =
        output.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    assert_eq!(output[0]["error"], "the line has the byte 0xff in column 13; it must be JSON in UTF-8");
    assert_eq!(output[1]["error"], "the line has the byte 0xc3 in column 1; it must be JSON in UTF-8");
    assert!(output[2]["replicas"].is_number(), "{}", output[2]);
}
