//! Replicas follow the load, on every kind of target, and `kubectl scale`.

mod checkout;
mod rollout;
mod steps;
mod targets;
mod zero;

use super::{Case, Lane};

pub const CASES: &[Case] = &[
    Case {
        name: "scale-steps",
        must: "replicas follow steps, a spike and a fall; objective met 12 s after each rise; none lost; kubectl shows it all",
        lane: Lane::Busy,
        run: steps::run,
    },
    Case {
        name: "scale-zero",
        must: "workers scale to zero and back, from 0 to all of them in one write, and every job is done",
        lane: Lane::Quiet,
        run: zero::run,
    },
    Case {
        name: "scale-rollout",
        must: "a rollout under full load loses no request, and its surge pods do not raise the replicas",
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
        must: "any resource with /scale is scaled once the chart allows it; before that, status reports what is missing",
        lane: Lane::Quiet,
        run: targets::custom,
    },
    Case {
        name: "scale-kubectl",
        must: "`kubectl scale` sets minReplicas, and /status and /scale are separate subresources",
        lane: Lane::Quiet,
        run: targets::kubectl_scale,
    },
];
