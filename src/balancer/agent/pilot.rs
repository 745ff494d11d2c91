//! The loop of the agent: what is known, brought about, read back, told.

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

/// A change waits this long for the next one…
const SETTLES: Duration = Duration::from_millis(20);
/// … but no longer than this.
const SETTLES_MAX: Duration = Duration::from_millis(50);
/// How long a start waits for the API server before it takes the copy.
const START: Duration = Duration::from_secs(3);
/// How often is looked whether the process is still the same, and whether certificates changed.
const BEAT: Duration = Duration::from_millis(500);
/// The same while something is awaited: the process itself, the end of a drain, a first replica.
const BEAT_AWAITED: Duration = Duration::from_millis(100);
/// How often everything is read back and compared.
const DRIFT: Duration = Duration::from_secs(10);
/// How often is asked which replicas fail the checks.
const CHECKS: Duration = Duration::from_secs(1);
/// How often servers are collected that could not be deleted yet.
const COLLECT: Duration = Duration::from_secs(1);

/// The loop.
#[derive(Debug)]
pub struct Pilot {
    setup: Setup,
    links: Links,
    certificates: Certificates,
    authorities: Authorities,
    copy: KnownCopy,
    specs: Specs,
    /// What was last brought about.
    wanted: Option<Wanted>,
    epoch: Option<Epoch>,
    /// When to synchronise again although nothing changed.
    again: Option<Instant>,
    compared: Instant,
    /// When was last asked which replicas fail the checks.
    checked: Instant,
    status: BalancerStatus,
}

/// Why it is synchronised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// Something that is wanted changed.
    Change,
    /// Another process runs, or the last time was not the end of it.
    Again,
    /// It is time to compare.
    Drift,
}

impl Pilot {
    /// Does nothing yet.
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

    /// Runs until nobody tells it of changes any more.
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
                    // Whoever waits for a first replica, or to be served elsewhere, has waited enough.
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
                    self.tell();
                }
                () = sleep_until(beat.into()) => {
                    self.beat().await;
                    beat = Instant::now() + if self.is_awaited() { BEAT_AWAITED } else { BEAT };
                    beat = self.again.map_or(beat, |again| again.max(Instant::now() + SETTLES).min(beat));
                }
            }
        }
    }

    /// Waits for what the API server says, and if that takes too long, takes what it said before.
    async fn start(&mut self, known: &mut watch::Receiver<Known>) {
        let copied = self.copy.read();
        // The newest spec may be refused still.
        copied.iter().filter_map(|copied| copied.accepted.clone()).for_each(|spec| self.specs.remember(spec));
        let complete = known.wait_for(|known| known.complete().is_some());
        if timeout(START, complete).await.is_ok() {
            return known.mark_changed();
        }
        let Some(Copied { service, endpoints, .. }) = copied else {
            tracing::warn!(
                "the API server does not answer, and this balancer has no copy of what it said before"
            );
            return;
        };
        tracing::warn!("the API server does not answer; the balancer starts with what it said before");
        self.links.known.send_modify(|known| {
            known.service.get_or_insert(service);
            known.endpoints.get_or_insert(endpoints);
        });
    }

    fn is_awaited(&self) -> bool {
        self.again.is_some_and(|again| again <= Instant::now() + BEAT_AWAITED) || self.must_look()
    }

    /// Whether counts are of interest between two synchronisations.
    fn must_look(&self) -> bool {
        let Some(wanted) = &self.wanted else { return false };
        // Who is drained is closed for good, and is named for a while longer.
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

    /// Pods that the controller wants to have drained.
    fn draining(&self) -> Vec<String> {
        let known = self.links.known.borrow();
        known.service.as_ref().map(|service| service.draining.keys().cloned().collect()).unwrap_or_default()
    }

    /// Those of them that nobody may be bound to any more.
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

    /// Reads which replicas fail the checks: nothing else tells when one is found down, or fit again.
    async fn check(&mut self) {
        self.checked = Instant::now();
        let Some(wanted) = self.wanted.take() else { return };
        if wanted.traffic.health_check.is_some()
            && let Ok(Some(down)) = self.setup.driver.down(&wanted).await
            && self.status.down != first(&down)
        {
            // Who is down is not served: the counts change with it.
            match self.setup.driver.look(&wanted).await {
                Ok(look) => self.saw(&wanted, &look),
                Err(_) => self.again = Some(Instant::now()),
            }
            self.tell();
        }
        self.wanted = Some(wanted);
    }

    /// Something that is wanted changed: brought about now, or with what comes until it may be.
    async fn change(&mut self) {
        match self.setup.driver.not_before().await {
            Some(due) if due > tokio::time::Instant::now() => self.again = Some(due.into_std()),
            _ => self.sync(Cause::Change).await,
        }
    }

    /// Whether a Secret has something new.
    async fn follow_secrets(&mut self, service: &Service) -> bool {
        // Those of the spec that runs are needed for as long as a newer one is refused.
        let both: Vec<&Service> = std::iter::once(service).chain(self.specs.accepted()).collect();
        let listeners = both.iter().flat_map(|service| &service.traffic.listeners);
        let certificates = self.certificates.follow(&self.setup.driver, listeners).await;
        self.authorities.follow(both.iter().flat_map(|service| &service.standbys)) || certificates
    }

    async fn is_another_process(&self) -> bool {
        match (self.epoch, self.setup.driver.epoch().await) {
            (Some(before), Ok(now)) => before != now,
            (Some(_), Err(_)) => true,
            (None, _) => false, // it was down at the last look, which is taken again anyway
        }
    }

    /// The gate holds `held` requests.
    async fn woken(&mut self, held: u32) {
        if held > 0 && self.status.held == 0 && self.status.programmed == 0 {
            // Told before it is asked how many more wait: this is the wake-up call.
            self.status.held = i32::try_from(held).unwrap_or(i32::MAX);
            self.tell();
        }
        self.look().await;
    }

    /// Reads the counts that somebody waits for.
    async fn look(&mut self) {
        let Some(wanted) = self.wanted.take() else { return };
        let draining = self.draining();
        if wanted.traffic.session_persistence.is_some()
            && let Err(error) = self.setup.driver.unbind(&wanted, &self.unbound()).await
        {
            tracing::warn!(%error, "bound sessions stay for now");
        }
        if let Ok(mut drained) = self.setup.driver.drained(&wanted, &draining).await {
            drained.retain(|pod| !self.is_carried(pod));
            self.status.drained = drained;
        }
        match self.setup.driver.look(&wanted).await {
            Ok(look) => self.saw(&wanted, &look),
            Err(_) => self.again = Some(Instant::now()),
        }
        self.wanted = Some(wanted);
        self.tell();
    }

    /// Whether a connection by way of the gate goes to the pod: the balancer does not count it there.
    fn is_carried(&self, pod: &str) -> bool {
        let known = self.links.known.borrow();
        let endpoint = known.endpoints.as_ref().and_then(|endpoints| endpoints.0.get(pod));
        endpoint.is_some_and(|endpoint| self.links.carried.any_to(endpoint.ip))
    }

    /// Brings about what is wanted, and tells what came of it.
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
                self.took(cause, &wanted, outcome);
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
        self.tell();
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

    fn took(&mut self, cause: Cause, wanted: &Wanted, outcome: Outcome) {
        let Outcome { look, in_sync, changes, reloaded, pending, message } = outcome;
        self.setup.metrics.synced(if in_sync { "ok" } else { "difference" });
        if reloaded {
            self.setup.metrics.reloaded();
            self.authorities.forget_old();
        }
        let balancer = self.setup.driver.name();
        if cause == Cause::Drift && changes > 0 {
            tracing::warn!(balancer, changes, "it differed from what is wanted, and was mended");
            self.setup.metrics.repaired(changes);
        }
        if self.epoch.is_some_and(|before| before != look.epoch) && !reloaded {
            tracing::warn!(balancer, pid = look.epoch.pid, changes, "another process was told everything");
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
        self.saw(wanted, &look);
    }

    fn failed(&mut self, error: &DriverError) {
        self.setup.metrics.synced(error.label());
        let balancer = self.setup.driver.name();
        if error.is_down() {
            // The first start is no news.
            if self.epoch.take().is_some() {
                tracing::warn!(balancer, %error, "it does not run; it will be told everything when it does");
            }
            self.setup.configured.store(true, Ordering::Relaxed);
        } else {
            tracing::warn!(balancer, %error, "it is not synchronised");
        }
        self.again = Some(Instant::now() + if error.is_down() { BEAT_AWAITED } else { BEAT });
        self.status.in_sync = false;
        self.status.programmed = 0;
        self.status.down.clear();
        self.status.message = Some(error.to_string());
    }

    fn saw(&mut self, wanted: &Wanted, look: &Look) {
        let addresses = look.addresses(wanted);
        self.status.programmed = i32::try_from(addresses.len()).unwrap_or(i32::MAX);
        // Who waits in a process of before a reload is known to the gate only.
        let held = look.held.max(*self.links.waiting.borrow());
        self.status.held = i32::try_from(held).unwrap_or(i32::MAX);
        self.status.down = first(&look.down);
        self.checked = Instant::now();
        let patience = wanted.traffic.limits.queue_timeout.into();
        // Who is held goes where everybody goes.
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

    fn tell(&self) {
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

/// As many names as status has room for.
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
