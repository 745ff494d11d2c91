//! The weights that a rule should have, and the change that sets them.

use serde_json::json;

use super::{
    change::{Change, set_weight, unchanged},
    original,
    route::{BackendRef, Route, Rule},
};
use plimsoll_api::{FailoverStatus, GatewayRule, PRIMARY, Percent, ScalableServiceSpec};

/// Share of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// `primary`, or the standby's name.
    pub backend: String,
    /// The Service's namespace.
    pub namespace: String,
    /// The Service's name.
    pub service: String,
    /// The Service's port. `None` for the primary: any port in the rule matches.
    pub port: Option<i32>,
    /// Its weight. All weights add up to 100, so that a weight is a percentage.
    pub weight: Percent,
}

/// The planned action.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// The rule has the wanted weights.
    InSync,
    /// Weights must be changed.
    Change(Change),
    /// Plimsoll can't or must not change the rule. The sentence says why.
    Refused(String),
}

/// The shares of the service and of its standbys: each standby gets its share of `status.failover`, the primary the rest.
#[must_use]
pub fn shares(
    (namespace, name): (&str, &str),
    spec: &ScalableServiceSpec,
    rule: &GatewayRule,
    status: Option<&FailoverStatus>,
) -> Vec<Share> {
    let mut left = Percent::HUNDRED;
    let mut standbys = Vec::new();
    for standby in spec.failover.iter().flat_map(|failover| &failover.backends) {
        let Some(service) = &standby.service else { continue };
        let known = status.and_then(|status| status.standby(&standby.name));
        let weight = known.map_or(Percent::ZERO, |known| known.weight).min(left);
        left = left.saturating_sub(weight);
        standbys.push(Share {
            backend: standby.name.clone(),
            namespace: service.namespace.clone().unwrap_or_else(|| namespace.to_owned()),
            service: service.name.clone(),
            port: Some(service.port),
            weight,
        });
    }
    let primary = Share {
        backend: PRIMARY.to_owned(),
        namespace: namespace.to_owned(),
        service: rule.service.clone().unwrap_or_else(|| name.to_owned()),
        port: None,
        weight: left,
    };
    std::iter::once(primary).chain(standbys).collect()
}

/// The next change of the rule `name`.
///
/// Backends are never added: the Services and filters of a rule belong to its owner. A backend without a share would get
/// requests outside the control of failover, so it must have weight 0. It is set to 0 if it had one of the `former` shares,
/// for example that of a standby that was removed from the spec. The original weights are recorded as changed by the
/// service `by`.
#[must_use]
pub fn plan(route: &Route, name: &str, shares: &[Share], former: &[Share], by: &str) -> Plan {
    let (index, rule) = match find(route, name) {
        Ok(found) => found,
        Err(sentence) => return Plan::Refused(sentence),
    };
    let mut ours: Vec<(usize, &BackendRef, i32)> = Vec::new();
    let has = |ours: &[(usize, _, _)], place| ours.iter().any(|(known, ..)| *known == place);
    for share in shares {
        let place = match place(route, rule, share) {
            Ok(place) => place,
            Err(sentence) => return Plan::Refused(sentence),
        };
        if has(&ours, place.0) {
            return Plan::Refused(format!(
                "rule {name} of HTTPRoute {} has one backendRef {} for both {} and another backend; each must have its own",
                route.name, share.service, share.backend
            ));
        }
        ours.push((place.0, place.1, share.weight.into()));
    }
    for place in former.iter().filter_map(|share| place(route, rule, share).ok()) {
        if !has(&ours, place.0) {
            ours.push((place.0, place.1, 0));
        }
    }
    let others = rule.backend_refs.iter().enumerate().filter(|(place, _)| !has(&ours, *place));
    if let Some((_, other)) = others.into_iter().find(|(_, backend)| backend.weight() > 0) {
        let (weight, other) = (other.weight(), &other.name);
        return Plan::Refused(format!(
            "rule {name} of HTTPRoute {} has a backendRef {other} with weight {weight}, which is neither this service nor a \
             standby of it; give it weight 0, or a rule of its own",
            route.name
        ));
    }
    let changes: Vec<_> =
        ours.iter().copied().filter(|(_, backend, weight)| backend.weight() != *weight).collect();
    if changes.is_empty() {
        return Plan::InSync;
    }
    let mut change = change(route, index, name, &changes);
    let given: Vec<_> = ours.iter().map(|(_, backend, weight)| (*backend, *weight)).collect();
    change.patch.extend(original::record(route, name, by, &given));
    Plan::Change(change)
}

fn find<'a>(route: &'a Route, name: &str) -> Result<(usize, &'a Rule), String> {
    let named = |(_, rule): &(usize, &Rule)| rule.name.as_deref() == Some(name);
    let mut found = route.rules.iter().enumerate().filter(named);
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        // The CRD's schema does not enforce unique names.
        (Some(_), Some(_)) => {
            Err(format!("HTTPRoute {} has more than one rule named {name}; names must be unique", route.name))
        }
        (None, _) => {
            let names: Vec<&str> = route.rules.iter().filter_map(|rule| rule.name.as_deref()).collect();
            let has = match names.as_slice() {
                [] => "none of its rules has a name (rule names need Gateway API 1.4 or newer)".to_owned(),
                names => format!("it has {}", names.join(", ")),
            };
            Err(format!("HTTPRoute {} has no rule named {name}; {has}", route.name))
        }
    }
}

fn place<'a>(route: &Route, rule: &'a Rule, share: &Share) -> Result<(usize, &'a BackendRef), String> {
    let fits = |(_, backend): &(usize, &BackendRef)| {
        backend.is_service()
            && backend.name == share.service
            && backend.namespace.as_deref().unwrap_or(&route.namespace) == share.namespace
            && (share.port.is_none() || backend.port == share.port)
    };
    let what = || {
        let port = share.port.map(|port| format!(" port {port}")).unwrap_or_default();
        let rule = rule.name.as_deref().unwrap_or_default();
        let Share { backend, namespace, service, .. } = share;
        (
            format!("rule {rule} of HTTPRoute {}", route.name),
            format!("Service {namespace}/{service}{port} ({backend})"),
        )
    };
    let mut found = rule.backend_refs.iter().enumerate().filter(fits);
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => {
            let (rule, service) = what();
            Err(format!("{rule} has no backendRef for {service}; add it, with weight 0 for a standby"))
        }
        (Some(_), Some(_)) => {
            let (rule, service) = what();
            Err(format!("{rule} has more than one backendRef for {service}; it must have one"))
        }
    }
}

/// The patch starts with tests of everything that it relies on. The resource version covers all of it; the names make the
/// patch readable in the API server's log.
fn change(route: &Route, index: usize, name: &str, changes: &[(usize, &BackendRef, i32)]) -> Change {
    let mut patch = unchanged(route);
    patch.push(json!({"op": "test", "path": format!("/spec/rules/{index}/name"), "value": name}));
    let mut what = Vec::new();
    for (place, backend, weight) in changes {
        let path = format!("/spec/rules/{index}/backendRefs/{place}");
        patch.push(json!({"op": "test", "path": format!("{path}/name"), "value": backend.name}));
        if let Some(namespace) = &backend.namespace {
            patch.push(json!({"op": "test", "path": format!("{path}/namespace"), "value": namespace}));
        }
        patch.push(set_weight(index, *place, *weight));
        what.push(format!("{} {} -> {weight}", backend.name, backend.weight()));
    }
    Change { patch, what: what.join(", ") }
}
