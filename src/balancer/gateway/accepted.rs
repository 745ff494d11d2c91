//! The status that controllers report for a route, as far as it is of the current generation.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::route::{ParentRef, ParentStatus, Route};

/// The combined status of all controllers at all parents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// `Accepted` and `ResolvedRefs` are True everywhere, at the current generation.
    Yes,
    /// A status of this generation is missing. The sentence names the controller.
    Waiting(String),
    /// A controller reports False. The sentence has its name and its reason.
    No(String),
}

impl Acceptance {
    /// Combines two statuses; the worse one wins.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No(sentence), _) | (_, Self::No(sentence)) => Self::No(sentence),
            (Self::Waiting(sentence), _) | (_, Self::Waiting(sentence)) => Self::Waiting(sentence),
            (Self::Yes, Self::Yes) => Self::Yes,
        }
    }

    /// The better of two statuses.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Yes, _) | (_, Self::Yes) => Self::Yes,
            (Self::Waiting(sentence), _) | (_, Self::Waiting(sentence)) => Self::Waiting(sentence),
            (Self::No(sentence), Self::No(_)) => Self::No(sentence),
        }
    }
}

/// Result of looking for a condition.
pub(super) enum Found<'a> {
    /// There is none.
    None,
    /// It is of an older generation, or has none, and is ignored.
    Older(Option<i64>),
    /// It is of the current generation.
    Current(&'a Condition),
}

/// Finds the condition of `type_` for an object at `generation`.
pub(super) fn find<'a>(conditions: &'a [Condition], type_: &str, generation: i64) -> Found<'a> {
    match conditions.iter().find(|condition| condition.type_ == type_) {
        None => Found::None,
        Some(found) if found.observed_generation.is_some_and(|of| of >= generation) => Found::Current(found),
        Some(found) => Found::Older(found.observed_generation),
    }
}

/// The status that all controllers report for the current generation of `route`.
#[must_use]
pub fn accepted(route: &Route) -> Acceptance {
    if route.parents.is_empty() {
        return Acceptance::No(format!(
            "HTTPRoute {} has no parentRefs, so no Gateway serves it",
            route.name
        ));
    }
    route.parents.iter().map(|parent| accepted_at(route, parent)).fold(Acceptance::Yes, Acceptance::and)
}

/// Whether every controller that reports on `parent` accepts the route there.
fn accepted_at(route: &Route, parent: &ParentRef) -> Acceptance {
    let statuses: Vec<&ParentStatus> = parent.meant_by(&route.statuses);
    if statuses.is_empty() {
        let (parent, name) = (named(parent), &route.name);
        return Acceptance::Waiting(format!("no controller of {parent} has accepted HTTPRoute {name} yet"));
    }
    let controllers: BTreeSet<&str> = statuses.iter().map(|status| status.controller_name.as_str()).collect();
    let of = |controller: &str| {
        let own = statuses.iter().filter(|status| status.controller_name == controller);
        let acceptances = own.map(|status| {
            ["Accepted", "ResolvedRefs"]
                .map(|type_| condition(route, parent, status, type_))
                .into_iter()
                .fold(Acceptance::Yes, Acceptance::and)
        });
        // A controller may report on each listener and refuse some: a Gateway accepts a route that one listener accepts
        // (`Accepted` of RouteParentStatus in the API reference).
        acceptances.reduce(Acceptance::or).unwrap_or(Acceptance::Yes)
    };
    controllers.into_iter().map(of).fold(Acceptance::Yes, Acceptance::and)
}

fn condition(route: &Route, parent: &ParentRef, reported: &ParentStatus, type_: &str) -> Acceptance {
    let (parent, controller, generation) = (named(parent), &reported.controller_name, route.generation);
    let Condition { status, reason, message, .. } = match find(&reported.conditions, type_, generation) {
        Found::None => {
            return Acceptance::Waiting(format!("{controller} has not reported {type_} at {parent} yet"));
        }
        Found::Older(of) => {
            let of = of.map_or_else(|| "no generation".to_owned(), |of| format!("generation {of}"));
            return Acceptance::Waiting(format!(
                "{controller} reports {of} of HTTPRoute {} at {parent}, not yet {generation}",
                route.name
            ));
        }
        Found::Current(found) => found,
    };
    match status.as_str() {
        "True" => Acceptance::Yes,
        "False" => {
            Acceptance::No(format!("{controller} reports {type_}=False at {parent} ({reason}): {message}"))
        }
        _ => Acceptance::Waiting(format!(
            "{controller} reports {type_}={status} at {parent} ({reason}): {message}"
        )),
    }
}

fn named(parent: &ParentRef) -> String {
    let namespace = parent.namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
    format!("{} {namespace}{}", parent.kind(), parent.name)
}
