//! Applying objects, and uninstalling the release.

mod examples;
mod reinstall;

use super::{Case, Lane};

pub const CASES: &[Case] = &[
    Case {
        name: "life-reinstall",
        must: "uninstalling keeps objects and replicas; a reinstall does not scale down before the end of the window",
        lane: Lane::Alone,
        run: reinstall::run,
    },
    Case {
        name: "life-examples",
        must: "every example applies and becomes Ready",
        lane: Lane::Quiet,
        run: examples::run,
    },
];
