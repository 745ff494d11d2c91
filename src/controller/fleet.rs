//! The balancers of one service, from the watches and the status. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::index::BalancerPod;
use plimsoll_api::{
    BalancerStatus, ConditionCode, ConditionType, Percent, ReasonCode, ScalableServiceStatus, Verdict,
};
use plimsoll_engine::{Member, Rotation, Witness};

/// Utilization from which a balancer counts as saturated: latency rises well before 100 %, and the others need reserves to
/// take over the load of one that fails.
const SATURATED: Percent = Percent::clamped(80);

/// The balancers of one service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fleet {
    /// The wanted number.
    pub wanted: i32,
    /// The existing ones, each with its last report.
    pub balancers: Vec<(BalancerPod, Option<BalancerStatus>)>,
    /// Why their objects could not be reconciled.
    pub trouble: Option<String>,
    /// They were applied by an earlier operator version, and their rollout is queued.
    pub pending: bool,
}

impl Fleet {
    /// Each pod with its entry in `status`.
    #[must_use]
    pub fn new(
        wanted: i32,
        pods: Vec<BalancerPod>,
        status: Option<&ScalableServiceStatus>,
        trouble: Option<String>,
    ) -> Self {
        let entries = entries(status);
        let entry_of = |pod: &BalancerPod| entries.iter().find(|entry| entry.pod == pod.name).cloned();
        let balancers =
            pods.into_iter().map(|pod| (entry_of(&pod), pod)).map(|(report, pod)| (pod, report)).collect();
        Self { wanted, balancers, trouble, pending: false }
    }

    /// The replicas in rotation, for the engine.
    #[must_use]
    pub fn rotation(
        &self,
        ordered: bool,
        members: Vec<Member>,
        ready: i32,
        draining: BTreeMap<String, Timestamp>,
        ejected: BTreeSet<String>,
    ) -> Rotation {
        let drained = |report: &Option<BalancerStatus>| -> BTreeSet<String> {
            report.iter().flat_map(|report| report.drained.iter().cloned()).collect()
        };
        let balancers = self.asked().map(|(_, report)| drained(report)).collect();
        Rotation { ordered, members, ready, draining, ejected, balancers }
    }

    /// The down replicas reported by each balancer that is ready and in sync, by pod.
    #[must_use]
    pub fn witnesses(&self) -> Vec<(String, Witness)> {
        let live = self.balancers.iter().filter(|(pod, _)| pod.ready);
        let in_sync = |report: &&BalancerStatus| report.in_sync;
        let reports = live.filter_map(|(pod, report)| Some((pod, report.as_ref().filter(in_sync)?)));
        reports
            .map(|(pod, report)| {
                let cut = report.down.len() >= BalancerStatus::DOWN_MAX;
                let down = report.down.iter().cloned().collect();
                (pod.name.clone(), Witness { zone: None, down, cut })
            })
            .collect()
    }

    /// The balancers that may have requests: also those that are being deleted, or were ready until a moment ago.
    fn asked(&self) -> impl Iterator<Item = &(BalancerPod, Option<BalancerStatus>)> {
        let balancers = self.balancers.iter();
        balancers.filter(|(pod, report)| pod.ready || pod.ending || (pod.fading && report.is_some()))
    }

    /// The number of requests that wait because no replica is ready.
    #[must_use]
    pub fn held(&self) -> i32 {
        let held = self.asked().filter_map(|(_, report)| Some(report.as_ref()?.held.max(0)));
        held.fold(0, i32::saturating_add)
    }

    /// The number of ready balancers.
    #[must_use]
    pub fn ready(&self) -> usize {
        self.balancers.iter().filter(|(pod, _)| pod.ready).count()
    }

    /// Whether a balancer holds requests and has no replica at all.
    #[must_use]
    pub fn awaits_first(&self) -> bool {
        let mut reports = self.asked().filter_map(|(_, report)| report.as_ref());
        reports.any(|report| report.held > 0 && report.programmed == 0)
    }

    /// Whether a standby answers any ready balancer; `None` if none has reported.
    #[must_use]
    pub fn answering(&self, standby: &str) -> Option<bool> {
        let live = self.balancers.iter().filter(|(pod, _)| pod.ready);
        let mut reports = live.filter_map(|(_, report)| report.as_ref()).peekable();
        reports.peek()?;
        Some(reports.any(|report| report.answering.iter().any(|name| name == standby)))
    }

    /// The error of the last probe of a standby that does not answer.
    #[must_use]
    pub fn why_not_answering(&self, standby: &str) -> Option<&str> {
        let reports = self.balancers.iter().filter_map(|(_, report)| report.as_ref());
        let mut entries = reports.flat_map(|report| &report.not_answering);
        entries.find(|entry| entry.name == standby).map(|entry| entry.message.as_str())
    }

    /// The replicas that each balancer has drained.
    #[must_use]
    pub fn drained_all(&self) -> Vec<&[String]> {
        self.balancers.iter().filter_map(|(_, report)| Some(report.as_ref()?.drained.as_slice())).collect()
    }

    /// The standbys that answer each balancer.
    #[must_use]
    pub fn answering_all(&self) -> Vec<&[String]> {
        self.balancers.iter().filter_map(|(_, report)| Some(report.as_ref()?.answering.as_slice())).collect()
    }

    /// The number of ready balancers that are in sync with `generation`.
    #[must_use]
    pub fn in_sync(&self, generation: Option<i64>) -> usize {
        let live = self.balancers.iter().filter(|(pod, _)| pod.ready);
        live.filter(|(_, report)| {
            report.as_ref().is_some_and(|report| report.in_sync && report.observed_generation >= generation)
        })
        .count()
    }

    /// Entries of `status` whose balancers are deleted.
    ///
    /// None if no balancer is known: the watch may not have listed them yet.
    #[must_use]
    pub fn stale(&self, status: Option<&ScalableServiceStatus>) -> Vec<String> {
        if self.wanted > 0 && self.balancers.is_empty() {
            return Vec::new();
        }
        let gone = |entry: &&BalancerStatus| !self.balancers.iter().any(|(pod, _)| pod.name == entry.pod);
        entries(status).iter().filter(gone).map(|entry| entry.pod.clone()).collect()
    }

    /// The condition `TrafficSynced`: False if there is a problem, Unknown while a change is being applied.
    #[must_use]
    pub fn verdict(&self, generation: Option<i64>) -> Verdict {
        let (status, reason, message) = self.judge(generation);
        Verdict { type_: ConditionType::TrafficSynced, status, reason, message }
    }

    /// The condition `TrafficHeadroom`; `None` until a balancer has reported its saturation.
    #[must_use]
    pub fn headroom(&self) -> Option<Verdict> {
        let live = self.balancers.iter().filter(|(pod, _)| pod.ready);
        let used = live.filter_map(|(pod, report)| Some((report.as_ref()?.saturation?, &pod.name)));
        let (percent, pod) = used.max()?;
        let type_ = ConditionType::TrafficHeadroom;
        let message =
            format!("balancer {pod} has {percent} % of its connections, requests or CPU time in use");
        Some(if percent >= SATURATED {
            Verdict::new(type_, false, ConditionCode::BalancersSaturated, message)
        } else {
            Verdict::new(type_, true, ConditionCode::HeadroomLeft, message)
        })
    }

    fn judge(&self, generation: Option<i64>) -> (Option<bool>, ReasonCode, String) {
        if let Some(trouble) = &self.trouble {
            return (Some(false), ConditionCode::BalancersFailed.into(), trouble.clone());
        }
        let wanted = self.wanted;
        let live: Vec<_> = self.balancers.iter().filter(|(pod, _)| pod.ready).collect();
        if live.is_empty() {
            let message = format!("none of {wanted} balancers is ready");
            return (Some(false), ConditionCode::BalancersStarting.into(), message);
        }
        let mut pending_change = None;
        for (pod, report) in &live {
            let pod = &pod.name;
            let wait = match report {
                None => format!("balancer {pod} has not reported yet"),
                Some(report) if report.observed_generation < generation => {
                    let has = report.observed_generation;
                    let has =
                        has.map_or_else(|| "no generation".to_owned(), |has| format!("generation {has}"));
                    let needs = generation.unwrap_or_default();
                    format!("balancer {pod} runs {has}; generation {needs} is not applied yet")
                }
                Some(BalancerStatus { in_sync: false, message: Some(message), .. }) => {
                    let message = format!("balancer {pod}: {message}");
                    return (Some(false), ConditionCode::BalancerOutOfSync.into(), message);
                }
                Some(report) if !report.in_sync => format!("balancer {pod} is applying a change"),
                Some(_) => continue,
            };
            pending_change.get_or_insert(wait);
        }
        match pending_change {
            Some(message) => (None, ConditionCode::BalancersStarting.into(), message),
            None => {
                let ready = live.len();
                let pending = if self.pending { "; their rollout is queued" } else { "" };
                let message = format!("{ready} of {wanted} balancers ready and in sync{pending}");
                (Some(true), ConditionCode::BalancersInSync.into(), message)
            }
        }
    }
}

fn entries(status: Option<&ScalableServiceStatus>) -> &[BalancerStatus] {
    status.and_then(|status| status.traffic.as_ref()).map_or(&[], |traffic| &traffic.balancers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_api::TrafficStatus;

    fn pod(name: &str, ready: bool, ending: bool) -> BalancerPod {
        BalancerPod { name: name.into(), ready, ending, fading: false }
    }

    fn report(pod: &str, generation: i64, in_sync: bool, message: Option<&str>) -> BalancerStatus {
        BalancerStatus {
            pod: pod.into(),
            observed_generation: Some(generation),
            in_sync,
            held: 2,
            drained: vec!["web-1".into()],
            message: message.map(str::to_owned),
            ..BalancerStatus::default()
        }
    }

    fn fleet(pods: &[BalancerPod], balancers: &[BalancerStatus]) -> (Fleet, ScalableServiceStatus) {
        let traffic = TrafficStatus { balancers: balancers.to_vec(), ..TrafficStatus::default() };
        let status = ScalableServiceStatus { traffic: Some(traffic), ..ScalableServiceStatus::default() };
        (Fleet::new(2, pods.to_vec(), Some(&status), None), status)
    }

    #[test]
    fn the_condition_names_what_is_missing() {
        let condition = |pods: &[BalancerPod], balancers: &[BalancerStatus]| {
            let verdict = fleet(pods, balancers).0.verdict(Some(4));
            format!("{} {}: {}", verdict.status_text(), verdict.reason.name(), verdict.message)
        };
        let (a, b) = (pod("a", true, false), pod("b", true, false));
        assert_eq!(condition(&[], &[]), "False BalancersStarting: none of 2 balancers is ready");
        assert_eq!(
            condition(&[a.clone(), b.clone()], &[report("a", 4, true, None)]),
            "Unknown BalancersStarting: balancer b has not reported yet"
        );
        assert_eq!(
            condition(std::slice::from_ref(&a), &[report("a", 3, true, None)]),
            "Unknown BalancersStarting: balancer a runs generation 3; generation 4 is not applied yet"
        );
        assert_eq!(
            condition(
                &[a.clone(), b],
                &[report("a", 3, true, None), report("b", 4, false, Some("no Secret shop-tls"))]
            ),
            "False BalancerOutOfSync: balancer b: no Secret shop-tls"
        );
        assert_eq!(
            condition(&[a.clone(), pod("b", false, false)], &[report("a", 4, true, None)]),
            "True BalancersInSync: 1 of 2 balancers ready and in sync"
        );
        let pending =
            Fleet { pending: true, ..fleet(std::slice::from_ref(&a), &[report("a", 4, true, None)]).0 };
        let message = pending.verdict(Some(4)).message;
        assert_eq!(message, "1 of 2 balancers ready and in sync; their rollout is queued");
        let failed = Fleet { trouble: Some("no image".into()), ..fleet(&[a], &[]).0 };
        assert_eq!(failed.verdict(Some(4)).reason, ConditionCode::BalancersFailed.into());
    }

    #[test]
    fn headroom_depends_on_the_busiest_balancer() {
        let condition = |saturation: [Option<i64>; 2]| {
            let reports = ["a", "b"]
                .into_iter()
                .zip(saturation.map(|percent| percent.map(Percent::clamped)))
                .map(|(pod, saturation)| BalancerStatus { saturation, ..report(pod, 4, true, None) });
            let pods = [pod("a", true, false), pod("b", true, false)];
            let verdict = fleet(&pods, &reports.collect::<Vec<_>>()).0.headroom()?;
            Some(format!("{} {}: {}", verdict.status_text(), verdict.reason.name(), verdict.message))
        };
        assert_eq!(condition([None, None]), None);
        let in_use = |pod: &str, percent: i32| {
            format!("balancer {pod} has {percent} % of its connections, requests or CPU time in use")
        };
        assert_eq!(condition([Some(79), None]), Some(format!("True HeadroomLeft: {}", in_use("a", 79))));
        assert_eq!(
            condition([Some(20), Some(80)]),
            Some(format!("False BalancersSaturated: {}", in_use("b", 80)))
        );
        let ending = fleet(
            &[pod("a", false, true)],
            &[BalancerStatus { saturation: Percent::new(99), ..report("a", 4, true, None) }],
        );
        assert_eq!(ending.0.headroom(), None, "a terminating balancer does not count");
    }

    #[test]
    fn a_terminating_balancer_still_counts_and_a_deleted_one_is_removed() {
        let pods = [pod("a", true, false), pod("b", false, true), pod("c", false, false)];
        let (fleet, status) = fleet(&pods, &[report("a", 4, true, None), report("z", 4, true, None)]);
        let rotation = fleet.rotation(false, Vec::new(), 0, BTreeMap::new(), BTreeSet::new());
        assert_eq!(rotation.balancers, [BTreeSet::from(["web-1".to_owned()]), BTreeSet::new()]);
        assert_eq!((fleet.held(), fleet.in_sync(Some(4))), (2, 1));
        assert_eq!(fleet.stale(Some(&status)), ["z"]);
        let mut late = fleet.clone();
        late.balancers[2].0.fading = true;
        let asked = |fleet: &Fleet| {
            fleet.rotation(false, Vec::new(), 0, BTreeMap::new(), BTreeSet::new()).balancers.len()
        };
        assert_eq!(asked(&late), 2, "it has never reported");
        late.balancers[2].1 = Some(report("c", 4, true, None));
        assert_eq!((asked(&late), late.held()), (3, 4));
        late.balancers[2].0.fading = false;
        assert_eq!((asked(&late), late.held()), (2, 2));
        let unlisted = Fleet { balancers: Vec::new(), ..fleet };
        assert!(unlisted.stale(Some(&status)).is_empty(), "the watch may not have listed them yet");
    }
}
