//! The published scenarios of lost nodes (`tests/phoenix`), converted into manifests and lines, planned and scored.

mod convert;
mod scenario;
mod score;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use self::{
    convert::{lines, manifests},
    scenario::Scenario,
    score::{Score, on, score},
};
use super::run::plan;

/// Mean scores of one scenario by the lost fraction of the nodes, in percent.
fn means(scenario: &Scenario) -> BTreeMap<u32, Score> {
    let answers = plan(&manifests(scenario), &lines(scenario));
    assert_eq!(answers.code, Some(0), "{}", answers.errors);
    assert_eq!(answers.lines.len(), scenario.failures.len());
    let mut scores: BTreeMap<u32, Vec<Score>> = BTreeMap::new();
    for (failure, answer) in scenario.failures.iter().zip(&answers.lines) {
        let on = on(scenario, answer);
        assert!(
            score::fits(scenario, failure, &on),
            "{} {}: no placement for {on:?}",
            scenario.name,
            failure.name
        );
        scores.entry((failure.fraction * 100.0).round() as u32).or_default().push(score(scenario, &on));
    }
    scores.into_iter().map(|(percent, scores)| (percent, Score::mean(&scores))).collect()
}

fn read(path: &Path) -> Scenario {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn published(name: &str) -> Scenario {
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/phoenix").join(name))
}

/// Asserts a mean score, to three digits.
#[track_caller]
fn assert_score(means: &BTreeMap<u32, Score>, percent: u32, availability: f64, revenue: f64) {
    let Score { availability: a, revenue: r } = means[&percent];
    assert!(a >= availability - 5e-4, "{percent} % lost: availability {a} is below {availability}");
    assert!(r >= revenue - 5e-4, "{percent} % lost: revenue {r} is below {revenue}");
}

/// The published planners' best availability with lost nodes is 1, 1, .76 and .20, and their revenue with it 1, .997, .724 and
/// .129.
#[test]
fn more_applications_are_available_than_with_the_published_planners() {
    let means = means(&published("cloudlab.json"));
    println!("{means:#?}");
    assert_score(&means, 10, 1.0, 1.0);
    assert_score(&means, 30, 1.0, 1.0);
    assert_score(&means, 50, 1.0, 0.997);
    assert_score(&means, 70, 0.8, 0.84);
    assert_score(&means, 90, 0.4, 0.32);
}

#[test]
fn with_more_nodes_than_needed_nothing_is_off() {
    let means = means(&published("cloudlab-25x8.json"));
    println!("{means:#?}");
    for percent in [10, 30, 50, 70] {
        assert_score(&means, percent, 1.0, 1.0);
    }
    assert_score(&means, 90, 0.6, 0.46);
}

/// Scenarios of the same form in the directory `PLIMSOLL_PHOENIX`: prints their scores.
#[test]
fn other_scenarios_have_a_placement() {
    let Some(folder) = std::env::var_os("PLIMSOLL_PHOENIX") else { return };
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "json")) {
        println!("{}: {:#?}", path.display(), means(&read(path)));
    }
}
