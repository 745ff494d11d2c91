//! The controller for the writers: its client, and the lease that permits writes.

use std::{ops::Deref, time::Duration};

use jiff::Timestamp;
use kube::Client;
use plimsoll::{
    clock::Clock,
    lease::{Leader, Permit},
};
use plimsoll_harness::{apiserver::ApiServer, election::lead};

/// A client of the server under test, on behalf of a leader.
#[derive(Clone)]
pub struct Controller {
    client: Client,
    leader: Leader,
}

impl Controller {
    /// Holds a lease on a separate server, so that the requests for the lease are not compared.
    pub async fn lead(client: Client) -> Self {
        let leases = ApiServer::new(Timestamp::now);
        let leader = lead(&leases, Clock::system()).await;
        Self { client, leader }
    }

    pub fn permit(&self) -> Permit {
        self.leader.permit(Duration::from_secs(60))
    }
}

impl Deref for Controller {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}
