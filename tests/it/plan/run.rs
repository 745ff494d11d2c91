//! Runs `plimsoll plan` on a directory of manifests.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

/// What the program wrote.
pub struct Answers {
    pub lines: Vec<Value>,
    pub errors: String,
    pub code: Option<i32>,
}

/// Runs it on one file with these manifests.
pub fn plan(manifests: &str, lines: &str) -> Answers {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("all.yaml"), manifests).unwrap();
    plan_in(folder.path(), lines)
}

/// Runs it on a file or directory.
pub fn plan_in(path: &Path, lines: &str) -> Answers {
    let mut child = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .args(["plan", "-f"])
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let lines = lines.to_owned();
    // A program that refuses the files stops reading; one that answers must not wait for the end of the input.
    let writer = std::thread::spawn(move || drop(input.write_all(lines.as_bytes())));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let answers = String::from_utf8(output.stdout).unwrap();
    Answers {
        lines: answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
        errors: String::from_utf8(output.stderr).unwrap(),
        code: output.status.code(),
    }
}
