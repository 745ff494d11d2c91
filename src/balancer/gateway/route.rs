//! The parts of an HTTPRoute (`gateway.networking.k8s.io/v1`) that Plimsoll reads.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    ResourceExt as _,
    api::{ApiResource, DynamicObject, GroupVersionKind},
};
use serde::Deserialize;

/// API group of the Gateway API.
pub(super) const GROUP: &str = "gateway.networking.k8s.io";
/// The annotation of an HTTPRoute with the weights that its rules had before Plimsoll changed them, as JSON.
pub const ORIGINALS_ANNOTATION: &str = "plimsoll.dev/original-weights";
/// Group and version of HTTPRoute and Gateway.
pub const API_VERSION: &str = "gateway.networking.k8s.io/v1";

/// The resource HTTPRoute; a cluster may lack it.
#[must_use]
pub fn route_resource() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(GROUP, "v1", "HTTPRoute"))
}

/// The resource Gateway.
#[must_use]
pub fn gateway_resource() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(GROUP, "v1", "Gateway"))
}

/// An HTTPRoute.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its resource version, which a change must match.
    pub resource_version: String,
    /// Its generation.
    pub generation: i64,
    /// Its parentRefs.
    pub parents: Vec<ParentRef>,
    /// Its hostnames; empty for all.
    pub hostnames: Vec<String>,
    /// Its rules, in order.
    pub rules: Vec<Rule>,
    /// The status that controllers report.
    pub statuses: Vec<ParentStatus>,
    /// Whether it has any annotation.
    pub(super) is_annotated: bool,
    /// The value of [`ORIGINALS_ANNOTATION`].
    pub(super) originals: Option<String>,
}

/// A parent that a route attaches to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentRef {
    /// API group of the parent.
    #[serde(default)]
    pub group: Option<String>,
    /// Kind of the parent.
    #[serde(default)]
    pub kind: Option<String>,
    /// Its namespace; the route's own by default.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Name of one of its listeners.
    #[serde(default)]
    pub section_name: Option<String>,
    /// Port of its listeners.
    #[serde(default)]
    pub port: Option<i32>,
}

impl ParentRef {
    /// Whether it is a Gateway, the default.
    #[must_use]
    pub fn is_gateway(&self) -> bool {
        self.group() == GROUP && self.kind() == "Gateway"
    }

    fn group(&self) -> &str {
        self.group.as_deref().unwrap_or(GROUP)
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.kind.as_deref().unwrap_or("Gateway")
    }

    /// The statuses for this parent of the route: those with the same listener and port or, if there are none, those that do
    /// not contradict them. Implementations may omit defaults, add them, or report on each listener.
    pub(super) fn meant_by<'a>(&self, statuses: &'a [ParentStatus]) -> Vec<&'a ParentStatus> {
        let part = |status: &&ParentStatus| {
            let Self { section_name, port, .. } = &status.parent_ref;
            self.is_same_object(&status.parent_ref)
                && agree(self.section_name.as_ref(), section_name.as_ref())
                && agree(self.port.as_ref(), port.as_ref())
        };
        let whole = |status: &&ParentStatus| {
            let Self { section_name, port, .. } = &status.parent_ref;
            *section_name == self.section_name && *port == self.port
        };
        let parts: Vec<_> = statuses.iter().filter(part).collect();
        let wholes: Vec<_> = parts.iter().copied().filter(whole).collect();
        if wholes.is_empty() { parts } else { wholes }
    }

    /// Whether both refer to the same object, regardless of the listener.
    pub(super) fn is_same_object(&self, other: &Self) -> bool {
        self.group() == other.group()
            && self.kind() == other.kind()
            && self.name == other.name
            && agree(self.namespace.as_ref(), other.namespace.as_ref())
    }
}

/// Whether two optional values are equal; an absent value matches any.
fn agree<T: PartialEq>(one: Option<&T>, other: Option<&T>) -> bool {
    one.zip(other).is_none_or(|(one, other)| one == other)
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// Its name; optional.
    #[serde(default)]
    pub name: Option<String>,
    /// The requests it matches.
    #[serde(default)]
    pub matches: Vec<Match>,
    /// Its backends.
    #[serde(default)]
    pub backend_refs: Vec<BackendRef>,
}

/// A match of a rule.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Match {
    /// Path.
    #[serde(default)]
    pub path: Option<Value>,
    /// Method.
    #[serde(default)]
    pub method: Option<String>,
    /// Headers.
    #[serde(default)]
    pub headers: Vec<NamedValue>,
    /// Query parameters.
    #[serde(default)]
    pub query_params: Vec<NamedValue>,
}

/// A value and its type of comparison.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Value {
    /// `Exact`, `PathPrefix` or `RegularExpression`.
    #[serde(default, rename = "type")]
    pub type_: Option<String>,
    /// The value.
    #[serde(default)]
    pub value: Option<String>,
}

/// A header or a parameter.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct NamedValue {
    /// Its name.
    pub name: String,
    /// Its value and type of comparison.
    #[serde(flatten)]
    pub value: Value,
}

/// A backend of a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct BackendRef {
    /// API group; a Service's is empty.
    #[serde(default)]
    pub group: Option<String>,
    /// Kind; Service by default.
    #[serde(default)]
    pub kind: Option<String>,
    /// Its name.
    pub name: String,
    /// Its namespace; the route's own by default.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Its port.
    #[serde(default)]
    pub port: Option<i32>,
    /// Its weight, relative to the sum of all weights; 1 by default.
    #[serde(default)]
    pub weight: Option<i32>,
}

impl BackendRef {
    /// Its weight, relative to the sum of all weights.
    #[must_use]
    pub fn weight(&self) -> i32 {
        self.weight.unwrap_or(1)
    }

    /// Whether it is a Service.
    #[must_use]
    pub fn is_service(&self) -> bool {
        self.group.as_deref().unwrap_or_default().is_empty()
            && self.kind.as_deref().unwrap_or("Service") == "Service"
    }
}

/// The status that one controller reports for the route at one parent.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentStatus {
    /// The parent.
    pub parent_ref: ParentRef,
    /// The controller.
    #[serde(default)]
    pub controller_name: String,
    /// Its conditions.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

#[derive(Deserialize)]
struct Body {
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    parent_refs: Vec<ParentRef>,
    #[serde(default)]
    hostnames: Vec<String>,
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Default, Deserialize)]
struct Status {
    #[serde(default)]
    parents: Vec<ParentStatus>,
}

impl Route {
    /// Parses `object`; `None` if it is invalid, which the CRD's schema rules out.
    #[must_use]
    pub fn of(object: &DynamicObject) -> Option<Self> {
        let Body { spec, status } = Body::deserialize(&object.data).ok()?;
        Some(Self {
            namespace: object.namespace()?,
            name: object.name_any(),
            uid: object.uid()?,
            resource_version: object.resource_version()?,
            generation: object.metadata.generation.unwrap_or_default(),
            parents: spec.parent_refs,
            hostnames: spec.hostnames,
            rules: spec.rules,
            statuses: status.parents,
            is_annotated: object.metadata.annotations.is_some(),
            originals: object.annotations().get(ORIGINALS_ANNOTATION).cloned(),
        })
    }
}
