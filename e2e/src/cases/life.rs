//! The life of the objects and of the release: applied, uninstalled.

mod examples;
mod reinstall;

use super::{Case, Lane};

pub const CASES: &[Case] = &[
    Case {
        name: "life-reinstall",
        must: "uninstalling keeps objects and replicas; the return neither scales down nor forgets the window",
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
