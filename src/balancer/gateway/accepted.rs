//! What controllers say of a route, and whether it is about the route as it is now.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::route::{ParentRef, ParentStatus, Route};

/// What the controllers of all parents say together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// Everywhere `Accepted` and `ResolvedRefs`, at the route's generation.
    Yes,
    /// Somebody has yet to say something of this generation: who, in a sentence.
    Waiting(String),
    /// Somebody says no: who and why, in a sentence.
    No(String),
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
pub fn accepted(route: &Route) -> Word {
    if route.parents.is_empty() {
        return Word::No(format!("HTTPRoute {} has no parentRefs, so no Gateway serves it", route.name));
    }
    let mut waiting = None;
    for parent in &route.parents {
        let said: Vec<&ParentStatus> = route.said.iter().filter(|said| said.parent_ref == *parent).collect();
        if said.is_empty() {
            waiting.get_or_insert(format!(
                "nobody has said yet that {} takes HTTPRoute {}",
                named(parent),
                route.name
            ));
        }
        for said in said {
            for type_ in ["Accepted", "ResolvedRefs"] {
                match condition(route, parent, said, type_) {
                    Word::Yes => {}
                    Word::Waiting(sentence) => {
                        waiting.get_or_insert(sentence);
                    }
                    Word::No(sentence) => return Word::No(sentence),
                }
            }
        }
    }
    waiting.map_or(Word::Yes, Word::Waiting)
}

fn condition(route: &Route, parent: &ParentRef, said: &ParentStatus, type_: &str) -> Word {
    let (parent, who, generation) = (named(parent), &said.controller_name, route.generation);
    let Condition { status, reason, message, .. } = match find(&said.conditions, type_, generation) {
        Found::None => {
            return Word::Waiting(format!("{who} has not said yet whether {type_} is True at {parent}"));
        }
        Found::Older(of) => {
            let of = of.map_or_else(|| "none".to_owned(), |of| of.to_string());
            return Word::Waiting(format!(
                "{who} speaks of generation {of} of HTTPRoute {} at {parent}, and has yet to take over {generation}",
                route.name
            ));
        }
        Found::Current(found) => found,
    };
    match status.as_str() {
        "True" => Word::Yes,
        "False" => Word::No(format!("{who} says at {parent} that {type_} is False ({reason}): {message}")),
        _ => Word::Waiting(format!(
            "{who} does not know at {parent} whether {type_} is True ({reason}): {message}"
        )),
    }
}

fn named(parent: &ParentRef) -> String {
    let namespace = parent.namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
    format!("{} {namespace}{}", parent.kind(), parent.name)
}
