//! HTTPRoutes, if the cluster serves them.

use std::collections::HashMap;

use kube::{ResourceExt as _, api::DynamicObject};

use super::follow::{Follow, Workload};
use crate::balancer::gateway::Route;

/// All watched HTTPRoutes.
#[derive(Debug, Default)]
pub struct RouteIndex {
    routes: HashMap<(String, String), Route>,
}

/// Whether the cluster serves HTTPRoutes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Served {
    /// Discovery or the initial list is not complete yet.
    #[default]
    Unknown,
    /// The operator has no permission for them: the chart was installed without traffic.
    Off,
    /// The cluster does not serve them.
    No,
    /// The cluster serves them, and they are listed.
    Yes,
}

impl RouteIndex {
    /// The route of that name.
    #[must_use]
    pub fn get(&self, namespace: &str, name: &str) -> Option<&Route> {
        self.routes.get(&(namespace.to_owned(), name.to_owned()))
    }
}

/// A route as a workload whose changes trigger turns.
#[must_use]
pub fn route_workload(namespace: &str, name: &str) -> Workload {
    Workload { kind: "HTTPRoute".to_owned(), namespace: namespace.to_owned(), name: name.to_owned() }
}

impl Follow<DynamicObject> for RouteIndex {
    fn apply(&mut self, object: DynamicObject) -> Option<Workload> {
        let route = Route::of(&object)?;
        let concerned = route_workload(&route.namespace, &route.name);
        self.routes.insert((route.namespace.clone(), route.name.clone()), route);
        Some(concerned)
    }

    fn delete(&mut self, object: &DynamicObject) -> Option<Workload> {
        let (namespace, name) = (object.namespace()?, object.name_any());
        let concerned = route_workload(&namespace, &name);
        self.routes.remove(&(namespace, name));
        Some(concerned)
    }
}
