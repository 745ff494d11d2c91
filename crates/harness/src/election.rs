//! A leader without an operator, for tests of single writers.

use std::future::pending;

use plimsoll::{
    clock::Clock,
    lease::{Leader, Leadership, LeaseConfig, LeaseParams, elect, identity},
    random::Random,
};

use crate::apiserver::ApiServer;

/// Holds a Lease on `server` until the runtime ends.
///
/// # Panics
/// If the election ends.
pub async fn lead(server: &ApiServer, clock: Clock) -> Leader {
    let random = Random::new(|| 0);
    let config = LeaseConfig {
        namespace: "default".to_owned(),
        name: "plimsoll".to_owned(),
        identity: identity("plimsoll-0", &random),
        params: LeaseParams::default(),
    };
    let (elector, leader) = elect(server.client("plimsoll-0"), config, clock, random);
    tokio::spawn(elector.run(pending()));
    leader.leadership().wait_for(Leadership::is_leading).await.expect("the election goes on");
    leader
}
