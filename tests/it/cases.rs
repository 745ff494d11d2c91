//! The cases of `tests/cases`: public bug reports on autoscalers in a closed loop, and input that is malformed or unusual.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use super::any_input::jargon;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")
}

fn decide(service: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command.args(["decide", "-f"]).arg(service);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// One line of a closed loop.
struct Played {
    time: f64,
    /// The KPIs of the input line.
    kpis: Value,
    replicas: i64,
    /// The whole answer.
    answer: String,
}

impl Played {
    fn kpi(&self, name: &str) -> f64 {
        self.kpis[name].as_f64().unwrap()
    }
}

/// Plays each line of a case. A line without replicas has those decided on the line before.
fn play(service: &Path, input: &Path) -> Vec<Played> {
    let mut engine = decide(service).spawn().unwrap();
    let mut lines = engine.stdin.take().unwrap();
    let mut answers = BufReader::new(engine.stdout.take().unwrap()).lines();
    let mut played: Vec<Played> = Vec::new();
    for line in fs::read_to_string(input).unwrap().lines() {
        let mut seen: Value = serde_json::from_str(line).unwrap();
        if seen.get("replicas").is_none() {
            seen["replicas"] = played.last().unwrap().replicas.into();
        }
        writeln!(lines, "{seen}").unwrap();
        let answer = answers.next().expect("each line is answered").unwrap();
        let decided: Value = serde_json::from_str(&answer).unwrap();
        let replicas = decided["replicas"].as_i64().unwrap_or_else(|| panic!("{line}: {answer}"));
        let time = seen["time"].as_f64().unwrap();
        played.push(Played { time, kpis: seen["kpis"].take(), replicas, answer });
    }
    drop(lines);
    assert_eq!(engine.wait().unwrap().code(), Some(0), "{}", service.display());
    played
}

/// The replicas of each line of a case, whose `expected.txt` has `sentence`.
fn case(name: &str, sentence: &str) -> Vec<Played> {
    let folder = folder().join(name);
    let expected = fs::read_to_string(folder.join("expected.txt")).unwrap();
    let words = expected.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains(sentence), "{name} expects something else: {words}");
    play(&folder.join("service.yaml"), &folder.join("input.jsonl"))
}

fn replicas(played: &[Played]) -> Vec<i64> {
    played.iter().map(|line| line.replicas).collect()
}

/// The folders that the tests below play.
const CLOSED_LOOPS: [&str; 7] = [
    "01-negative-backlog",
    "02-load-overflows",
    "03-above-target-half-ready",
    "12-dst-spring-forward",
    "15-month-end",
    "21b-objective-starved-by-a-ramp",
    "22b-slow-database-max-18",
];

#[test]
fn each_closed_loop_is_played() {
    let entries = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let cases = entries.filter(|path| path.join("expected.txt").exists());
    let names: BTreeSet<_> = cases.map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, BTreeSet::from(CLOSED_LOOPS.map(OsString::from)));
}

#[test]
fn a_negative_backlog_removes_no_replica_and_is_shown() {
    let played = case(CLOSED_LOOPS[0], "1194 on every line.");
    for line in &played {
        assert_eq!(line.replicas, 1194, "{}", line.answer);
        let backlog = line.kpi("backlog");
        assert!(backlog >= 0.0 || line.answer.contains(&backlog.to_string()), "{}", line.answer);
    }
    assert!(played.iter().any(|line| line.kpi("backlog") < 0.0));
}

#[test]
fn a_load_above_max_replicas_keeps_all_replicas() {
    let played = case(CLOSED_LOOPS[1], "every line answers 40 (maxReplicas)");
    assert_eq!(replicas(&played), [40; 15]);
}

#[test]
fn no_scale_down_while_the_ready_half_is_above_its_target() {
    let played = case(CLOSED_LOOPS[2], "Every line answers 10.");
    assert_eq!(replicas(&played), [10; 25]);
}

#[test]
fn a_schedule_that_starts_in_the_gap_of_daylight_saving_has_its_full_length() {
    let played = case(CLOSED_LOOPS[3], "On 29 March the floor of 8 holds for about its 4 hours");
    // The lines are those of 28, 29 and 30 March, in Berlin time.
    let usual = [1, 8, 8, 8, 1];
    let days = [usual.as_slice(), &[1, 8, 8, 8, 8, 8, 1], &usual].concat();
    assert_eq!(replicas(&played), days);
}

#[test]
fn the_last_day_of_each_month_has_its_minimum() {
    let played = case(CLOSED_LOOPS[4], "20 on every last day of a month, the last of December included");
    let expected = fs::read_to_string(folder().join(CLOSED_LOOPS[4]).join("expected.txt")).unwrap();
    let days = expected.lines().filter_map(|line| line.split_once(" noon: "));
    let floors: Vec<i64> = days.map(|(_, day)| if day.contains("last day") { 20 } else { 10 }).collect();
    assert_eq!((floors.len(), replicas(&played)), (23, floors));
}

#[test]
fn an_objective_takes_effect_while_a_load_rises() {
    let played = case(
        CLOSED_LOOPS[5],
        "The objective must have its say within a minute or two of being broken (more replicas than rps / 100, by t=240 s",
    );
    let more = |line: &&Played| line.replicas as f64 > (line.kpi("rps") / 100.0).ceil();
    let acted = played.iter().find(more).map(|line| line.time);
    assert!(acted.is_some_and(|time| (90.0..=240.0).contains(&time)), "acted at {acted:?}");
}

#[test]
fn raises_for_a_slow_database_are_undone_at_any_max_replicas() {
    let sentence =
        "say ScalingIneffective (by t=600 s at the latest) and give back what was added (5 again by t=900 s)";
    let check = |played: &[Played], max: &str| {
        let reports = |line: &&Played| line.answer.contains("ScalingIneffective");
        let reported = played.iter().find(reports).map(|line| line.time);
        assert!(reported.is_some_and(|time| time <= 600.0), "maxReplicas {max}: reported at {reported:?}");
        let tried = played.iter().position(|line| line.replicas > 5).unwrap();
        let back = played[tried..].iter().find(|line| line.replicas == 5).map(|line| line.time);
        assert!(back.is_some_and(|time| time <= 900.0), "maxReplicas {max}: removed at {back:?}");
    };
    check(&case(CLOSED_LOOPS[6], sentence), "18");
    let folder = folder().join(CLOSED_LOOPS[6]);
    let service = fs::read_to_string(folder.join("service.yaml")).unwrap();
    let changed = tempfile::tempdir().unwrap();
    let file = changed.path().join("service.yaml");
    for max in ["7", "10", "19", "40", "1000"] {
        fs::write(&file, service.replace("maxReplicas: 18", &format!("maxReplicas: {max}"))).unwrap();
        check(&play(&file, &folder.join("input.jsonl")), max);
    }
}

/// The expected result of one input of `malformed`.
struct Expectation {
    name: String,
    /// The service of a line, if it is not the usual one.
    service: Option<String>,
    /// A refusal has one of these names; `None` if the input must not be refused.
    refused: Option<Vec<String>>,
    /// The fewest and the most replicas, and a text of the answer; `None` if the input must not be accepted.
    taken: Option<(i64, i64, Option<String>)>,
}

/// The names in backquotes.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// A line such as ``- `crlf` (with a.yaml): refused, naming `time`; or taken, and answered with 4 to 6 replicas.``
fn expectation(line: &str) -> Option<Expectation> {
    let (head, verdict) = line.strip_prefix("- ")?.split_once(": ")?;
    let service = head.split_once("(with ").map(|(_, file)| file.trim_end_matches(')').to_owned());
    let mut expectation =
        Expectation { name: quoted(head).into_iter().next().unwrap(), service, refused: None, taken: None };
    for way in verdict.trim_end_matches('.').split("; or ") {
        if way.starts_with("refused") {
            expectation.refused = Some(quoted(way));
        } else {
            let way = way.strip_prefix("taken, and answered with ").unwrap_or_else(|| panic!("{line}"));
            let numbers: Vec<i64> =
                way.split('`').next().unwrap().split(' ').filter_map(|word| word.parse().ok()).collect();
            expectation.taken = Some((numbers[0], *numbers.last().unwrap(), quoted(way).into_iter().next()));
        }
    }
    Some(expectation)
}

/// The expectations of `right.md` for `specs` or `lines`, one for each input.
fn expectations(kind: &str, ending: &str) -> Vec<Expectation> {
    let folder = folder().join("malformed");
    let text = fs::read_to_string(folder.join("right.md")).unwrap();
    let part = text.split("# ").find(|part| part.starts_with(kind)).unwrap();
    let all: Vec<Expectation> = part.lines().filter_map(expectation).collect();
    let entries = fs::read_dir(folder.join(kind)).unwrap().map(|entry| entry.unwrap().path());
    let inputs = entries.filter(|path| path.extension().is_some_and(|found| found == ending));
    let inputs: BTreeSet<_> = inputs.map(|path| path.file_stem().unwrap().to_owned()).collect();
    let named: BTreeSet<OsString> = all.iter().map(|expectation| expectation.name.clone().into()).collect();
    assert_eq!(inputs, named, "{kind}");
    all
}

impl Expectation {
    /// A refusal by one sentence that names the field.
    fn check_refusal(&self, sentence: &str) {
        let Self { name, refused, .. } = self;
        let fields = refused.as_ref().unwrap_or_else(|| panic!("{name} is refused: {sentence}"));
        let named = fields.is_empty() || fields.iter().any(|field| sentence.contains(field));
        assert!(named, "{name}: none of {fields:?}: {sentence}");
        assert!(sentence.chars().count() <= 1000, "{name}: {} bytes: {sentence}", sentence.len());
        assert_eq!(sentence.trim_end().lines().count(), 1, "{name}: {sentence}");
        assert_eq!(jargon(sentence, b""), None, "{name}: internal term: {sentence}");
    }

    fn check_answer(&self, answer: &Value) {
        let Self { name, taken, .. } = self;
        let (fewest, most, shown) = taken.as_ref().unwrap_or_else(|| panic!("{name} is accepted: {answer}"));
        let replicas = answer["replicas"].as_i64().unwrap();
        assert!((*fewest..=*most).contains(&replicas), "{name}: {replicas} replicas: {answer}");
        let reasons = answer["reasons"].to_string();
        assert!(shown.as_ref().is_none_or(|shown| reasons.contains(shown)), "{name}: {shown:?}: {reasons}");
    }
}

/// The exit code, the answers, and the text of standard error.
fn answers(service: &Path, input: &[u8]) -> (Option<i32>, Vec<Value>, String) {
    let mut engine = decide(service).spawn().unwrap();
    // A program that refuses the file stops reading.
    let _ = engine.stdin.take().unwrap().write_all(input);
    let output = engine.wait_with_output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    let answers = String::from_utf8(output.stdout).unwrap();
    let answers = answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (output.status.code(), answers, errors)
}

#[test]
fn each_spec_is_refused_with_its_field_or_gets_a_decision() {
    for expectation in expectations("specs", "yaml") {
        let file = folder().join("malformed/specs").join(format!("{}.yaml", expectation.name));
        let line = br#"{"time":0,"replicas":4,"kpis":{"load":35}}"#;
        let (code, answers, errors) = answers(&file, line);
        match code {
            Some(0) => {
                assert_eq!((answers.len(), errors.as_str()), (1, ""), "{}", expectation.name);
                expectation.check_answer(&answers[0]);
            }
            Some(1) => {
                assert!(answers.is_empty(), "{}: {answers:?}", expectation.name);
                // The file name may contain the name of the field.
                let prefix = format!("plimsoll: {}: ", file.display());
                let sentence = errors.strip_prefix(&prefix).unwrap_or_else(|| panic!("{errors}"));
                expectation.check_refusal(sentence);
            }
            other => panic!("{} ends with {other:?}: {errors}", expectation.name),
        }
    }
}

#[test]
fn each_line_is_refused_with_its_field_or_answered_and_so_is_the_next() {
    let good = br#"{"time":60,"replicas":4,"kpis":{"load":35,"lat":0.1,"cpu":0.4}}"#;
    for expectation in expectations("lines", "jsonl") {
        let folder = folder().join("malformed/lines");
        let service = folder.join(expectation.service.as_deref().unwrap_or("service.yaml"));
        let mut input = fs::read(folder.join(format!("{}.jsonl", expectation.name))).unwrap();
        if !input.ends_with(b"\n") {
            input.push(b'\n');
        }
        input.extend(good);
        let (code, answers, errors) = answers(&service, &input);
        assert_eq!(errors, "", "{}", expectation.name);
        let [.., answer, next] = answers.as_slice() else { panic!("{}: {answers:?}", expectation.name) };
        assert!(next["replicas"].is_number(), "{}: the next line gets {next}", expectation.name);
        match answer["error"].as_str() {
            Some(sentence) => expectation.check_refusal(sentence),
            None => expectation.check_answer(answer),
        }
        let refused = answers.iter().any(|answer| answer.get("error").is_some());
        assert_eq!(code, Some(i32::from(refused)), "{}", expectation.name);
    }
}
