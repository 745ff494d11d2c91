//! Specs that every cluster refuses: one sample for each rule of the CRDs, in `tests/refused`.
//!
//! The first line of a sample is the answer of the API server, which a test of `crates/harness` checks. The second line is
//! the answer of `plimsoll decide` to a ScalableService, and the error of the validation for a CapacityBudget.
//!
//! A sample with a file of the same name in `tests/refused/before` is an update of that object, and has no second line: as a new
//! object it would be accepted.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use plimsoll_api::{CapacityBudget, Invalid, ValidBudget};

struct Sample {
    path: PathBuf,
    text: String,
}

impl Sample {
    fn read(path: PathBuf) -> Self {
        Self { text: fs::read_to_string(&path).unwrap(), path }
    }

    fn sentence(&self) -> &str {
        let mut comments = self.text.lines().map_while(|line| line.strip_prefix("# "));
        comments.nth(1).unwrap_or_else(|| panic!("{}: must begin with two comments", self.path.display()))
    }

    fn is_budget(&self) -> bool {
        self.text.lines().any(|line| line == "kind: CapacityBudget")
    }

    fn budget(&self) -> Result<ValidBudget, Invalid> {
        let budget: CapacityBudget = serde_saphyr::from_str(&self.text).unwrap();
        ValidBudget::of(&budget)
    }

    /// The object that the sample is an update of.
    fn before(&self) -> Option<Self> {
        let (folder, name) = (self.path.parent().unwrap(), self.path.file_name().unwrap());
        Some(folder.join("before").join(name)).filter(|path| path.exists()).map(Self::read)
    }
}

fn samples() -> impl Iterator<Item = Sample> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/refused");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.is_file()).map(Sample::read)
}

#[test]
fn decide_refuses_each_service_with_one_sentence() {
    for sample in samples().filter(|sample| !sample.is_budget()) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
        command.args(["decide", "-f"]).arg(&sample.path).stdin(Stdio::null());
        let output = command.output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        let shown = sample.path.display();
        assert_eq!(output.status.code(), Some(1), "{shown}: {message}");
        assert_eq!(message.trim().lines().count(), 1, "{shown}: {message}");
        assert!(message.contains(sample.sentence()), "{shown}: {message}");
        assert!(output.stdout.is_empty(), "{shown}");
    }
}

#[test]
fn each_budget_is_refused_with_one_sentence_or_only_as_an_update() {
    for sample in samples().filter(Sample::is_budget) {
        let shown = sample.path.display();
        match (sample.before(), sample.budget()) {
            (None, Err(invalid)) => {
                assert_eq!(invalid.0.len(), 1, "{shown}: {invalid}");
                assert!(invalid.to_string().contains(sample.sentence()), "{shown}: {invalid}");
            }
            (None, Ok(_)) => panic!("{shown} is accepted"),
            (Some(before), budget) => {
                assert!(budget.is_ok() && before.budget().is_ok(), "{shown}: both objects must be valid");
            }
        }
    }
}
