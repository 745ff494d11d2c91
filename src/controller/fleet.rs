//! The balancers of one service as the watches and its status show them. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::index::BalancerPod;
use plimsoll_api::{
    BalancerStatus, ConditionCode, ConditionType, Percent, ReasonCode, ScalableServiceStatus, Verdict,
};
use plimsoll_engine::{Member, Rotation, Witness};

/// From so many percent in use on a balancer is saturated: queues and answers get long well before it is full, and the others
/// must be able to take what one that dies has.
const SATURATED: Percent = Percent::clamped(80);

/// The balancers of one service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fleet {
    /// How many there should be.
    pub wanted: i32,
    /// Those that there are, with what each last said.
    pub balancers: Vec<(BalancerPod, Option<BalancerStatus>)>,
    /// Why they could not be brought about.
    pub trouble: Option<String>,
    /// They are those of an earlier operator, and wait for their turn to be rolled out.
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
        let said = |pod: &BalancerPod| entries.iter().find(|entry| entry.pod == pod.name).cloned();
        let balancers =
            pods.into_iter().map(|pod| (said(&pod), pod)).map(|(said, pod)| (pod, said)).collect();
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
        let drained = |said: &Option<BalancerStatus>| -> BTreeSet<String> {
            said.iter().flat_map(|said| said.drained.iter().cloned()).collect()
        };
        let balancers = self.asked().map(|(_, said)| drained(said)).collect();
        Rotation { ordered, members, ready, draining, ejected, balancers }
    }

    /// What each balancer that is ready and in sync says of replicas that are down, by its pod.
    #[must_use]
    pub fn witnesses(&self) -> Vec<(String, Witness)> {
        let live = self.balancers.iter().filter(|(pod, _)| pod.ready);
        let said = live.filter_map(|(pod, said)| Some((pod, said.as_ref().filter(|said| said.in_sync)?)));
        said.map(|(pod, said)| {
            let cut = said.down.len() >= BalancerStatus::DOWN_MAX;
            let down = said.down.iter().cloned().collect();
            (pod.name.clone(), Witness { zone: None, down, cut })
        })
        .collect()
    }

    /// Those whose word counts on requests that they have: also one that is being deleted, or was ready until a moment ago.
    fn asked(&self) -> impl Iterator<Item = &(BalancerPod, Option<BalancerStatus>)> {
        let balancers = self.balancers.iter();
        balancers.filter(|(pod, said)| pod.ready || pod.ending || (pod.fading && said.is_some()))
    }

    /// Requests that wait because no replica is there.
    #[must_use]
    pub fn held(&self) -> i32 {
        let held = self.asked().filter_map(|(_, said)| Some(said.as_ref()?.held.max(0)));
        held.fold(0, i32::saturating_add)
    }

    /// Those that are ready.
    #[must_use]
    pub fn ready(&self) -> usize {
        self.balancers.iter().filter(|(pod, _)| pod.ready).count()
    }

    /// Whether one of them holds requests and has no replica at all.
    #[must_use]
    pub fn awaits_first(&self) -> bool {
        let mut said = self.asked().filter_map(|(_, said)| said.as_ref());
        said.any(|said| said.held > 0 && said.programmed == 0)
    }

    /// Whether a standby answers a balancer that is ready; `None` if none has reported.
    #[must_use]
    pub fn answering(&self, standby: &str) -> Option<bool> {
        let live = self.balancers.iter().filter(|(pod, _)| pod.ready);
        let mut said = live.filter_map(|(_, said)| said.as_ref()).peekable();
        said.peek()?;
        Some(said.any(|said| said.answering.iter().any(|name| name == standby)))
    }

    /// What came of it when a balancer last asked a standby that does not answer.
    #[must_use]
    pub fn why_not_answering(&self, standby: &str) -> Option<&str> {
        let said = self.balancers.iter().filter_map(|(_, said)| said.as_ref());
        let mut entries = said.flat_map(|said| &said.not_answering);
        entries.find(|entry| entry.name == standby).map(|entry| entry.message.as_str())
    }

    /// The replicas that each balancer has drained.
    #[must_use]
    pub fn drained_all(&self) -> Vec<&[String]> {
        self.balancers.iter().filter_map(|(_, said)| Some(said.as_ref()?.drained.as_slice())).collect()
    }

    /// The standbys that answer each balancer.
    #[must_use]
    pub fn answering_all(&self) -> Vec<&[String]> {
        self.balancers.iter().filter_map(|(_, said)| Some(said.as_ref()?.answering.as_slice())).collect()
    }

    /// Balancers that run what is wanted of them at `generation`.
    #[must_use]
    pub fn in_sync(&self, generation: Option<i64>) -> usize {
        let live = self.balancers.iter().filter(|(pod, _)| pod.ready);
        live.filter(|(_, said)| {
            said.as_ref().is_some_and(|said| said.in_sync && said.observed_generation >= generation)
        })
        .count()
    }

    /// Entries of `status` whose balancers are gone.
    ///
    /// Without any balancer in sight nothing is said: the watch may not have listed them yet.
    #[must_use]
    pub fn stale(&self, status: Option<&ScalableServiceStatus>) -> Vec<String> {
        if self.wanted > 0 && self.balancers.is_empty() {
            return Vec::new();
        }
        let gone = |entry: &&BalancerStatus| !self.balancers.iter().any(|(pod, _)| pod.name == entry.pod);
        entries(status).iter().filter(gone).map(|entry| entry.pod.clone()).collect()
    }

    /// What is to be said of `TrafficSynced`: False if something is in the way, Unknown while a change is on its way.
    #[must_use]
    pub fn verdict(&self, generation: Option<i64>) -> Verdict {
        let (status, reason, message) = self.judge(generation);
        Verdict { type_: ConditionType::TrafficSynced, status, reason, message }
    }

    /// What is to be said of `TrafficHeadroom`; nothing as long as no balancer has said how much of it is in use.
    #[must_use]
    pub fn headroom(&self) -> Option<Verdict> {
        let live = self.balancers.iter().filter(|(pod, _)| pod.ready);
        let used = live.filter_map(|(pod, said)| Some((said.as_ref()?.saturation?, &pod.name)));
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
        let mut on_its_way = None;
        for (pod, said) in &live {
            let pod = &pod.name;
            let wait = match said {
                None => format!("balancer {pod} has not reported yet"),
                Some(said) if said.observed_generation < generation => {
                    let has = said.observed_generation.map_or_else(|| "no".to_owned(), |has| has.to_string());
                    let needs = generation.unwrap_or_default();
                    format!("balancer {pod} runs generation {has}, and has yet to take over {needs}")
                }
                Some(BalancerStatus { in_sync: false, message: Some(message), .. }) => {
                    let message = format!("balancer {pod}: {message}");
                    return (Some(false), ConditionCode::BalancerOutOfSync.into(), message);
                }
                Some(said) if !said.in_sync => format!("balancer {pod} is taking a change over"),
                Some(_) => continue,
            };
            on_its_way.get_or_insert(wait);
        }
        match on_its_way {
            Some(message) => (None, ConditionCode::BalancersStarting.into(), message),
            None => {
                let ready = live.len();
                let pending =
                    if self.pending { "; they wait for their turn to be rolled out anew" } else { "" };
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

    fn said(pod: &str, generation: i64, in_sync: bool, message: Option<&str>) -> BalancerStatus {
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
        let told = |pods: &[BalancerPod], balancers: &[BalancerStatus]| {
            let verdict = fleet(pods, balancers).0.verdict(Some(4));
            format!("{} {}: {}", verdict.status_text(), verdict.reason.name(), verdict.message)
        };
        let (a, b) = (pod("a", true, false), pod("b", true, false));
        assert_eq!(told(&[], &[]), "False BalancersStarting: none of 2 balancers is ready");
        assert_eq!(
            told(&[a.clone(), b.clone()], &[said("a", 4, true, None)]),
            "Unknown BalancersStarting: balancer b has not reported yet"
        );
        assert_eq!(
            told(std::slice::from_ref(&a), &[said("a", 3, true, None)]),
            "Unknown BalancersStarting: balancer a runs generation 3, and has yet to take over 4"
        );
        assert_eq!(
            told(
                &[a.clone(), b],
                &[said("a", 3, true, None), said("b", 4, false, Some("no Secret shop-tls"))]
            ),
            "False BalancerOutOfSync: balancer b: no Secret shop-tls"
        );
        assert_eq!(
            told(&[a.clone(), pod("b", false, false)], &[said("a", 4, true, None)]),
            "True BalancersInSync: 1 of 2 balancers ready and in sync"
        );
        let pending =
            Fleet { pending: true, ..fleet(std::slice::from_ref(&a), &[said("a", 4, true, None)]).0 };
        let message = pending.verdict(Some(4)).message;
        assert_eq!(
            message,
            "1 of 2 balancers ready and in sync; they wait for their turn to be rolled out anew"
        );
        let failed = Fleet { trouble: Some("no image".into()), ..fleet(&[a], &[]).0 };
        assert_eq!(failed.verdict(Some(4)).reason, ConditionCode::BalancersFailed.into());
    }

    #[test]
    fn the_busiest_balancer_tells_whether_there_is_headroom() {
        let told = |saturation: [Option<i64>; 2]| {
            let said = ["a", "b"]
                .into_iter()
                .zip(saturation.map(|percent| percent.map(Percent::clamped)))
                .map(|(pod, saturation)| BalancerStatus { saturation, ..said(pod, 4, true, None) });
            let pods = [pod("a", true, false), pod("b", true, false)];
            let verdict = fleet(&pods, &said.collect::<Vec<_>>()).0.headroom()?;
            Some(format!("{} {}: {}", verdict.status_text(), verdict.reason.name(), verdict.message))
        };
        assert_eq!(told([None, None]), None);
        let in_use = |pod: &str, percent: i32| {
            format!("balancer {pod} has {percent} % of its connections, requests or CPU time in use")
        };
        assert_eq!(told([Some(79), None]), Some(format!("True HeadroomLeft: {}", in_use("a", 79))));
        assert_eq!(
            told([Some(20), Some(80)]),
            Some(format!("False BalancersSaturated: {}", in_use("b", 80)))
        );
        let ending = fleet(
            &[pod("a", false, true)],
            &[BalancerStatus { saturation: Percent::new(99), ..said("a", 4, true, None) }],
        );
        assert_eq!(ending.0.headroom(), None, "one that ends is full of what it finishes");
    }

    #[test]
    fn who_is_being_deleted_is_asked_and_who_is_gone_is_forgotten() {
        let pods = [pod("a", true, false), pod("b", false, true), pod("c", false, false)];
        let (fleet, status) = fleet(&pods, &[said("a", 4, true, None), said("z", 4, true, None)]);
        let rotation = fleet.rotation(false, Vec::new(), 0, BTreeMap::new(), BTreeSet::new());
        assert_eq!(rotation.balancers, [BTreeSet::from(["web-1".to_owned()]), BTreeSet::new()]);
        assert_eq!((fleet.held(), fleet.in_sync(Some(4))), (2, 1));
        assert_eq!(fleet.stale(Some(&status)), ["z"]);
        let mut late = fleet.clone();
        late.balancers[2].0.fading = true;
        let asked = |fleet: &Fleet| {
            fleet.rotation(false, Vec::new(), 0, BTreeMap::new(), BTreeSet::new()).balancers.len()
        };
        assert_eq!(asked(&late), 2, "it has never said anything");
        late.balancers[2].1 = Some(said("c", 4, true, None));
        assert_eq!((asked(&late), late.held()), (3, 4));
        late.balancers[2].0.fading = false;
        assert_eq!((asked(&late), late.held()), (2, 2));
        let unlisted = Fleet { balancers: Vec::new(), ..fleet };
        assert!(unlisted.stale(Some(&status)).is_empty(), "the watch may not have listed them yet");
    }
}
