//! What is read of an HTTPRoute (`gateway.networking.k8s.io/v1`): the rest is none of Plimsoll's business.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    ResourceExt as _,
    api::{ApiResource, DynamicObject, GroupVersionKind},
};
use serde::Deserialize;

/// Of the Gateway API.
pub(super) const GROUP: &str = "gateway.networking.k8s.io";
/// The annotation of an HTTPRoute with the weights that its rules had before Plimsoll changed them, as JSON.
pub const ORIGINALS_ANNOTATION: &str = "plimsoll.dev/original-weights";
/// Group and version of HTTPRoute and Gateway.
pub const API_VERSION: &str = "gateway.networking.k8s.io/v1";

/// HTTPRoute, which may or may not be served.
#[must_use]
pub fn route_resource() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(GROUP, "v1", "HTTPRoute"))
}

/// Gateway.
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
    /// Which of all that ever had this name.
    pub uid: String,
    /// What a change is made on.
    pub resource_version: String,
    /// Counts the changes of its spec.
    pub generation: i64,
    /// Where it wants to be.
    pub parents: Vec<ParentRef>,
    /// Whose requests it is for; all if there are none.
    pub hostnames: Vec<String>,
    /// In their order.
    pub rules: Vec<Rule>,
    /// What controllers say of it.
    pub said: Vec<ParentStatus>,
    /// Whether it has any annotation.
    pub(super) is_annotated: bool,
    /// The value of [`ORIGINALS_ANNOTATION`].
    pub(super) originals: Option<String>,
}

/// Where a route wants to be.
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
    /// One of its listeners.
    #[serde(default)]
    pub section_name: Option<String>,
    /// Its listeners of this port.
    #[serde(default)]
    pub port: Option<i32>,
}

impl ParentRef {
    /// Whether it is a Gateway, as it is if nothing is said.
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

    /// What of `said` is about this parent of the route: where it is named as it stands there or, if it is nowhere, about
    /// parts of it. Implementations leave out what is the default, add it, or speak of each listener.
    pub(super) fn meant_by<'a>(&self, said: &'a [ParentStatus]) -> Vec<&'a ParentStatus> {
        let part = |said: &&ParentStatus| {
            let Self { section_name, port, .. } = &said.parent_ref;
            self.is_same_object(&said.parent_ref)
                && agree(self.section_name.as_ref(), section_name.as_ref())
                && agree(self.port.as_ref(), port.as_ref())
        };
        let whole = |said: &&ParentStatus| {
            let Self { section_name, port, .. } = &said.parent_ref;
            *section_name == self.section_name && *port == self.port
        };
        let parts: Vec<_> = said.iter().filter(part).collect();
        let wholes: Vec<_> = parts.iter().copied().filter(whole).collect();
        if wholes.is_empty() { parts } else { wholes }
    }

    /// Whether both name the same object, whichever of its listeners they mean.
    pub(super) fn is_same_object(&self, other: &Self) -> bool {
        self.group() == other.group()
            && self.kind() == other.kind()
            && self.name == other.name
            && agree(self.namespace.as_ref(), other.namespace.as_ref())
    }
}

/// What is left out on either side says nothing against the other.
fn agree<T: PartialEq>(one: Option<&T>, other: Option<&T>) -> bool {
    one.zip(other).is_none_or(|(one, other)| one == other)
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// Its name, which not every rule has.
    #[serde(default)]
    pub name: Option<String>,
    /// Which requests it is for.
    #[serde(default)]
    pub matches: Vec<Match>,
    /// Where they go.
    #[serde(default)]
    pub backend_refs: Vec<BackendRef>,
}

/// Which requests a rule is for.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Match {
    /// By path.
    #[serde(default)]
    pub path: Option<Value>,
    /// By method.
    #[serde(default)]
    pub method: Option<String>,
    /// By headers.
    #[serde(default)]
    pub headers: Vec<NamedValue>,
    /// By parameters.
    #[serde(default)]
    pub query_params: Vec<NamedValue>,
}

/// A value, and how it is compared.
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
    /// Its value, and how it is compared.
    #[serde(flatten)]
    pub value: Value,
}

/// Where requests go.
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
    /// Its part of the sum of all weights; 1 by default.
    #[serde(default)]
    pub weight: Option<i32>,
}

impl BackendRef {
    /// Its part of the sum of all weights.
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

/// What one controller says of the route at one parent.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentStatus {
    /// Where.
    pub parent_ref: ParentRef,
    /// Who.
    #[serde(default)]
    pub controller_name: String,
    /// What.
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
    /// What is read of `object`; `None` if it is not understood, which the CRD's schema does not let happen.
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
            said: status.parents,
            is_annotated: object.metadata.annotations.is_some(),
            originals: object.annotations().get(ORIGINALS_ANNOTATION).cloned(),
        })
    }
}
