//! Specs that every cluster refuses: one sample for each rule of the CRD, in `tests/refused`.
//!
//! The first line of a sample is the answer of the API server, which a test of `crates/harness` checks. The second line is
//! the answer of `plimsoll decide`.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

struct Sample {
    path: PathBuf,
    sentence: String,
}

fn samples() -> Vec<Sample> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/refused");
    let sample = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let mut comments = text.lines().map_while(|line| line.strip_prefix("# "));
        let sentence = comments.nth(1).expect("a sample begins with two comments").to_owned();
        Sample { sentence, path }
    };
    fs::read_dir(folder).unwrap().map(|entry| sample(entry.unwrap().path())).collect()
}

#[test]
fn decide_refuses_each_sample_with_one_sentence() {
    for sample in samples() {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
        command.args(["decide", "-f"]).arg(&sample.path).stdin(Stdio::null());
        let output = command.output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        let shown = sample.path.display();
        assert_eq!(output.status.code(), Some(1), "{shown}: {message}");
        assert_eq!(message.trim().lines().count(), 1, "{shown}: {message}");
        assert!(message.contains(&sample.sentence), "{shown}: {message}");
        assert!(output.stdout.is_empty(), "{shown}");
    }
}
