//! The zones of a service's replicas, from the watches and the balancers' reports.

mod report;

use std::collections::BTreeSet;

use futures::future::{BoxFuture, FutureExt as _, ready};

use super::{
    capability::{Capability, Look, Part, Reported, SharedFacts, View},
    core::Core,
    index::{NodeIndex, Target, read},
    outcome::Outcome,
    signals::Signals,
};
use crate::actuate::Note;
use plimsoll_api::Verdict;
use plimsoll_engine::{Member, Placed, Topology, Witness};

/// Observes the zones of the replicas, and which of them are lost.
#[derive(Debug, Default)]
pub struct Placing;

impl Capability for Placing {
    fn signals(&self, view: &View<'_>, core: &Core, signals: &mut Signals) {
        let Some(done) = core.done() else { return };
        let zones = done.decided.decision.zones.as_ref();
        let before = zones.map(|zones| &zones.lost).filter(|lost| !lost.is_empty());
        if before.is_none() && !is_suspected(view) {
            return;
        }
        let Some(lost) = lost(view) else { return };
        let changed = before.map_or(!lost.is_empty(), |before| *before != lost);
        if changed {
            let (namespace, name) = (&view.key.namespace, &view.key.name);
            tracing::info!(namespace, name, ?lost, "the set of lost zones changed");
        }
        signals.call_if(changed, "lost zones");
    }

    fn observe<'a>(&'a mut self, look: Look<'a>) -> BoxFuture<'a, Part<'a>> {
        let part: Part<'a> = Box::new(move |seen| seen.topology = topology(look.view, &look.subject.target));
        ready(part).boxed()
    }

    fn conditions(&self, _: &SharedFacts, outcome: &Outcome) -> Vec<Verdict> {
        let zones = outcome.done().and_then(|done| done.decided.decision.zones.as_ref());
        zones.map(report::verdict).into_iter().collect()
    }

    fn notes(&self, change: &Reported<'_>) -> Vec<Note> {
        report::notes(change.old, change.new).into_iter().collect()
    }
}

/// The replicas with zones and nodes; `None` if the target's pods can't be listed.
fn topology(view: &View<'_>, target: &Target) -> Option<Topology> {
    let View { key, context, facts, .. } = view;
    let selected = target.selected()?;
    let members = read(&context.pods, |index| index.members(&key.namespace, selected));
    let witnesses = facts.fleet.as_ref().map(|fleet| fleet.witnesses()).unwrap_or_default();
    Some(read(&context.nodes, |nodes| Topology {
        replicas: members.into_iter().map(|member| placed(member, nodes)).collect(),
        balancers: witnesses
            .into_iter()
            .map(|(pod, witness)| {
                let (node, zone) = read(&context.pods, |index| index.place(&key.namespace, &pod));
                Witness { zone: zone.or_else(|| nodes.zone_of(node.as_deref())), ..witness }
            })
            .collect(),
    }))
}

/// The zones that are lost now; `None` if the target is not watched.
fn lost(view: &View<'_>) -> Option<BTreeSet<String>> {
    let target = view.watched_target()?;
    let zones = topology(view, &target).and_then(|topology| topology.zones());
    Some(zones.map(|zones| zones.lost).unwrap_or_default())
}

/// Whether there is any sign of a lost replica. It is cheap, since it runs in every turn.
fn is_suspected(view: &View<'_>) -> bool {
    let traffic = view.service.status.as_ref().and_then(|status| status.traffic.as_ref());
    let down = traffic.is_some_and(|traffic| traffic.balancers.iter().any(|entry| !entry.down.is_empty()));
    down || !read(&view.context.nodes, NodeIndex::all_ready)
}

fn placed(member: Member, nodes: &NodeIndex) -> Placed {
    let node = member.node.as_deref();
    Placed {
        zone: member.zone.or_else(|| nodes.zone_of(node)),
        node_ready: node.and_then(|node| nodes.get(node)).and_then(|node| node.ready),
        name: member.name,
        ready: member.ready,
    }
}
