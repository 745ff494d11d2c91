//! Where a service's replicas are, from the watches, and what its balancers say of them.

use kube::ResourceExt;

use super::{
    balancers,
    context::Context,
    index::{NodeIndex, Target, read},
    outcome::Outcome,
    state::{Key, State},
};
use plimsoll_api::ScalableService;
use plimsoll_engine::{Member, Placed, Topology, Witness};

/// The replicas with zones and nodes; `None` if the target's pods can't be listed.
pub fn topology(
    service: &ScalableService,
    target: &Target,
    key: &Key,
    state: &State,
    context: &Context,
) -> Option<Topology> {
    let selected = target.selected()?;
    let members = read(&context.pods, |index| index.members(&key.0, selected));
    let fleet = balancers::fleet(service, key, state, context);
    let witnesses = fleet.map(|fleet| fleet.witnesses()).unwrap_or_default();
    Some(read(&context.nodes, |nodes| Topology {
        replicas: members.into_iter().map(|member| placed(member, nodes)).collect(),
        balancers: witnesses
            .into_iter()
            .map(|(pod, witness)| {
                let (node, zone) = read(&context.pods, |index| index.place(&key.0, &pod));
                Witness { zone: zone.or_else(|| zone_of(node.as_deref(), nodes)), ..witness }
            })
            .collect(),
    }))
}

/// Whether other zones are lost than at the last look.
pub fn changed(service: &ScalableService, key: &Key, state: &State, context: &Context) -> bool {
    let Some(Outcome::Done(done)) = &state.last else { return false };
    let before = done.decision.zones.as_ref().map(|zones| zones.lost.clone()).unwrap_or_default();
    if before.is_empty() && !is_suspected(service, context) {
        return false;
    }
    let Some(target) = context.targets.watched(&key.0, &service.spec.scale_target_ref) else { return false };
    let zones = topology(service, &target, key, state, context).and_then(|topology| topology.zones());
    let lost = zones.map(|zones| zones.lost).unwrap_or_default();
    if lost != before {
        tracing::info!(
            namespace = key.0,
            name = service.name_any(),
            ?lost,
            "other zones are lost than before"
        );
    }
    lost != before
}

/// Whether anything says that some replica might be lost: cheap, since every change of an object asks for it.
fn is_suspected(service: &ScalableService, context: &Context) -> bool {
    let traffic = service.status.as_ref().and_then(|status| status.traffic.as_ref());
    let down = traffic.is_some_and(|traffic| traffic.balancers.iter().any(|said| !said.down.is_empty()));
    down || !read(&context.nodes, NodeIndex::all_ready)
}

fn placed(member: Member, nodes: &NodeIndex) -> Placed {
    let node = member.node.as_deref();
    Placed {
        zone: member.zone.or_else(|| zone_of(node, nodes)),
        node_ready: node.and_then(|node| nodes.get(node)).and_then(|node| node.ready),
        name: member.name,
        ready: member.ready,
    }
}

/// The zone of a node, if it is known.
pub fn zone_of(node: Option<&str>, nodes: &NodeIndex) -> Option<String> {
    node.and_then(|node| nodes.get(node))?.zone.as_deref().map(str::to_owned)
}
