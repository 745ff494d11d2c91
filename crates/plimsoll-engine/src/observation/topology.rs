//! Locations of the replicas: which zones serve, and which are lost.

use std::collections::{BTreeMap, BTreeSet};

/// A single down replica is a failed replica, not a lost zone.
const REPLICAS_LEAST: usize = 2;

/// Locations of the replicas, with the health checks of the load balancers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// The target's pods that are not being deleted.
    pub replicas: Vec<Placed>,
    /// Each load balancer that is ready and in sync.
    pub balancers: Vec<Witness>,
}

/// A replica with its location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Name of its pod.
    pub name: String,
    /// Its zone, if known; an unscheduled pod has none.
    pub zone: Option<String>,
    /// Its condition Ready.
    pub ready: bool,
    /// Whether its node is ready, if known.
    pub node_ready: Option<bool>,
}

/// Health checks of one load balancer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Witness {
    /// Its own zone, if known.
    pub zone: Option<String>,
    /// Ready replicas that fail its checks.
    pub down: BTreeSet<String>,
    /// Whether `down` is truncated: the state of replicas after its last name is unknown.
    pub cut: bool,
}

/// The zones that have replicas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Zones {
    /// Zones with a serving replica.
    pub serving: BTreeSet<String>,
    /// Lost zones; empty unless another zone serves.
    pub lost: BTreeSet<String>,
    /// Replicas in lost zones.
    pub replicas_lost: i32,
    /// Replicas in all other zones, including starting ones.
    pub replicas_left: i32,
}

impl Zones {
    /// The names of the lost zones, separated by commas.
    #[must_use]
    pub fn names_lost(&self) -> String {
        self.lost.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}

/// State of one replica, as far as it is known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Serves,
    Unknown,
    /// More balancers report it down than up.
    Down,
    /// Its node is NotReady.
    NodeNotReady,
}

impl Topology {
    /// Which zones serve, and which are lost; `None` if no replica's zone is known.
    ///
    /// A zone is lost if none of its replicas serves while another zone does, and a node of it is NotReady or at least two of
    /// its replicas are down. Starting replicas are not counted.
    #[must_use]
    pub fn zones(&self) -> Option<Zones> {
        let mut by_zone = BTreeMap::<&str, Vec<Fate>>::new();
        for replica in &self.replicas {
            if let Some(zone) = replica.zone.as_deref() {
                by_zone.entry(zone).or_default().push(self.fate(replica, zone));
            }
        }
        if by_zone.is_empty() {
            return None;
        }
        let serves = |fates: &[Fate]| fates.contains(&Fate::Serves);
        let is_lost = |fates: &[Fate]| {
            let down = fates.iter().filter(|fate| **fate == Fate::Down).count();
            !serves(fates) && (fates.contains(&Fate::NodeNotReady) || down >= REPLICAS_LEAST)
        };
        let named = |wanted: &dyn Fn(&[Fate]) -> bool| -> BTreeSet<String> {
            by_zone.iter().filter(|(_, fates)| wanted(fates)).map(|(zone, _)| (*zone).to_owned()).collect()
        };
        let serving = named(&serves);
        let lost = if serving.is_empty() { BTreeSet::new() } else { named(&is_lost) };
        let (mut replicas_lost, mut replicas_left) = (0, 0);
        for (zone, fates) in &by_zone {
            let replicas = i32::try_from(fates.len()).unwrap_or(i32::MAX);
            let sum = if lost.contains(*zone) { &mut replicas_lost } else { &mut replicas_left };
            *sum += replicas;
        }
        Some(Zones { serving, lost, replicas_lost, replicas_left })
    }

    fn fate(&self, replica: &Placed, zone: &str) -> Fate {
        if !replica.ready {
            return if replica.node_ready == Some(false) { Fate::NodeNotReady } else { Fate::Unknown };
        }
        // A balancer in the same zone may be lost too, so its last report does not count.
        let others = || self.balancers.iter().filter(|balancer| balancer.zone.as_deref() != Some(zone));
        let (mut up, mut down) = (0_usize, 0_usize);
        for is_down in others().filter_map(|balancer| balancer.reports_down(&replica.name)) {
            *(if is_down { &mut down } else { &mut up }) += 1;
        }
        match (up, down) {
            (0, 0) if others().next().is_some() => Fate::Unknown,
            _ if down > up => Fate::Down,
            _ => Fate::Serves,
        }
    }
}

impl Witness {
    fn reports_down(&self, pod: &str) -> Option<bool> {
        let beyond = self.cut && self.down.last().is_none_or(|last| pod > last.as_str());
        (!beyond).then(|| self.down.contains(pod))
    }
}
