//! The watched objects: Gateways of our class, and the rules of the routes that are attached to them.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use kube::{ResourceExt as _, api::DynamicObject};
use serde_json::{Value, json};

use crate::args::Args;

/// Annotation of a Gateway with its lies.
const LIES: &str = "plimsoll.dev/lies";

/// How implementations of the Gateway API lie; the annotation lists the names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lies {
    /// `early`: status reports a change seconds before it is in force.
    pub early: bool,
    /// `stale`: status is no longer written, so it is of an older generation.
    pub stale: bool,
    /// `empty-503`: the share of a backend without endpoints is answered with 503 (as the specification requires); otherwise
    /// the other backends get it.
    pub empty: bool,
    /// `sections`: status has a parentRef for each listener, though the route refers to the Gateway, and never a port.
    pub sections: bool,
}

/// Identifies an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Kind of the object.
    pub kind: &'static str,
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
}

/// A Gateway of our class.
#[derive(Clone, Debug, PartialEq)]
pub struct Gateway {
    /// Kind, namespace and name.
    pub key: Key,
    /// `metadata.generation`.
    pub generation: i64,
    /// Ports of the HTTP listeners.
    pub ports: Vec<u16>,
    /// Names of the HTTP listeners.
    pub sections: Vec<String>,
    lies: Lies,
}

/// A route that is attached to a Gateway of our class.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Kind, namespace and name.
    pub key: Key,
    /// `metadata.generation`.
    pub generation: i64,
    /// `parentRefs` to Gateways of our class, as they are written to status.
    pub parents: Vec<Value>,
    /// Ports of those Gateways.
    pub ports: Vec<u16>,
    /// Hostnames; an empty list matches every host.
    pub hostnames: Vec<String>,
    /// Rules in the order of the spec.
    pub rules: Vec<Rule>,
    /// A referenced Service that does not exist.
    pub missing: Option<String>,
}

/// A rule of a route: paths and backends.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Path prefixes.
    pub paths: Vec<String>,
    /// Weight and endpoints of each backend.
    pub backends: Vec<(i64, Vec<(IpAddr, u16)>)>,
}

/// All Gateways and routes.
#[derive(Clone, Debug, PartialEq)]
pub struct World {
    /// Gateways of our class.
    pub gateways: Vec<Gateway>,
    /// Routes that are attached to these Gateways.
    pub routes: Vec<Route>,
}

type Objects = [Arc<DynamicObject>];

impl World {
    /// Builds the world from the watched objects.
    pub fn of(
        args: &Args,
        gateways: &Objects,
        routes: &Objects,
        slices: &Objects,
        services: &Objects,
    ) -> Self {
        let mut gateways: Vec<Gateway> =
            gateways.iter().filter_map(|object| Gateway::of(object, &args.class)).collect();
        gateways.sort_by(|one, two| one.key.cmp(&two.key));
        let endpoints = endpoints(slices, args.loopback);
        let exists = |namespace: &str, name: &str| {
            services.iter().any(|service| {
                service.namespace().as_deref() == Some(namespace) && service.name_any() == name
            })
        };
        let mut routes: Vec<Route> =
            routes.iter().filter_map(|object| Route::of(object, &gateways, &endpoints, exists)).collect();
        routes.sort_by(|one, two| one.key.cmp(&two.key));
        Self { gateways, routes }
    }

    /// Union of the lies of all Gateways.
    pub fn lies(&self) -> Lies {
        self.gateways.iter().fold(Lies::default(), |all, gateway| Lies {
            early: all.early || gateway.lies.early,
            stale: all.stale || gateway.lies.stale,
            empty: all.empty || gateway.lies.empty,
            sections: all.sections || gateway.lies.sections,
        })
    }
}

impl Gateway {
    fn of(object: &DynamicObject, class: &str) -> Option<Self> {
        if text(&object.data, "/spec/gatewayClassName")? != class {
            return None;
        }
        let words = object.annotations().get(LIES).cloned().unwrap_or_default();
        let lies = |word: &str| words.split(',').any(|one| one.trim() == word);
        let listeners = list(&object.data, "/spec/listeners");
        let plain = listeners.filter(|listener| text(listener, "/protocol").as_deref() == Some("HTTP"));
        let plain: Vec<_> = plain.collect();
        Some(Self {
            key: key("Gateway", object),
            generation: object.metadata.generation.unwrap_or_default(),
            ports: plain.iter().filter_map(|listener| port(listener, "/port")).collect(),
            sections: plain.iter().filter_map(|listener| text(listener, "/name")).collect(),
            lies: Lies {
                early: lies("early"),
                stale: lies("stale"),
                empty: lies("empty-503"),
                sections: lies("sections"),
            },
        })
    }

    /// `parentRef` entries of a route's status for this `parent`.
    fn status_refs(&self, parent: &Value) -> Vec<Value> {
        if !self.lies.sections {
            return vec![parent.clone()];
        }
        let section = |name: &String| json!({"name": self.key.name, "namespace": self.key.namespace, "sectionName": name});
        self.sections.iter().map(section).collect()
    }
}

type Endpoints = BTreeMap<(String, String), Vec<(IpAddr, u16)>>;

impl Route {
    fn of(
        object: &DynamicObject,
        gateways: &[Gateway],
        endpoints: &Endpoints,
        exists: impl Fn(&str, &str) -> bool,
    ) -> Option<Self> {
        let key = key("HTTPRoute", object);
        let data = &object.data;
        let ours = |parent: &Value| {
            let namespace = text(parent, "/namespace").unwrap_or_else(|| key.namespace.clone());
            let name = text(parent, "/name")?;
            gateways.iter().find(|gateway| gateway.key.namespace == namespace && gateway.key.name == name)
        };
        let parents: Vec<(&Value, &Gateway)> =
            list(data, "/spec/parentRefs").filter_map(|parent| Some((parent, ours(parent)?))).collect();
        if parents.is_empty() {
            return None;
        }
        let mut missing = None;
        let mut rules = Vec::new();
        for rule in list(data, "/spec/rules") {
            let paths: Vec<String> =
                list(rule, "/matches").filter_map(|one| text(one, "/path/value")).collect();
            let mut backends = Vec::new();
            for backend in list(rule, "/backendRefs") {
                let namespace = text(backend, "/namespace").unwrap_or_else(|| key.namespace.clone());
                let name = text(backend, "/name").unwrap_or_default();
                if !exists(&namespace, &name) {
                    missing = Some(format!("{namespace}/{name}"));
                }
                let weight = backend.pointer("/weight").and_then(Value::as_i64).unwrap_or(1);
                backends.push((weight, endpoints.get(&(namespace, name)).cloned().unwrap_or_default()));
            }
            rules.push(Rule { paths: if paths.is_empty() { vec!["/".to_owned()] } else { paths }, backends });
        }
        let mut ports: Vec<u16> =
            parents.iter().flat_map(|(_, gateway)| gateway.ports.iter().copied()).collect();
        ports.sort_unstable();
        ports.dedup();
        let hostnames = list(data, "/spec/hostnames").filter_map(Value::as_str).map(str::to_owned).collect();
        let generation = object.metadata.generation.unwrap_or_default();
        let parents = parents.into_iter().flat_map(|(parent, gateway)| gateway.status_refs(parent)).collect();
        Some(Self { key, generation, parents, ports, hostnames, rules, missing })
    }
}

/// Ready endpoints by namespace and Service.
fn endpoints(slices: &Objects, loopback: bool) -> Endpoints {
    let mut all = Endpoints::new();
    for slice in slices {
        let Some(service) = slice.labels().get("kubernetes.io/service-name") else { continue };
        let port = list(&slice.data, "/ports").find_map(|one| port(one, "/port"));
        let ready =
            |endpoint: &&Value| endpoint.pointer("/conditions/ready").and_then(Value::as_bool) != Some(false);
        let addresses = list(&slice.data, "/endpoints").filter(ready);
        let addresses = addresses.filter_map(|endpoint| text(endpoint, "/addresses/0")?.parse().ok());
        let place = all.entry((slice.namespace().unwrap_or_default(), service.clone())).or_default();
        place.extend(addresses.filter_map(|address| Some((real(address, loopback), port?))));
        place.sort_unstable();
    }
    all
}

fn real(address: IpAddr, loopback: bool) -> IpAddr {
    match address {
        IpAddr::V4(v4) if loopback && v4.octets().starts_with(&[192, 0, 2]) => {
            let [.., last] = v4.octets();
            Ipv4Addr::new(127, 0, 0, last).into()
        }
        other => other,
    }
}

fn key(kind: &'static str, object: &DynamicObject) -> Key {
    Key { kind, namespace: object.namespace().unwrap_or_default(), name: object.name_any() }
}

fn text(value: &Value, path: &str) -> Option<String> {
    value.pointer(path).and_then(Value::as_str).map(str::to_owned)
}

fn port(value: &Value, path: &str) -> Option<u16> {
    value.pointer(path).and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok())
}

fn list<'a>(value: &'a Value, path: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    value.pointer(path).and_then(Value::as_array).into_iter().flatten()
}
