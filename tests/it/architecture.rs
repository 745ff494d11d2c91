//! The rules of the house that the compiler does not know.

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

/// Code without comments and without what stands below `#[cfg(test)]`.
fn code(text: &str) -> String {
    let before_tests = text.split("#[cfg(test)]").next().unwrap_or_default();
    before_tests.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_engine_knows_no_client_no_clock_no_runtime_and_no_environment() {
    let banned = [
        "kube::",
        "tokio",
        "reqwest",
        "tracing",
        "std::env",
        "std::fs",
        "std::net",
        "std::process",
        "std::thread",
        "Instant",
        "SystemTime",
        "Timestamp::now",
        "Zoned::now",
        "rand::",
        "println!",
        "eprintln!",
        "crate::kpi",
        "crate::controller",
        "crate::actuate",
        "crate::cli",
        "crate::telemetry",
    ];
    for (path, text) in sources("src/engine") {
        for word in banned {
            assert!(!code(&text).contains(word), "{path} has {word}: the engine is pure");
        }
    }
}

#[test]
fn the_resource_types_know_no_client() {
    for (path, text) in sources("src/api") {
        for word in
            ["Client", "tokio", "reqwest", "std::env", "Timestamp::now", "crate::kpi", "crate::controller"]
        {
            assert!(!code(&text).contains(word), "{path} has {word}: api is data");
        }
    }
}

#[test]
fn nothing_is_left_unfinished_and_files_stay_readable() {
    for (path, text) in sources("src") {
        for word in ["todo!(", "unimplemented!(", "#[ignore"] {
            assert!(!text.contains(word), "{path} has {word}");
        }
        assert!(text.lines().count() <= 450, "{path} has {} lines", text.lines().count());
        assert!(text.contains("//!"), "{path} does not say what it is for");
    }
}
