//! Parses an HTTP request into an API call.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Method, header, request::Parts};
use serde_json::Value;

use super::{failure::Failure, faults::Target, kinds::Kind};

/// The type of a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PatchType {
    Apply,
    Json,
    Merge,
}

/// The verb of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch(PatchType),
    Delete,
}

impl Verb {
    /// The verb's name in RBAC.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch(_) => "patch",
            Self::Delete => "delete",
        }
    }
}

/// A call on a resource.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) verb: Verb,
    pub(crate) kind: Kind,
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
    pub(crate) subresource: Option<String>,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) body: Value,
    /// Only metadata is wanted (`PartialObjectMetadata`).
    pub(crate) metadata_only: bool,
}

/// The route of a path.
pub(crate) enum Route {
    /// Discovery of a group and version, as `apps/v1` or `v1`.
    Discovery(String),
    Resource(Box<Request>),
}

impl Route {
    pub(crate) fn of(parts: &Parts, body: &Bytes, kinds: &[Kind]) -> Result<Self, Failure> {
        let path: Vec<&str> = parts.uri.path().split('/').filter(|part| !part.is_empty()).collect();
        let (group, version, rest) = match path.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return Err(Failure::no_such_path()),
        };
        if rest.is_empty() {
            let discovered = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
            return Ok(Self::Discovery(discovered));
        }
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some((*namespace).to_owned()), rest),
            rest => (None, rest),
        };
        let (plural, name, subresource) = match rest {
            [plural] => (*plural, "", None),
            [plural, name] => (*plural, *name, None),
            [plural, name, subresource] => (*plural, *name, Some((*subresource).to_owned())),
            _ => return Err(Failure::not_served(group, kinds)),
        };
        let served = |kind: &&Kind| (kind.group, kind.version, kind.plural) == (group, version, plural);
        let kind = kinds.iter().find(served).ok_or_else(|| Failure::not_served(group, kinds))?.clone();
        if subresource.as_deref().is_some_and(|name| !kind.subresources.contains(&name)) {
            return Err(Failure::not_served(group, kinds));
        }
        let query = query(parts.uri.query().unwrap_or_default());
        for unknown in ["labelSelector", "fieldSelector", "sendInitialEvents", "dryRun"] {
            if query.contains_key(unknown) {
                return Err(Failure::not_implemented(unknown));
            }
        }
        let verb = verb(parts, name, &query)?;
        let body = if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(body).map_err(|error| Failure::bad_request(error.to_string()))?
        };
        let accept = parts.headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
        let metadata_only = accept.is_some_and(|accept| accept.contains("as=PartialObjectMetadata"));
        let name = name.to_owned();
        let request = Request { verb, kind, namespace, name, subresource, query, body, metadata_only };
        Ok(Self::Resource(Box::new(request)))
    }
}

fn verb(parts: &Parts, name: &str, query: &BTreeMap<String, String>) -> Result<Verb, Failure> {
    let watches = query.get("watch").is_some_and(|watch| watch == "true");
    Ok(match parts.method {
        Method::GET if name.is_empty() && watches => Verb::Watch,
        Method::GET if name.is_empty() => Verb::List,
        Method::GET => Verb::Get,
        Method::POST => Verb::Create,
        Method::PUT => Verb::Update,
        Method::DELETE => Verb::Delete,
        Method::PATCH => {
            let type_ = parts.headers.get(header::CONTENT_TYPE).and_then(|type_| type_.to_str().ok());
            Verb::Patch(match type_ {
                Some("application/apply-patch+yaml") => PatchType::Apply,
                Some("application/json-patch+json") => PatchType::Json,
                Some("application/merge-patch+json") => PatchType::Merge,
                other => return Err(Failure::not_implemented(&format!("patches of type {other:?}"))),
            })
        }
        _ => return Err(Failure::not_implemented(parts.method.as_str())),
    })
}

fn query(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), decoded(value))).collect()
}

/// Percent-decodes a value; the controller sends no `+`.
fn decoded(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        let hex = |byte: Option<u8>| char::from(byte.unwrap_or_default()).to_digit(16);
        match byte {
            b'%' => {
                let (high, low) = (hex(rest.next()), hex(rest.next()));
                let value = high.unwrap_or_default() * 16 + low.unwrap_or_default();
                bytes.push(u8::try_from(value).unwrap_or_default());
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Request {
    pub(crate) fn target<'a>(&'a self, client: &'a str) -> Target<'a> {
        Target {
            client,
            verb: self.verb.name(),
            resource: self.kind.plural,
            subresource: self.subresource.as_deref(),
        }
    }

    /// The kind of call, without names and contents: `patch(apply) scalableservices/status`.
    pub(crate) fn shape(&self) -> String {
        let verb = match self.verb {
            Verb::Patch(PatchType::Apply) => "patch(apply)",
            Verb::Patch(PatchType::Json) => "patch(json)",
            Verb::Patch(PatchType::Merge) => "patch(merge)",
            verb => verb.name(),
        };
        let subresource = self.subresource.as_ref().map(|name| format!("/{name}")).unwrap_or_default();
        let metadata = if self.metadata_only { " (metadata)" } else { "" };
        format!("{verb} {}{subresource}{metadata}", self.kind.called())
    }
}
