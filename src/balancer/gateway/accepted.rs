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
    let Some(found) = said.conditions.iter().find(|condition| condition.type_ == type_) else {
        return Word::Waiting(format!("{who} has not said yet whether {type_} is True at {parent}"));
    };
    let of = found.observed_generation;
    if of.is_none_or(|of| of < generation) {
        let of = of.map_or_else(|| "none".to_owned(), |of| of.to_string());
        return Word::Waiting(format!(
            "{who} speaks of generation {of} of HTTPRoute {} at {parent}, and has yet to take over {generation}",
            route.name
        ));
    }
    let Condition { status, reason, message, .. } = found;
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
