//! The main loop of the agent: applies the known state to the balancer, reads it back, and reports it.

use std::{
    collections::BTreeSet,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::{
    sync::watch,
    time::{sleep_until, timeout},
};

use super::{
    authorities::Authorities,
    certificates::Certificates,
    gate::Replicas,
    known::{Copied, Known, KnownCopy, Service},
    probe::Answers,
    setup::{Links, Setup},
    specs::Specs,
};
use crate::balancer::{DriverError, Endpoints, Epoch, Look, Outcome, Standby, Wanted, wanted};
use plimsoll_api::BalancerStatus;

/// How long a change waits for further changes…
const SETTLES: Duration = Duration::from_millis(20);
/// … but no longer than this.
const SETTLES_MAX: Duration = Duration::from_millis(50);
/// How long the start waits for the API server before it uses the copy.
const START: Duration = Duration::from_secs(3);
/// Interval of checking whether the process is still the same, and whether certificates changed.
const BEAT: Duration = Duration::from_millis(500);
/// The same while something is pending: a start of the process, the end of a drain, a first replica.
const BEAT_AWAITED: Duration = Duration::from_millis(100);
/// Interval of reading everything back and comparing it.
const DRIFT: Duration = Duration::from_secs(10);
/// Interval of reading which replicas fail the health checks.
const CHECKS: Duration = Duration::from_secs(1);
/// Interval of deleting servers that could not be deleted before.
const COLLECT: Duration = Duration::from_secs(1);

/// The main loop.
#[derive(Debug)]
pub struct Pilot {
    setup: Setup,
    links: Links,
    certificates: Certificates,
    authorities: Authorities,
    copy: KnownCopy,
    specs: Specs,
    /// The last applied state.
    wanted: Option<Wanted>,
    epoch: Option<Epoch>,
    /// When to synchronise again although nothing changed.
    again: Option<Instant>,
    compared: Instant,
    /// When the failing replicas were last read.
    checked: Instant,
    status: BalancerStatus,
}

/// Why a synchronization runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// The wanted state changed.
    Change,
    /// Another process runs, or the last synchronization left something to do.
    Again,
    /// The periodic comparison.
    Drift,
}

impl Pilot {
    /// The loop, which [`Self::run`] starts.
    #[must_use]
    pub fn new(setup: Setup, links: Links) -> Self {
        let certificates = Certificates::new(&setup.secrets, &setup.folder);
        let authorities = Authorities::new(setup.authorities.clone(), &setup.folder);
        let copy = KnownCopy::at(setup.folder.join("known.json"));
        let status = BalancerStatus { pod: setup.pod.clone(), ..BalancerStatus::default() };
        Self {
            setup,
            links,
            certificates,
            authorities,
            copy,
            specs: Specs::default(),
            wanted: None,
            epoch: None,
            again: None,
            compared: Instant::now(),
            checked: Instant::now(),
            status,
        }
    }

    /// Runs until the channel of changes is closed.
    pub async fn run(mut self) {
        let mut known = self.links.known.subscribe();
        let mut waiting = self.links.waiting.clone();
        let mut answers = self.links.answers.clone();
        self.start(&mut known).await;
        let mut beat = Instant::now();
        loop {
            tokio::select! {
                changed = known.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    // No delay while requests wait for a first replica or for a move to or from a standby.
                    if self.status.held == 0 && !self.must_shift() {
                        settle(&mut known).await;
                    }
                    self.change().await;
                }
                Ok(()) = waiting.changed() => {
                    let held = *waiting.borrow_and_update();
                    self.woken(held).await;
                }
                Ok(()) = answers.changed() => {
                    let Answers { answering, not_answering } = answers.borrow_and_update().clone();
                    (self.status.answering, self.status.not_answering) = (answering, not_answering);
                    self.publish();
                }
                () = sleep_until(beat.into()) => {
                    self.beat().await;
                    beat = Instant::now() + if self.is_awaited() { BEAT_AWAITED } else { BEAT };
                    beat = self.again.map_or(beat, |again| again.max(Instant::now() + SETTLES).min(beat));
                }
            }
        }
    }

    /// Waits for the API server, and if that takes too long, uses the copy of the last known state.
    async fn start(&mut self, known: &mut watch::Receiver<Known>) {
        let copied = self.copy.read();
        // The newest spec may still be refused.
        copied.iter().filter_map(|copied| copied.accepted.clone()).for_each(|spec| self.specs.remember(spec));
        let complete = known.wait_for(|known| known.complete().is_some());
        if timeout(START, complete).await.is_ok() {
            return known.mark_changed();
        }
        let Some(Copied { service, endpoints, .. }) = copied else {
            tracing::warn!(
                "the API server does not answer, and this balancer has no copy of the last known state"
            );
            return;
        };
        tracing::warn!("the API server does not answer; the balancer starts with the last known state");
        self.links.known.send_modify(|known| {
            known.service.get_or_insert(service);
            known.endpoints.get_or_insert(endpoints);
        });
    }

    fn is_awaited(&self) -> bool {
        self.again.is_some_and(|again| again <= Instant::now() + BEAT_AWAITED) || self.must_look()
    }

    /// Whether the counts must be read between two synchronizations.
    fn must_look(&self) -> bool {
        let Some(wanted) = &self.wanted else { return false };
        // A drained pod is in maintenance already, and stays in the list for a while longer.
        let drains = self.draining().iter().any(|pod| !self.status.drained.contains(pod));
        let without = wanted.gate.is_some() && self.status.programmed == 0;
        drains || without || self.status.held > 0
    }

    /// Whether requests are to move to a standby or back.
    fn must_shift(&self) -> bool {
        let known = self.links.known.borrow();
        let standbys = known.service.as_ref().map(|service| &service.standbys);
        self.wanted.as_ref().map(|wanted| &wanted.standbys) != standbys
    }

    /// Pods that must get no new requests: draining or ejected.
    fn draining(&self) -> Vec<String> {
        let known = self.links.known.borrow();
        known.service.as_ref().map(|service| service.draining.keys().cloned().collect()).unwrap_or_default()
    }

    /// Those of them that must not get requests of bound sessions either.
    fn unbound(&self) -> BTreeSet<String> {
        let known = self.links.known.borrow();
        known.service.as_ref().map(|service| service.unbound(Timestamp::now())).unwrap_or_default()
    }

    async fn beat(&mut self) {
        self.setup.health.beat();
        self.copy.keep(&self.links.known.borrow(), self.specs.accepted());
        let service = self.links.known.borrow().service.clone();
        if let Some(service) = service
            && self.follow_secrets(&service).await
        {
            self.specs.try_again();
            self.again = Some(Instant::now());
        }
        let now = Instant::now();
        if self.again.is_some_and(|again| again <= now) || self.is_another_process().await {
            self.sync(Cause::Again).await;
        } else if now.duration_since(self.compared) >= DRIFT {
            self.sync(Cause::Drift).await;
        } else if self.must_look() {
            self.look().await;
        } else if now.duration_since(self.checked) >= CHECKS {
            self.check().await;
        }
    }

    /// Reads which replicas fail the health checks: no event reports that one goes down or comes up again.
    async fn check(&mut self) {
        self.checked = Instant::now();
        let Some(wanted) = self.wanted.take() else { return };
        if wanted.traffic.health_check.is_some()
            && let Ok(Some(down)) = self.setup.driver.down(&wanted).await
            && self.status.down != first(&down)
        {
            // A replica that is down gets no requests: the counts change too.
            match self.setup.driver.look(&wanted).await {
                Ok(look) => self.observed(&wanted, &look),
                Err(_) => self.again = Some(Instant::now()),
            }
            self.publish();
        }
        self.wanted = Some(wanted);
    }

    /// Applies a change now, or later together with further changes if the driver requires a pause.
    async fn change(&mut self) {
        match self.setup.driver.not_before().await {
            Some(due) if due > tokio::time::Instant::now() => self.again = Some(due.into_std()),
            _ => self.sync(Cause::Change).await,
        }
    }

    /// Applies new contents of the Secrets. Returns whether there were any.
    async fn follow_secrets(&mut self, service: &Service) -> bool {
        // The Secrets of the running spec are needed while a newer one is refused.
        let both: Vec<&Service> = std::iter::once(service).chain(self.specs.accepted()).collect();
        let listeners = both.iter().flat_map(|service| &service.traffic.listeners);
        let certificates = self.certificates.follow(&self.setup.driver, listeners).await;
        self.authorities.follow(both.iter().flat_map(|service| &service.standbys)) || certificates
    }

    async fn is_another_process(&self) -> bool {
        match (self.epoch, self.setup.driver.epoch().await) {
            (Some(before), Ok(now)) => before != now,
            (Some(_), Err(_)) => true,
            (None, _) => false, // it was down before, and is synchronised again anyway
        }
    }

    /// The number of requests that the gate holds has changed.
    async fn woken(&mut self, held: u32) {
        if held > 0 && self.status.held == 0 && self.status.programmed == 0 {
            // Reported before the number of queued requests is read: this wakes the service.
            self.status.held = i32::try_from(held).unwrap_or(i32::MAX);
            self.publish();
        }
        self.look().await;
    }

    /// Reads and reports the counts of held requests and the drained pods.
    async fn look(&mut self) {
        let Some(wanted) = self.wanted.take() else { return };
        let draining = self.draining();
        if wanted.traffic.session_persistence.is_some()
            && let Err(error) = self.setup.driver.unbind(&wanted, &self.unbound()).await
        {
            tracing::warn!(%error, "bound sessions can't be moved yet");
        }
        if let Ok(mut drained) = self.setup.driver.drained(&wanted, &draining).await {
            drained.retain(|pod| !self.is_carried(pod));
            self.status.drained = drained;
        }
        match self.setup.driver.look(&wanted).await {
            Ok(look) => self.observed(&wanted, &look),
            Err(_) => self.again = Some(Instant::now()),
        }
        self.wanted = Some(wanted);
        self.publish();
    }

    /// Whether the gate carries a connection to the pod: the balancer does not count it there.
    fn is_carried(&self, pod: &str) -> bool {
        let known = self.links.known.borrow();
        let endpoint = known.endpoints.as_ref().and_then(|endpoints| endpoints.0.get(pod));
        endpoint.is_some_and(|endpoint| self.links.carried.any_to(endpoint.ip))
    }

    /// Applies the wanted state, and reports the result.
    async fn sync(&mut self, cause: Cause) {
        let mut changed = None;
        self.links.known.send_if_modified(|known| {
            changed = known.changed.take();
            false
        });
        let known = self.links.known.borrow().clone();
        let Some((service, endpoints)) = known.complete() else { return };
        self.follow_secrets(service).await;
        self.again = None;
        self.copy.touch();
        let mut specs = std::mem::take(&mut self.specs);
        let endpoints = known.arrived.beside(endpoints);
        let wanted = |spec: &Service| self.wanted_of(spec, service, &endpoints);
        let result = specs.reconcile(&self.setup.driver, service, wanted).await;
        self.specs = specs;
        self.compared = Instant::now();
        match result {
            Ok((wanted, outcome)) => {
                self.synced(cause, &wanted, outcome);
                let shares = wanted.shares().map(|(standby, share)| (standby.name.clone(), share));
                self.setup.metrics.shares(shares);
                if let (Some(changed), true) = (changed, self.status.in_sync) {
                    self.setup.metrics.applied(changed.elapsed());
                }
                self.wanted = Some(wanted);
                if !service.draining.is_empty() {
                    return self.look().await;
                }
                self.status.drained.clear();
            }
            Err(error) => self.failed(&error),
        }
        self.publish();
    }

    fn wanted_of(&self, spec: &Service, now: &Service, endpoints: &Endpoints) -> Wanted {
        let wanted = wanted(
            self.setup.service.clone(),
            spec.generation,
            &spec.traffic,
            endpoints,
            &now.draining.keys().cloned().collect(),
            spec.holds.then_some(self.setup.gate),
            self.certificates.folder(),
        );
        let (balancers, resources) = (now.sharing(&spec.traffic), self.setup.resources);
        let wanted = Wanted { balancers, resources, ..wanted };
        wanted.and_standbys(spec.standbys_as_of(now), self.authorities.files().clone())
    }

    fn synced(&mut self, cause: Cause, wanted: &Wanted, outcome: Outcome) {
        let Outcome { look, in_sync, changes, reloaded, pending, message } = outcome;
        self.setup.metrics.synced(if in_sync { "ok" } else { "difference" });
        if reloaded {
            self.setup.metrics.reloaded();
            self.authorities.forget_old();
        }
        let balancer = self.setup.driver.name();
        if cause == Cause::Drift && changes > 0 {
            tracing::warn!(balancer, changes, "repaired differences from the wanted state");
            self.setup.metrics.repaired(changes);
        }
        if self.epoch.is_some_and(|before| before != look.epoch) && !reloaded {
            tracing::warn!(balancer, pid = look.epoch.pid, changes, "configured a new balancer process");
        }
        self.epoch = Some(look.epoch);
        self.setup.configured.store(true, Ordering::Relaxed);
        let complaint = self.specs.refused().or_else(|| self.certificates.complaint());
        let complaint = complaint.or_else(|| self.authorities.complaint());
        self.status.in_sync = in_sync && complaint.is_none();
        self.status.message = complaint.or(message);
        self.status.observed_generation = Some(wanted.generation);
        if !in_sync {
            self.again = Some(Instant::now() + BEAT);
        } else if pending {
            self.again = Some(Instant::now() + COLLECT);
        }
        self.observed(wanted, &look);
    }

    fn failed(&mut self, error: &DriverError) {
        self.setup.metrics.synced(error.label());
        let balancer = self.setup.driver.name();
        if error.is_down() {
            // No warning before the first start.
            if self.epoch.take().is_some() {
                tracing::warn!(balancer, %error, "the balancer is down; it is configured when it starts");
            }
            self.setup.configured.store(true, Ordering::Relaxed);
        } else {
            tracing::warn!(balancer, %error, "failed to synchronise the balancer");
        }
        self.again = Some(Instant::now() + if error.is_down() { BEAT_AWAITED } else { BEAT });
        self.status.in_sync = false;
        self.status.programmed = 0;
        self.status.down.clear();
        self.status.message = Some(error.to_string());
    }

    fn observed(&mut self, wanted: &Wanted, look: &Look) {
        let addresses = look.addresses(wanted);
        self.status.programmed = i32::try_from(addresses.len()).unwrap_or(i32::MAX);
        // Only the gate knows of requests that are held in a process from before a reload.
        let held = look.held.max(*self.links.waiting.borrow());
        self.status.held = i32::try_from(held).unwrap_or(i32::MAX);
        self.status.down = first(&look.down);
        self.checked = Instant::now();
        let patience = wanted.traffic.limits.queue_timeout.into();
        // Held requests go to standbys too once these get all requests.
        let instead = wanted.instead();
        let addresses = if instead.is_empty() {
            addresses.into_iter().map(|address| (address, None)).collect()
        } else {
            instead.into_iter().flat_map(Standby::places).collect()
        };
        let replicas = Replicas { addresses, patience };
        self.links.replicas.send_if_modified(|before| {
            let changed = *before != replicas;
            *before = replicas;
            changed
        });
    }

    fn publish(&self) {
        self.setup.metrics.observe(&self.status);
        self.links.status.send_if_modified(|before| {
            let changed = *before != self.status;
            if changed {
                before.clone_from(&self.status);
            }
            changed
        });
    }
}

/// As many names as the status may contain.
fn first(names: &BTreeSet<String>) -> Vec<String> {
    names.iter().take(BalancerStatus::DOWN_MAX).cloned().collect()
}

/// Waits until nothing more changes for a moment.
async fn settle(known: &mut watch::Receiver<Known>) {
    let last = Instant::now() + SETTLES_MAX;
    loop {
        let until = (Instant::now() + SETTLES).min(last);
        match timeout(until.saturating_duration_since(Instant::now()), known.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}
