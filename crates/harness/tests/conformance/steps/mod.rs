//! The steps, one file for each kind of call.

mod applies;
mod balancer;
mod deletion;
mod discovery;
mod events;
mod gateway;
mod leases;
mod lists;
mod objects;
mod pods;
mod scale;
mod status;
mod watches;

use crate::play::{Play, Transcript};

/// Runs all steps in order.
pub async fn all(mut play: Play) -> Transcript {
    discovery::unserved(&mut play).await;
    gateway::unserved(&mut play).await;
    for definition in discovery::definitions() {
        play.stage().serve(definition).await;
    }
    discovery::served(&mut play).await;
    lists::all(&mut play).await;
    lists::metadata(&mut play).await;
    watches::all(&mut play).await;
    applies::all(&mut play).await;
    scale::all(&mut play).await;
    pods::all(&mut play).await;
    status::all(&mut play).await;
    balancer::all(&mut play).await;
    gateway::served(&mut play).await;
    events::all(&mut play).await;
    leases::all(&mut play).await;
    deletion::all(&mut play).await;
    play.end()
}
