//! Rules for the sources that the compiler does not check.

use std::{fs, path::Path};

fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push((path.display().to_string(), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(!found.is_empty(), "{folder} has no sources");
    found
}

/// Code without comments and without everything below `#[cfg(test)]`.
fn code(text: &str) -> String {
    let before_tests = text.split("#[cfg(test)]").next().unwrap_or_default();
    before_tests.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Whether `code` names std's `Instant`, by its path or by an import.
fn has_std_instant(code: &str) -> bool {
    let imports = code.split(';').filter(|statement| statement.trim_start().starts_with("use std"));
    let mut words = imports.flat_map(|import| import.split(|c: char| !c.is_alphanumeric() && c != '*'));
    code.contains("std::time::Instant") || words.any(|word| word == "Instant" || word == "*")
}

#[test]
fn std_instant_is_found_in_every_form_of_import() {
    for code in [
        "use std::time::{Duration, Instant};",
        "use std::{\n    sync::Arc,\n    time::{Duration, Instant},\n};",
        "//! Text.\n\nuse std::time::Instant;",
        "use std::time::*;",
        "let began = std::time::Instant::now();",
    ] {
        assert!(has_std_instant(&self::code(code)), "{code}");
    }
    for code in ["use std::time::Duration;\nuse tokio::time::Instant;", "Request::Instant(query)"] {
        assert!(!has_std_instant(code), "{code}");
    }
}

#[test]
fn the_operator_does_not_use_the_system_clock_or_randomness() {
    let modules = ["src/controller", "src/kpi", "src/lease", "src/actuate", "src/telemetry"];
    let banned = [
        "Timestamp::now",
        "Zoned::now",
        "SystemTime",
        "RandomState",
        "rand::",
        "fastrand",
        "Pauses::default",
        "Clock::system",
        "Random::system",
    ];
    // The entry points, which pass the system clock on, and the reader's constructor for its own tests.
    let may_use_the_system = ["src/controller/run.rs", "src/controller/release.rs", "src/kpi/reader.rs"];
    for (path, text) in modules.into_iter().flat_map(sources) {
        // A file of tests, which its parent declares below `#[cfg(test)]`.
        if path.ends_with("/tests.rs") || path.ends_with("/simulation.rs") {
            continue;
        }
        let code = code(&text);
        for word in banned {
            let excepted =
                word.ends_with("::system") && may_use_the_system.iter().any(|file| path.ends_with(file));
            assert!(excepted || !code.contains(word), "{path} has {word}: Clock and Random are passed in");
        }
        assert!(!has_std_instant(&code), "{path} has std's Instant: only tokio's follows a test's time");
    }
}

#[test]
fn nothing_is_unfinished_and_files_stay_short() {
    let folders = ["src", "crates/plimsoll-api/src", "crates/plimsoll-engine/src"];
    for (path, text) in folders.into_iter().flat_map(sources) {
        for word in ["todo!(", "unimplemented!(", "#[ignore"] {
            assert!(!text.contains(word), "{path} has {word}");
        }
        assert!(text.lines().count() <= 450, "{path} has {} lines", text.lines().count());
        assert!(text.contains("//!"), "{path} has no module doc");
    }
}
