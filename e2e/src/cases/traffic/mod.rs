//! That no request is lost to a change that Plimsoll makes, nor to the end of a part of it. Each case has a control
//! that does lose some.

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
        must: "half of the replicas go with 1 s requests in flight, and none is lost; lowered at once, some are",
        lane: Lane::Busy,
        run: drain::run,
    },
    Case {
        name: "traffic-zero",
        must: "1,000 requests at once wake a service from zero, twice: none lost on kept and fresh connections, the first \
               answer within 300 ms of readiness",
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
        must: "the certificate is replaced under TLS load: none lost, the new one served within 2 s of the file's change",
        lane: Lane::Busy,
        run: certificate::run,
    },
    Case {
        name: "traffic-objects",
        must: "spec.traffic taken away: nothing is left of the balancers, the replicas stay; what is somebody else's is left alone",
        lane: Lane::Quiet,
        run: objects::run,
    },
    Case {
        name: "traffic-sticky",
        must: "each client with a cookie stays on its replica while that lives, through 10 -> 20 -> 10",
        lane: Lane::Busy,
        run: sticky::run,
    },
    Case {
        name: "traffic-priorities",
        must: "at one and a half times the capacity every essential request is served within 500 ms",
        lane: Lane::Busy,
        run: priorities::run,
    },
    Case {
        name: "traffic-streams",
        must: "200 streams: none cut by a change of the configuration, nor by a scale-down before drain.timeout",
        lane: Lane::Quiet,
        run: streams::run,
    },
    Case {
        name: "traffic-nginx",
        must: "behind NGINX, replicas change ten times under load: none lost on fresh connections; lowered at once, some are",
        lane: Lane::Busy,
        run: nginx::run,
    },
    Case {
        name: "traffic-gateway",
        must: "requests follow the weights of one rule of an HTTPRoute, none lost; all else of it is untouched, no lie is \
               believed, nobody is raced",
        lane: Lane::Quiet,
        run: gateway::run,
    },
    Case {
        name: "traffic-killed",
        must: "agent, controllers and API server die under load: none lost; one HAProxy of two: only what it had",
        lane: Lane::Alone,
        run: killed::run,
    },
    Case {
        name: "traffic-waves",
        must: "an upgrade rolls out the balancers of six services under load, two at a time and the least critical first: none \
               lost; without a limit it rolls out more at the same time",
        lane: Lane::Alone,
        run: waves::run,
    },
];

/// The same as large as a user may have it: the cases `long-*`, which run only by their names.
pub const LONG: &[Case] = &[
    Case {
        name: "long-endpoints",
        must: "10 -> 100 -> 10 replicas twice under load: none lost, no reload",
        lane: Lane::Busy,
        run: endpoints::a_hundred,
    },
    Case {
        name: "long-api",
        must: "the API server is away for 60 s under load: none lost, and what is asked when it is back is done",
        lane: Lane::Alone,
        run: killed::a_minute,
    },
];
