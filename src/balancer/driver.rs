//! The seam between the agent and what balances: what is asked of each driver, whatever it has to do for it.

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

/// What balances on this machine.
#[derive(Debug)]
pub enum Driver {
    /// Driven through its runtime API.
    HaProxy(HaProxy),
    /// Driven by reloads.
    Nginx(Nginx),
}

impl Driver {
    /// The one of `software` with its files in `folder`, listening on `address`.
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

    /// As it is called in messages.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.software().into()
    }

    /// Which it is.
    #[must_use]
    pub fn software(&self) -> Software {
        match self {
            Self::HaProxy(_) => Software::HAProxy,
            Self::Nginx(_) => Software::NGINX,
        }
    }

    /// Hands a HAProxy that starts the listening sockets of the one that died, until it is dropped; NGINX's master keeps
    /// its own.
    pub async fn hand_over(&self) {
        match self {
            Self::HaProxy(driver) => driver.listening().serve().await,
            Self::Nginx(_) => std::future::pending().await,
        }
    }

    /// Which process runs.
    ///
    /// # Errors
    /// None does.
    pub async fn epoch(&self) -> Result<Epoch, DriverError> {
        match self {
            Self::HaProxy(driver) => driver.epoch().await,
            Self::Nginx(driver) => driver.epoch().await,
        }
    }

    /// Before this moment a change has to wait, so that those to come are taken together; `None` for no wait at all.
    pub async fn not_before(&self) -> Option<Instant> {
        match self {
            Self::HaProxy(_) => None,
            Self::Nginx(driver) => driver.not_before().await,
        }
    }

    /// Brings `wanted` about and reads it back.
    ///
    /// # Errors
    /// It is refused, or nothing runs. The file is in place even when nothing runs, so that it starts with it
    /// ([`DriverError::is_down`]).
    pub async fn sync(&self, wanted: &Wanted) -> Result<Outcome, DriverError> {
        match self {
            Self::HaProxy(driver) => Ok(Outcome::of_haproxy(wanted, driver.sync(wanted).await?)),
            Self::Nginx(driver) => driver.sync(wanted).await,
        }
    }

    /// What runs, of `wanted`.
    ///
    /// # Errors
    /// Nothing does, or it does not answer.
    pub async fn look(&self, wanted: &Wanted) -> Result<Look, DriverError> {
        match self {
            Self::HaProxy(driver) => Ok(Look::of_haproxy(wanted, &driver.observe().await?)),
            Self::Nginx(driver) => driver.look().await,
        }
    }

    /// Replicas of `wanted` that should get requests, and get none since they fail its checks: cheaper than a look, for
    /// something that is asked every second. `None` of NGINX, which keeps that to itself.
    ///
    /// # Errors
    /// Nothing runs, or it does not answer.
    pub async fn down(&self, wanted: &Wanted) -> Result<Option<BTreeSet<String>>, DriverError> {
        match self {
            Self::HaProxy(driver) => Ok(Some(down(wanted, &driver.servers().await?))),
            Self::Nginx(_) => Ok(None),
        }
    }

    /// Which of `pods` have no request here and will get none.
    ///
    /// # Errors
    /// Nothing runs, or it does not answer.
    pub async fn drained(&self, wanted: &Wanted, pods: &[String]) -> Result<Vec<String>, DriverError> {
        match self {
            Self::HaProxy(driver) => driver.drained(wanted, pods).await,
            Self::Nginx(driver) => driver.drained(pods).await,
        }
    }

    /// Sends whoever is bound to one of `pods` by a cookie elsewhere, and finishes what they have; NGINX binds nobody to one
    /// that is drained.
    ///
    /// # Errors
    /// Nothing runs, or it does not answer.
    pub async fn unbind(&self, wanted: &Wanted, pods: &BTreeSet<String>) -> Result<(), DriverError> {
        match self {
            Self::HaProxy(driver) => driver.unbind(wanted, pods).await,
            Self::Nginx(_) => Ok(()),
        }
    }

    /// Puts the certificate and key of a Secret of type `kubernetes.io/tls` into `file`, and has it served, by NGINX
    /// with the next synchronisation.
    ///
    /// # Errors
    /// They are no PEM, or are refused (the key may be another certificate's): then all stays as it was.
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

    /// How much of what it can take is in use.
    ///
    /// # Errors
    /// Nothing runs, or it does not answer.
    pub async fn usage(&self) -> Result<Usage, DriverError> {
        match self {
            Self::HaProxy(driver) => driver.usage().await,
            Self::Nginx(driver) => driver.usage().await,
        }
    }

    /// What NGINX counts; HAProxy has metrics of its own.
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

/// Who should get requests and would, if its checks did not find it unfit.
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
