//! The life of the objects and of the release: created, refused, in conflict, held, deleted, left alone.

mod conflict;
mod examples;
mod modes;
mod race;
mod refused;
mod takeover;

use super::Case;

/// The cases `life-*`.
pub const CASES: &[Case] = &[
    Case {
        name: "life-conflict",
        must: "an HPA, an older ScalableService or a ScaledObject keeps its target; nothing is written until it is gone",
        run: conflict::run,
    },
    Case {
        name: "life-race",
        must: "another hand writes the scale all the time: no write is of a decision on replicas that are no more",
        run: race::run,
    },
    Case {
        name: "life-observe",
        must: "mode Observe decides and reports, and writes nothing until the mode is Auto",
        run: modes::observe,
    },
    Case {
        name: "life-paused",
        must: "mode Paused holds the replicas, and writes nothing until the mode is Auto",
        run: modes::paused,
    },
    Case {
        name: "life-takeover",
        must: "taking over keeps the replicas for the window; deleting the object leaves them as they are",
        run: takeover::takeover,
    },
    Case {
        name: "life-reinstall",
        must: "uninstalling keeps objects and replicas; the return neither scales down nor forgets the window",
        run: takeover::reinstall,
    },
    Case {
        name: "life-refused",
        must: "each rule of the CRD refuses its sample with its message, and `plimsoll decide` with one sentence",
        run: refused::run,
    },
    Case { name: "life-examples", must: "every example applies and becomes Ready", run: examples::run },
];
