//! Nodes: zone and readiness.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;

use super::follow::{Follow, Workload};

/// Label with the zone of a node, and of a pod since Kubernetes 1.33 (PodTopologyLabelsAdmission).
pub const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

/// All nodes; empty if the operator is restricted to some namespaces, since it has no permission for nodes then.
#[derive(Debug, Default)]
pub struct NodeIndex {
    nodes: HashMap<String, NodeState>,
    not_ready: usize,
}

/// One node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeState {
    /// Its zone.
    pub zone: Option<Box<str>>,
    /// Its condition Ready; false also if Unknown (no heartbeat), `None` before its first report.
    pub ready: Option<bool>,
}

impl NodeIndex {
    /// The node of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&NodeState> {
        self.nodes.get(name)
    }

    /// The zone of a node, if it is known.
    #[must_use]
    pub fn zone_of(&self, node: Option<&str>) -> Option<String> {
        node.and_then(|node| self.get(node))?.zone.as_deref().map(str::to_owned)
    }

    /// Whether every node is ready.
    #[must_use]
    pub fn all_ready(&self) -> bool {
        self.not_ready == 0
    }
}

impl Follow<Node> for NodeIndex {
    fn apply(&mut self, node: Node) -> Option<Workload> {
        let zone = node.labels().get(ZONE_LABEL).map(|zone| Box::from(zone.as_str()));
        let conditions =
            node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
        let ready = conditions.iter().find(|condition| condition.type_ == "Ready");
        let ready = ready.map(|condition| condition.status == "True");
        self.delete(&node);
        self.not_ready += usize::from(ready == Some(false));
        self.nodes.insert(node.name_any(), NodeState { zone, ready });
        None
    }

    fn delete(&mut self, node: &Node) -> Option<Workload> {
        let gone = self.nodes.remove(&node.name_any())?;
        self.not_ready -= usize::from(gone.ready == Some(false));
        None
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Node;

    use super::{Follow, NodeIndex};

    fn node(ready: &str) -> Node {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "n1", "labels": {"topology.kubernetes.io/zone": "a"}},
            "status": {"conditions": [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": ready}]},
        }))
        .unwrap()
    }

    #[test]
    fn a_node_of_unknown_state_is_not_ready() {
        let mut index = NodeIndex::default();
        for (status, ready) in [("True", true), ("False", false), ("Unknown", false)] {
            index.apply(node(status));
            let state = index.get("n1").unwrap();
            assert_eq!((state.zone.as_deref(), state.ready), (Some("a"), Some(ready)), "{status}");
            assert_eq!(index.all_ready(), ready, "{status}");
        }
        index.delete(&node("True"));
        assert_eq!((index.get("n1"), index.all_ready()), (None, true));
    }
}
