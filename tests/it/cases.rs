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
    /// What it says of the KPIs.
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

/// Plays each line of a case: where it names no replicas, there are those that were decided on the line before.
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

/// The tests below, by the folder that each plays.
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
fn a_negative_backlog_takes_no_replica_and_is_shown() {
    let played = case(CLOSED_LOOPS[0], "1194 on every line.");
    for line in &played {
        assert_eq!(line.replicas, 1194, "{}", line.answer);
        let backlog = line.kpi("backlog");
        assert!(backlog >= 0.0 || line.answer.contains(&backlog.to_string()), "{}", line.answer);
    }
    assert!(played.iter().any(|line| line.kpi("backlog") < 0.0));
}

#[test]
fn a_load_beyond_all_replicas_keeps_all() {
    let played = case(CLOSED_LOOPS[1], "every line answers 40 (maxReplicas)");
    assert_eq!(replicas(&played), [40; 15]);
}

#[test]
fn nothing_goes_while_the_ready_half_is_above_its_target() {
    let played = case(CLOSED_LOOPS[2], "Every line answers 10.");
    assert_eq!(replicas(&played), [10; 25]);
}

#[test]
fn a_window_that_starts_in_the_gap_of_a_night_has_its_length() {
    let played = case(CLOSED_LOOPS[3], "On 29 March the floor of 8 holds for about its 4 hours");
    // The lines are the ones of 28, 29 and 30 March, by the clock of Berlin.
    let usual = [1, 8, 8, 8, 1];
    let days = [usual.as_slice(), &[1, 8, 8, 8, 8, 8, 1], &usual].concat();
    assert_eq!(replicas(&played), days);
}

#[test]
fn the_end_of_each_month_has_its_floor() {
    let played = case(CLOSED_LOOPS[4], "20 on every last day of a month, the last of December included");
    let expected = fs::read_to_string(folder().join(CLOSED_LOOPS[4]).join("expected.txt")).unwrap();
    let days = expected.lines().filter_map(|line| line.split_once(" noon: "));
    let floors: Vec<i64> = days.map(|(_, day)| if day.contains("last day") { 20 } else { 10 }).collect();
    assert_eq!((floors.len(), replicas(&played)), (23, floors));
}

#[test]
fn an_objective_is_heard_while_a_load_rises() {
    let played = case(
        CLOSED_LOOPS[5],
        "The objective must have its say within a minute or two of being broken (more replicas than rps / 100, by t=240 s",
    );
    let more = |line: &&Played| line.replicas as f64 > (line.kpi("rps") / 100.0).ceil();
    let heard = played.iter().find(more).map(|line| line.time);
    assert!(heard.is_some_and(|time| (90.0..=240.0).contains(&time)), "heard at {heard:?}");
}

#[test]
fn a_slow_database_gets_no_replicas_whatever_the_maximum() {
    let sentence =
        "say ScalingIneffective (by t=600 s at the latest) and give back what was added (5 again by t=900 s)";
    let told = |played: &[Played], max: &str| {
        let says = |line: &&Played| line.answer.contains("ScalingIneffective");
        let said = played.iter().find(says).map(|line| line.time);
        assert!(said.is_some_and(|time| time <= 600.0), "maxReplicas {max}: said at {said:?}");
        let tried = played.iter().position(|line| line.replicas > 5).unwrap();
        let back = played[tried..].iter().find(|line| line.replicas == 5).map(|line| line.time);
        assert!(back.is_some_and(|time| time <= 900.0), "maxReplicas {max}: given back at {back:?}");
    };
    told(&case(CLOSED_LOOPS[6], sentence), "18");
    let folder = folder().join(CLOSED_LOOPS[6]);
    let service = fs::read_to_string(folder.join("service.yaml")).unwrap();
    let changed = tempfile::tempdir().unwrap();
    let file = changed.path().join("service.yaml");
    for max in ["7", "10", "19", "40", "1000"] {
        fs::write(&file, service.replace("maxReplicas: 18", &format!("maxReplicas: {max}"))).unwrap();
        told(&play(&file, &folder.join("input.jsonl")), max);
    }
}

/// What is right for one input of `malformed`.
struct Right {
    name: String,
    /// The service of a line, if it is not the usual one.
    service: Option<String>,
    /// The names of which a refusal has one; `None` if it must not be refused.
    refused: Option<Vec<String>>,
    /// The fewest and the most replicas, and what the answer shows; `None` if it must not be taken.
    taken: Option<(i64, i64, Option<String>)>,
}

/// The names in backquotes.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// A line such as ``- `crlf` (with a.yaml): refused, naming `time`; or taken, and answered with 4 to 6 replicas.``
fn right(line: &str) -> Option<Right> {
    let (head, verdict) = line.strip_prefix("- ")?.split_once(": ")?;
    let service = head.split_once("(with ").map(|(_, file)| file.trim_end_matches(')').to_owned());
    let mut right =
        Right { name: quoted(head).into_iter().next().unwrap(), service, refused: None, taken: None };
    for way in verdict.trim_end_matches('.').split("; or ") {
        if way.starts_with("refused") {
            right.refused = Some(quoted(way));
        } else {
            let way = way.strip_prefix("taken, and answered with ").unwrap_or_else(|| panic!("{line}"));
            let numbers: Vec<i64> =
                way.split('`').next().unwrap().split(' ').filter_map(|word| word.parse().ok()).collect();
            right.taken = Some((numbers[0], *numbers.last().unwrap(), quoted(way).into_iter().next()));
        }
    }
    Some(right)
}

/// What `right.md` says of `specs` or of `lines`, each of which is there.
fn all_right(kind: &str, ending: &str) -> Vec<Right> {
    let folder = folder().join("malformed");
    let text = fs::read_to_string(folder.join("right.md")).unwrap();
    let part = text.split("# ").find(|part| part.starts_with(kind)).unwrap();
    let all: Vec<Right> = part.lines().filter_map(right).collect();
    let entries = fs::read_dir(folder.join(kind)).unwrap().map(|entry| entry.unwrap().path());
    let inputs = entries.filter(|path| path.extension().is_some_and(|found| found == ending));
    let inputs: BTreeSet<_> = inputs.map(|path| path.file_stem().unwrap().to_owned()).collect();
    let named: BTreeSet<OsString> = all.iter().map(|right| right.name.clone().into()).collect();
    assert_eq!(inputs, named, "{kind}");
    all
}

impl Right {
    /// A refusal by one sentence that names the field.
    fn check_refusal(&self, sentence: &str, input: &[u8]) {
        let Self { name, refused, .. } = self;
        let fields = refused.as_ref().unwrap_or_else(|| panic!("{name} is refused: {sentence}"));
        let named = fields.is_empty() || fields.iter().any(|field| sentence.contains(field));
        assert!(named, "{name}: no word of {fields:?}: {sentence}");
        assert!(sentence.chars().count() <= 1000, "{name}: {} bytes: {sentence}", sentence.len());
        assert_eq!(sentence.trim_end().lines().count(), 1, "{name}: {sentence}");
        assert_eq!(jargon(sentence, input), None, "{name}: not a word for a user: {sentence}");
    }

    fn check_answer(&self, answer: &Value) {
        let Self { name, taken, .. } = self;
        let (fewest, most, shown) = taken.as_ref().unwrap_or_else(|| panic!("{name} is taken: {answer}"));
        let replicas = answer["replicas"].as_i64().unwrap();
        assert!((*fewest..=*most).contains(&replicas), "{name}: {replicas} replicas: {answer}");
        let reasons = answer["reasons"].to_string();
        assert!(shown.as_ref().is_none_or(|shown| reasons.contains(shown)), "{name}: {shown:?}: {reasons}");
    }
}

/// The exit code, the answers, and what is said on standard error.
fn answers(service: &Path, input: &[u8]) -> (Option<i32>, Vec<Value>, String) {
    let mut engine = decide(service).spawn().unwrap();
    // A program that refuses the file does not read on.
    let _ = engine.stdin.take().unwrap().write_all(input);
    let output = engine.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let answers = String::from_utf8(output.stdout).unwrap();
    let answers = answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (output.status.code(), answers, said)
}

#[test]
fn each_spec_is_refused_with_its_field_or_decided_on() {
    for right in all_right("specs", "yaml") {
        let file = folder().join("malformed/specs").join(format!("{}.yaml", right.name));
        let line = br#"{"time":0,"replicas":4,"kpis":{"load":35}}"#;
        let (code, answers, said) = answers(&file, line);
        match code {
            Some(0) => {
                assert_eq!((answers.len(), said.as_str()), (1, ""), "{}", right.name);
                right.check_answer(&answers[0]);
            }
            Some(1) => {
                assert!(answers.is_empty(), "{}: {answers:?}", right.name);
                // The name of the file may have the name of the field.
                let prefix = format!("plimsoll: {}: ", file.display());
                let sentence = said.strip_prefix(&prefix).unwrap_or_else(|| panic!("{said}"));
                right.check_refusal(sentence, &fs::read(&file).unwrap());
            }
            other => panic!("{} ends with {other:?}: {said}", right.name),
        }
    }
}

#[test]
fn each_line_is_refused_with_its_field_or_answered_and_so_is_the_next() {
    let good = br#"{"time":60,"replicas":4,"kpis":{"load":35,"lat":0.1,"cpu":0.4}}"#;
    for right in all_right("lines", "jsonl") {
        let folder = folder().join("malformed/lines");
        let service = folder.join(right.service.as_deref().unwrap_or("service.yaml"));
        let mut input = fs::read(folder.join(format!("{}.jsonl", right.name))).unwrap();
        if !input.ends_with(b"\n") {
            input.push(b'\n');
        }
        input.extend(good);
        let (code, answers, said) = answers(&service, &input);
        assert_eq!(said, "", "{}", right.name);
        let [.., answer, next] = answers.as_slice() else { panic!("{}: {answers:?}", right.name) };
        assert!(next["replicas"].is_number(), "{}: the next line gets {next}", right.name);
        match answer["error"].as_str() {
            Some(sentence) => right.check_refusal(sentence, &input),
            None => right.check_answer(answer),
        }
        let refused = answers.iter().any(|answer| answer.get("error").is_some());
        assert_eq!(code, Some(i32::from(refused)), "{}", right.name);
    }
}
