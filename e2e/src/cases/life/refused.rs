//! Wrong specs: one sample for each rule of the CRD, in `e2e/samples/refused`.
//!
//! The first line of a sample is the message of the API server, the second what `plimsoll decide` says of it.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::cases::Theatre;

struct Sample {
    path: PathBuf,
    /// The rule's message.
    message: String,
    /// Part of the sentence of `plimsoll decide`.
    sentence: String,
}

pub fn run(theatre: &Theatre) -> Result<String> {
    let stage = &theatre.stage;
    let crd = stage.get("", "customresourcedefinition", "scalableservices.plimsoll.dev")?;
    let rules = rules(&crd);
    let samples = samples(theatre)?;
    for message in &rules {
        let count = samples.iter().filter(|sample| sample.message == *message).count();
        ensure!(count == 1, "{count} samples are for the rule {message:?}; there must be one for each");
    }
    ensure!(rules.len() == samples.len(), "{} rules, but {} samples", rules.len(), samples.len());
    for sample in &samples {
        let shown = sample.path.display();
        by_api_server(theatre, sample, &rules).with_context(|| shown.to_string())?;
        by_decide(theatre, sample).with_context(|| shown.to_string())?;
    }
    Ok(format!(
        "{} rules in the CRD, {} samples, each refused by its rule alone and by `decide`",
        rules.len(),
        samples.len()
    ))
}

/// The messages of all CEL rules, wherever they stand in the CRD as the API server has it.
fn rules(crd: &Value) -> Vec<String> {
    let own = crd.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten();
    let own = own.filter_map(|rule| rule.get("message").and_then(Value::as_str)).map(str::to_owned);
    let below: Vec<String> = match crd {
        Value::Object(fields) => fields.values().flat_map(rules).collect(),
        Value::Array(items) => items.iter().flat_map(rules).collect(),
        _ => Vec::new(),
    };
    own.chain(below).collect()
}

fn samples(theatre: &Theatre) -> Result<Vec<Sample>> {
    let folder = theatre.stage.built.workspace.join("e2e/samples/refused");
    let mut samples = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut comments = text.lines().map_while(|line| line.strip_prefix("# "));
        let (Some(message), Some(sentence)) = (comments.next(), comments.next()) else {
            bail!("{} does not begin with two lines of comment", path.display());
        };
        samples.push(Sample { message: message.to_owned(), sentence: sentence.to_owned(), path });
    }
    samples.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(samples)
}

fn by_api_server(theatre: &Theatre, sample: &Sample, rules: &[String]) -> Result<()> {
    let file = sample.path.to_string_lossy();
    let create = ["create", "--namespace=default", "--dry-run=server", "--filename", file.as_ref()];
    let Err(error) = theatre.stage.cluster.kubectl(&create) else {
        bail!("the API server accepts it");
    };
    let said = error.to_string();
    let broken: Vec<_> = rules.iter().filter(|rule| said.contains(&format!(": {rule}"))).collect();
    ensure!(broken == [&sample.message], "the API server named {broken:?}: {said}");
    Ok(())
}

fn by_decide(theatre: &Theatre, sample: &Sample) -> Result<()> {
    let mut command = Command::new(&theatre.stage.built.plimsoll);
    let output =
        command.args(["decide", "-f"]).arg(&sample.path).stdin(std::process::Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(1), "`plimsoll decide` ended with {}: {said}", output.status);
    ensure!(
        said.trim().lines().count() == 1 && said.contains(&sample.sentence) && output.stdout.is_empty(),
        "`plimsoll decide` said: {said}"
    );
    Ok(())
}
