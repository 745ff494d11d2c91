//! Sends a candidate's requests to the API server and publishes the leadership.

use std::{future::Future, pin::pin, time::Duration};

use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};
use tracing::{info, warn};

use super::{Answer, Candidate, Leader, Leadership, LeaseParams, Step};
use crate::{clock::Clock, random::Random};

/// The lease, and the identity of this process.
#[derive(Clone, Debug)]
pub struct LeaseConfig {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// Identity of this process as a holder; unique for every process, as from [`identity`].
    pub identity: String,
    /// Its durations.
    pub params: LeaseParams,
}

/// A unique identity for this process. A restarted container of the same pod gets a different one.
#[must_use]
pub fn identity(pod_name: &str, random: &Random) -> String {
    format!("{pod_name}_{:016x}{:016x}", random.number(), random.number())
}

/// An elector for `config`'s lease, and its leadership for the rest of the process. Nothing is sent before
/// [`Elector::run`].
#[must_use]
pub fn elect(client: Client, config: LeaseConfig, clock: Clock, random: Random) -> (Elector, Leader) {
    let (state, seen_state) = watch::channel(Leadership::Following { holder: None });
    let (until, seen_until) = watch::channel(None);
    let candidate = Candidate::new(config.identity.clone(), config.params.clone());
    let requests = Requests { api: Api::namespaced(client, &config.namespace), config, random };
    let published = Published { state, until };
    let elector = Elector { requests, candidate, clock, start: Instant::now(), published, trouble: None };
    (elector, Leader { state: seen_state, until: seen_until })
}

/// Takes part in the election of a leader.
#[derive(Debug)]
pub struct Elector {
    requests: Requests,
    candidate: Candidate,
    clock: Clock,
    start: Instant,
    published: Published,
    /// The last logged failure, so that repetitions are not logged.
    trouble: Option<String>,
}

impl Elector {
    /// Runs until `shutdown` and then releases the lease, within the time limit of one request. All work that only the leader
    /// may do must end before `shutdown`, since the next leader starts immediately.
    ///
    /// If dropped before its end, it publishes that it follows, and the lease expires.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        loop {
            let sent = self.start.elapsed();
            let step = self.candidate.step(sent, self.clock.now());
            self.published.update(&self.candidate, self.start);
            let outcome = {
                let mut outcome = pin!(self.requests.perform(&step));
                loop {
                    tokio::select! {
                        biased;
                        () = &mut shutdown => break None,
                        // A request that hangs must not keep this process leading.
                        () = at(self.published.leads_until()) => {
                            self.published.update(&self.candidate, self.start);
                        }
                        outcome = &mut outcome => break Some(outcome),
                    }
                }
            };
            match outcome {
                Some(outcome) => self.take(outcome, sent),
                None => {
                    self.candidate.leave(&step);
                    break;
                }
            }
        }
        self.published.update(&self.candidate, self.start);
        self.release().await;
    }

    async fn release(mut self) {
        let limit = self.requests.config.params.request_timeout();
        let name = self.requests.config.name.clone();
        let releasing = async {
            loop {
                let sent = self.start.elapsed();
                let step = self.candidate.step(sent, self.clock.now());
                if step == Step::Done {
                    break;
                }
                let outcome = self.requests.perform(&step).await;
                self.take(outcome, sent);
            }
        };
        if timeout(limit, releasing).await.is_err() {
            warn!(
                lease = name,
                "the lease could not be released within {limit:?}; the next leader waits until it expires"
            );
        }
    }

    fn take(&mut self, outcome: Result<Answer, LeaseError>, sent: Duration) {
        let answer = match outcome {
            Ok(answer) => {
                if !matches!(answer, Answer::Waited) {
                    self.trouble = None;
                }
                answer
            }
            Err(error) => {
                let trouble = error.to_string();
                if self.trouble.as_ref() != Some(&trouble) {
                    warn!(lease = self.requests.config.name, "{trouble}");
                    self.trouble = Some(trouble);
                }
                Answer::Failed
            }
        };
        self.candidate.answer(answer, sent, self.start.elapsed(), self.clock.now());
    }
}

/// Why a request had no usable answer.
#[derive(Debug, thiserror::Error)]
enum LeaseError {
    #[error("the API server did not answer a request for the lease {lease} within {after:?}")]
    Timeout { lease: String, after: Duration },
    #[error("the lease {lease} can't be read or written: {source}")]
    Api { lease: String, source: Box<kube::Error> },
}

#[derive(Debug)]
struct Requests {
    api: Api<Lease>,
    config: LeaseConfig,
    random: Random,
}

impl Requests {
    async fn perform(&self, step: &Step) -> Result<Answer, LeaseError> {
        if let Step::Wait(longest) = step {
            sleep((*longest).min(jittered(self.config.params.retry_period(), &self.random))).await;
            return Ok(Answer::Waited);
        }
        let lease = || format!("{}/{}", self.config.namespace, self.config.name);
        let after = self.config.params.request_timeout();
        match timeout(after, self.send(step)).await {
            Err(_) => Err(LeaseError::Timeout { lease: lease(), after }),
            Ok(Err(source)) => Err(LeaseError::Api { lease: lease(), source: Box::new(source) }),
            Ok(Ok(answer)) => Ok(answer),
        }
    }

    async fn send(&self, step: &Step) -> kube::Result<Answer> {
        let name = self.config.name.as_str();
        let written = match step {
            Step::Wait(_) | Step::Done => return Ok(Answer::Waited),
            Step::Read => return Ok(Answer::Read(self.api.get_opt(name).await?.map(Box::new))),
            Step::Create(lease) => {
                let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
                let lease = Lease { metadata, spec: lease.spec.clone() };
                self.api.create(&PostParams::default(), &lease).await
            }
            Step::Replace(lease) => self.api.replace(name, &PostParams::default(), lease).await,
        };
        match written {
            Ok(lease) => Ok(Answer::Written(Box::new(lease))),
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => {
                Ok(Answer::Conflict)
            }
            // The lease was deleted since it was read. A missing namespace is reported by the next create.
            Err(kube::Error::Api(status)) if status.is_not_found() && matches!(step, Step::Replace(_)) => {
                Ok(Answer::Conflict)
            }
            Err(error) => Err(error),
        }
    }
}

/// The sending ends of [`Leader`]'s channels.
#[derive(Debug)]
struct Published {
    state: watch::Sender<Leadership>,
    until: watch::Sender<Option<Instant>>,
}

impl Published {
    /// Publishes the candidate's current leadership.
    fn update(&self, candidate: &Candidate, start: Instant) {
        let state = candidate.leadership(start.elapsed());
        let until = candidate.leads_until().filter(|_| state.is_leading()).map(|until| start + until);
        self.until.send_replace(until);
        self.state.send_if_modified(|last| {
            let changed = *last != state;
            if changed {
                match &state {
                    Leadership::Leading { transitions, .. } => info!(transitions, "this process leads"),
                    Leadership::Following { holder } => info!(holder, "this process follows"),
                }
                *last = state;
            }
            changed
        });
    }

    fn leads_until(&self) -> Option<Instant> {
        *self.until.borrow()
    }
}

impl Drop for Published {
    /// Remaining receivers must not act as the leader any more.
    fn drop(&mut self) {
        self.until.send_replace(None);
        self.state.send_replace(Leadership::Following { holder: None });
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// 80 to 100 % of `period`, so that the candidates' requests are not synchronized.
fn jittered(period: Duration, random: &Random) -> Duration {
    let share = u32::try_from(random.number() % 201).unwrap_or(0);
    period * (800 + share) / 1000
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn identities_are_unique_and_begin_with_the_pod_name() {
        let random = Random::system();
        let identities: BTreeSet<String> = (0..100).map(|_| identity("plimsoll-0", &random)).collect();
        assert_eq!(identities.len(), 100);
        assert!(
            identities.iter().all(|identity| identity.starts_with("plimsoll-0_") && identity.len() == 43)
        );
    }

    #[test]
    fn a_jittered_pause_is_never_longer_than_the_period() {
        let (period, random) = (Duration::from_secs(2), Random::system());
        let waits: BTreeSet<Duration> = (0..200).map(|_| jittered(period, &random)).collect();
        assert!(waits.iter().all(|wait| (period * 4 / 5..=period).contains(wait)), "{waits:?}");
        assert!(waits.len() > 50, "{waits:?}");
    }
}
