//! No request is lost to a change that Plimsoll makes, or to a crash of one of its components. Each case has a control
//! that loses some.

mod certificate;
mod documented;
mod drain;
mod endpoints;
pub mod flow;
pub mod front;
mod gateway;
mod killed;
mod nginx;
mod objects;
mod priorities;
mod rollout;
mod sticky;
mod streams;
mod waves;
mod zero;

use super::{Case, Lane};

pub const CASES: &[Case] = &[
    Case {
        name: "traffic-drain",
        must: "half of the replicas removed with 1 s requests in flight: none lost; without draining, some are",
        lane: Lane::Busy,
        run: drain::run,
    },
    Case {
        name: "traffic-zero",
        must: "1,000 simultaneous requests wake a service from zero, twice: none lost on kept and fresh connections, first \
               answer within 1 s of readiness, and of the faster start within 300 ms",
        lane: Lane::Busy,
        run: zero::run,
    },
    Case {
        name: "traffic-endpoints",
        must: "4 -> 20 -> 4 replicas twice under load: none lost, no reload",
        lane: Lane::Busy,
        run: endpoints::run,
    },
    Case {
        name: "traffic-rollout",
        must: "rollouts of the shop and of its balancers under load: none lost",
        lane: Lane::Busy,
        run: rollout::run,
    },
    Case {
        name: "traffic-certificate",
        must: "certificate replaced under TLS load: none lost, the new one served within 2 s of the file's change",
        lane: Lane::Busy,
        run: certificate::run,
    },
    Case {
        name: "traffic-objects",
        must: "spec.traffic removed: the balancers' objects are deleted, the replicas stay; foreign objects are not changed",
        lane: Lane::Quiet,
        run: objects::run,
    },
    Case {
        name: "traffic-sticky",
        must: "each client with a cookie stays on its replica until that is removed, through 10 -> 20 -> 10",
        lane: Lane::Busy,
        run: sticky::run,
    },
    Case {
        name: "traffic-priorities",
        must: "at 150 % of the capacity every essential request is served within 500 ms",
        lane: Lane::Busy,
        run: priorities::run,
    },
    Case {
        name: "traffic-streams",
        must: "200 streams: none cut by a configuration change, or by a scale-down before drain.timeout",
        lane: Lane::Quiet,
        run: streams::run,
    },
    Case {
        name: "traffic-nginx",
        must: "behind NGINX, replicas change ten times under load: none lost on fresh connections; without draining, some are",
        lane: Lane::Busy,
        run: nginx::run,
    },
    Case {
        name: "traffic-gateway",
        must: "requests follow the weights of one rule of an HTTPRoute, none lost; the rest of it is untouched, false \
               status is not trusted, conflicting writers are not raced",
        lane: Lane::Quiet,
        run: gateway::run,
    },
    Case {
        name: "traffic-killed",
        must: "agent, controllers and API server killed under load: none lost; one HAProxy of two: only its connections",
        lane: Lane::Alone,
        run: killed::run,
    },
    Case {
        name: "traffic-waves",
        must: "an upgrade rolls out the balancers of six services under load, two at a time and the least critical first: none \
               lost; without the limit more are rolled out at a time",
        lane: Lane::Alone,
        run: waves::run,
    },
];

/// Realistic sizes: the cases `long-*`, which run only by name.
pub const LONG: &[Case] = &[
    Case {
        name: "long-endpoints",
        must: "10 -> 100 -> 10 replicas twice under load: none lost, no reload",
        lane: Lane::Busy,
        run: endpoints::a_hundred,
    },
    Case {
        name: "long-api",
        must: "API server down for 60 s under load: none lost, and a later change of the load is applied",
        lane: Lane::Alone,
        run: killed::a_minute,
    },
];
