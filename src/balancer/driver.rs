//! The interface between the agent and the balancer, implemented by each driver.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::Path,
};

use tokio::time::Instant;

use super::{
    CertificateChange, DriverError, Epoch, Look, Outcome, Usage, Wanted,
    haproxy::{self, HaProxy},
    nginx::{self, Counters, Nginx},
};
use plimsoll_api::Software;

/// The driver of the balancer in this pod.
#[derive(Debug)]
pub enum Driver {
    /// Controlled through its runtime API.
    HaProxy(HaProxy),
    /// Controlled by reloads.
    Nginx(Nginx),
}

impl Driver {
    /// The driver of `software`, with its files in `folder`, listening on `address`.
    #[must_use]
    pub fn of(software: Software, folder: &Path, address: IpAddr) -> Self {
        match software {
            Software::HAProxy => {
                let paths = haproxy::Paths { listen: address, ..haproxy::Paths::in_folder(folder) };
                Self::HaProxy(HaProxy::new(paths))
            }
            Software::NGINX => {
                let paths = nginx::Paths { listen: address, ..nginx::Paths::in_folder(folder) };
                Self::Nginx(Nginx::supervised(paths))
            }
        }
    }

    /// Name in messages.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.software().into()
    }

    /// The software it drives.
    #[must_use]
    pub fn software(&self) -> Software {
        match self {
            Self::HaProxy(_) => Software::HAProxy,
            Self::Nginx(_) => Software::NGINX,
        }
    }

    /// Passes the listening sockets of a dead HAProxy to the one that starts next, until this future is dropped. NGINX's
    /// master keeps its own sockets.
    pub async fn hand_over(&self) {
        match self {
            Self::HaProxy(driver) => driver.listening().serve().await,
            Self::Nginx(_) => std::future::pending().await,
        }
    }

    /// Identity of the running process.
    ///
    /// # Errors
    /// No process runs, or it does not answer.
    pub async fn epoch(&self) -> Result<Epoch, DriverError> {
        match self {
            Self::HaProxy(driver) => driver.epoch().await,
            Self::Nginx(driver) => driver.epoch().await,
        }
    }

    /// Earliest time of the next change, so that changes are batched. `None` for no wait.
    pub async fn not_before(&self) -> Option<Instant> {
        match self {
            Self::HaProxy(_) => None,
            Self::Nginx(driver) => driver.not_before().await,
        }
    }

    /// Applies `wanted` and reads it back.
    ///
    /// # Errors
    /// The balancer refuses the configuration or does not run. The file is written even when it does not run, so that it
    /// starts with it ([`DriverError::is_down`]).
    pub async fn sync(&self, wanted: &Wanted) -> Result<Outcome, DriverError> {
        match self {
            Self::HaProxy(driver) => Ok(Outcome::of_haproxy(wanted, driver.sync(wanted).await?)),
            Self::Nginx(driver) => driver.sync(wanted).await,
        }
    }

    /// Reads the running state of `wanted`.
    ///
    /// # Errors
    /// The balancer does not run or does not answer.
    pub async fn look(&self, wanted: &Wanted) -> Result<Look, DriverError> {
        match self {
            Self::HaProxy(driver) => Ok(Look::of_haproxy(wanted, &driver.observe().await?)),
            Self::Nginx(driver) => driver.look().await,
        }
    }

    /// Replicas of `wanted` that should get requests, and get none because they fail health checks. Cheaper than
    /// [`Self::look`], since it is called every second. `None` for NGINX, which does not report it.
    ///
    /// # Errors
    /// The balancer does not run or does not answer.
    pub async fn down(&self, wanted: &Wanted) -> Result<Option<BTreeSet<String>>, DriverError> {
        match self {
            Self::HaProxy(driver) => Ok(Some(down(wanted, &driver.servers().await?))),
            Self::Nginx(_) => Ok(None),
        }
    }

    /// Those of `pods` that have no request here and will get none.
    ///
    /// # Errors
    /// The balancer does not run or does not answer.
    pub async fn drained(&self, wanted: &Wanted, pods: &[String]) -> Result<Vec<String>, DriverError> {
        match self {
            Self::HaProxy(driver) => driver.drained(wanted, pods).await,
            Self::Nginx(driver) => driver.drained(pods).await,
        }
    }

    /// Routes clients that a cookie binds to one of `pods` to other replicas. Requests in progress are finished. NGINX binds
    /// no client to a drained replica.
    ///
    /// # Errors
    /// The balancer does not run or does not answer.
    pub async fn unbind(&self, wanted: &Wanted, pods: &BTreeSet<String>) -> Result<(), DriverError> {
        match self {
            Self::HaProxy(driver) => driver.unbind(wanted, pods).await,
            Self::Nginx(_) => Ok(()),
        }
    }

    /// Writes the certificate and key of a Secret of type `kubernetes.io/tls` to `file`, and makes the balancer serve them;
    /// NGINX does so with the next synchronization.
    ///
    /// # Errors
    /// They are not PEM, or the balancer refuses them (for example because the key does not match): then nothing changes.
    pub async fn set_certificate(
        &self,
        file: &Path,
        certificate: &str,
        key: &str,
    ) -> Result<CertificateChange, DriverError> {
        match self {
            Self::HaProxy(driver) => driver.set_certificate(file, certificate, key).await,
            Self::Nginx(driver) => driver.set_certificate(file, certificate, key).await,
        }
    }

    /// Utilization of the capacity.
    ///
    /// # Errors
    /// The balancer does not run or does not answer.
    pub async fn usage(&self) -> Result<Usage, DriverError> {
        match self {
            Self::HaProxy(driver) => driver.usage().await,
            Self::Nginx(driver) => driver.usage().await,
        }
    }

    /// NGINX's counters. `None` for HAProxy, which has its own metrics.
    pub async fn counters(&self) -> Option<Counters> {
        match self {
            Self::HaProxy(_) => None,
            Self::Nginx(driver) => driver.counters().await.ok().flatten(),
        }
    }
}

impl Look {
    fn of_haproxy(wanted: &Wanted, seen: &haproxy::Seen) -> Self {
        let usable = |pod: &String| seen.servers.get(pod).is_some_and(|server| server.usable());
        let ready = wanted.ready().filter(|(pod, _)| usable(pod));
        Self {
            epoch: seen.epoch,
            serving: ready.map(|(pod, _)| pod.clone()).collect(),
            down: down(wanted, &seen.servers),
            held: seen.held(),
        }
    }
}

/// Replicas that would get requests if they passed their health checks.
fn down(wanted: &Wanted, seen: &BTreeMap<String, haproxy::SeenServer>) -> BTreeSet<String> {
    let is_down = |pod: &str| {
        seen.get(pod).is_some_and(|server| !server.up && server.admin == haproxy::AdminState::Ready)
    };
    wanted.ready().map(|(pod, _)| pod).filter(|pod| is_down(pod)).cloned().collect()
}

impl Outcome {
    fn of_haproxy(wanted: &Wanted, report: haproxy::Report) -> Self {
        let collected = |done: &&haproxy::Done| matches!(done.step, haproxy::Step::Delete(_));
        Self {
            look: Look::of_haproxy(wanted, &report.seen),
            in_sync: report.in_sync,
            changes: report.steps.iter().filter(|done| !collected(done)).count(),
            reloaded: report.reloaded,
            pending: !report.pending.is_empty(),
            message: report.message,
        }
    }
}
