//! What controllers say of a route, and whether it is about the route as it is now.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::route::{ParentRef, ParentStatus, Route};

/// What the controllers of all parents say together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// Everywhere `Accepted` and `ResolvedRefs`, at the route's generation.
    Yes,
    /// Somebody has yet to say something of this generation: who, in a sentence.
    Waiting(String),
    /// Somebody says no: who and why, in a sentence.
    No(String),
}

impl Acceptance {
    /// What both say together: one no is a no.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No(sentence), _) | (_, Self::No(sentence)) => Self::No(sentence),
            (Self::Waiting(sentence), _) | (_, Self::Waiting(sentence)) => Self::Waiting(sentence),
            (Self::Yes, Self::Yes) => Self::Yes,
        }
    }

    /// The better of two words.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Yes, _) | (_, Self::Yes) => Self::Yes,
            (Self::Waiting(sentence), _) | (_, Self::Waiting(sentence)) => Self::Waiting(sentence),
            (Self::No(sentence), Self::No(_)) => Self::No(sentence),
        }
    }
}

/// What conditions have of one type.
pub(super) enum Found<'a> {
    /// Nothing.
    None,
    /// One that speaks of an older generation, or of none, and so says nothing.
    Older(Option<i64>),
    /// One that speaks of the object as it is now.
    Current(&'a Condition),
}

/// Looks for the condition of `type_`, for an object that is at `generation`.
pub(super) fn find<'a>(conditions: &'a [Condition], type_: &str, generation: i64) -> Found<'a> {
    match conditions.iter().find(|condition| condition.type_ == type_) {
        None => Found::None,
        Some(found) if found.observed_generation.is_some_and(|of| of >= generation) => Found::Current(found),
        Some(found) => Found::Older(found.observed_generation),
    }
}

/// What they say of `route` as it is now; what was said of an older generation is nothing.
#[must_use]
pub fn accepted(route: &Route) -> Acceptance {
    if route.parents.is_empty() {
        return Acceptance::No(format!(
            "HTTPRoute {} has no parentRefs, so no Gateway serves it",
            route.name
        ));
    }
    route.parents.iter().map(|parent| taken(route, parent)).fold(Acceptance::Yes, Acceptance::and)
}

/// Whether every controller that speaks of `parent` takes the route there.
fn taken(route: &Route, parent: &ParentRef) -> Acceptance {
    let said: Vec<&ParentStatus> = parent.meant_by(&route.said);
    if said.is_empty() {
        let (parent, name) = (named(parent), &route.name);
        return Acceptance::Waiting(format!("nobody has said yet that {parent} takes HTTPRoute {name}"));
    }
    let who: BTreeSet<&str> = said.iter().map(|said| said.controller_name.as_str()).collect();
    let of = |who: &str| {
        let his = said.iter().filter(|said| said.controller_name == who);
        let words = his.map(|said| {
            ["Accepted", "ResolvedRefs"]
                .map(|type_| condition(route, parent, said, type_))
                .into_iter()
                .fold(Acceptance::Yes, Acceptance::and)
        });
        // Who speaks of each listener may refuse some: a Gateway takes a route that one of them takes (`Accepted` of
        // RouteParentStatus in the API reference).
        words.reduce(Acceptance::or).unwrap_or(Acceptance::Yes)
    };
    who.into_iter().map(of).fold(Acceptance::Yes, Acceptance::and)
}

fn condition(route: &Route, parent: &ParentRef, said: &ParentStatus, type_: &str) -> Acceptance {
    let (parent, who, generation) = (named(parent), &said.controller_name, route.generation);
    let Condition { status, reason, message, .. } = match find(&said.conditions, type_, generation) {
        Found::None => {
            return Acceptance::Waiting(format!(
                "{who} has not said yet whether {type_} is True at {parent}"
            ));
        }
        Found::Older(of) => {
            let of = of.map_or_else(|| "none".to_owned(), |of| of.to_string());
            return Acceptance::Waiting(format!(
                "{who} speaks of generation {of} of HTTPRoute {} at {parent}, and has yet to take over {generation}",
                route.name
            ));
        }
        Found::Current(found) => found,
    };
    match status.as_str() {
        "True" => Acceptance::Yes,
        "False" => {
            Acceptance::No(format!("{who} says at {parent} that {type_} is False ({reason}): {message}"))
        }
        _ => Acceptance::Waiting(format!(
            "{who} does not know at {parent} whether {type_} is True ({reason}): {message}"
        )),
    }
}

fn named(parent: &ParentRef) -> String {
    let namespace = parent.namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
    format!("{} {namespace}{}", parent.kind(), parent.name)
}
