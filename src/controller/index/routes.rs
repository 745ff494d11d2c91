//! HTTPRoutes, if they are served.

use std::collections::HashMap;

use kube::{ResourceExt as _, api::DynamicObject};

use super::follow::{Follow, Workload};
use crate::balancer::gateway::Route;

/// What is known of HTTPRoutes.
#[derive(Debug, Default)]
pub struct RouteIndex {
    routes: HashMap<(String, String), Route>,
}

/// Whether HTTPRoutes can be known at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Served {
    /// Nobody has asked yet, or they are not listed yet.
    #[default]
    Unknown,
    /// The operator has no right to them: the chart was installed without traffic.
    Off,
    /// The cluster does not serve them.
    No,
    /// They were listed.
    Yes,
}

impl RouteIndex {
    /// The route of that name.
    #[must_use]
    pub fn get(&self, namespace: &str, name: &str) -> Option<&Route> {
        self.routes.get(&(namespace.to_owned(), name.to_owned()))
    }
}

/// The place of a route among what services want to hear of.
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
