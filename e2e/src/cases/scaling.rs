//! That replicas follow what is asked for, on every kind of target, and by `kubectl`.

mod checkout;
mod rollout;
mod steps;
mod targets;
mod zero;

use super::{Case, Lane};

pub const CASES: &[Case] = &[
    Case {
        name: "scale-steps",
        must: "replicas follow steps, a spike and a fall; the objective holds after 12 s; no request is lost; kubectl tells the truth",
        lane: Lane::Busy,
        run: steps::run,
    },
    Case {
        name: "scale-zero",
        must: "workers go to zero and back, from 0 to all of them with one write, and every job is done",
        lane: Lane::Quiet,
        run: zero::run,
    },
    Case {
        name: "scale-rollout",
        must: "a rollout under full load neither inflates the replicas by its surge nor loses a request",
        lane: Lane::Busy,
        run: rollout::run,
    },
    Case {
        name: "scale-statefulset",
        must: "a StatefulSet follows the load up and down",
        lane: Lane::Quiet,
        run: targets::stateful_set,
    },
    Case {
        name: "scale-custom",
        must: "any resource with /scale follows, once the chart allows it; before, status says what is missing",
        lane: Lane::Quiet,
        run: targets::custom,
    },
    Case {
        name: "scale-kubectl",
        must: "`kubectl scale` sets the floor, and /status and /scale are subresources of their own",
        lane: Lane::Quiet,
        run: targets::kubectl_scale,
    },
];
