//! The direct address of the Service behind a rule: the probe asks it whether a 404 or 5xx comes from the Service itself.

use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::{
    core::v1::{Service, ServiceSpec},
    discovery::v1::EndpointSlice,
};
use kube::{Api, Client, api::ListParams};

use crate::balancer::gateway::{Route, Rule};

/// The address of the Service with the largest weight; `None` if there is none, or it can't be read.
pub(super) async fn heaviest(client: &Client, route: &Route, rule: &Rule) -> Option<SocketAddr> {
    let services = rule.backend_refs.iter().filter(|backend| backend.is_service());
    let backend = services.max_by_key(|backend| backend.weight())?;
    let namespace = backend.namespace.as_deref().unwrap_or(&route.namespace);
    let api: Api<Service> = Api::namespaced(client.clone(), namespace);
    let spec = api.get_opt(&backend.name).await.ok()??.spec?;
    let port = backend.port?;
    if let Some(address) = of_its_own(&spec, port) {
        return Some(address);
    }
    let api: Api<EndpointSlice> = Api::namespaced(client.clone(), namespace);
    let ours = ListParams::default().labels(&format!("kubernetes.io/service-name={}", backend.name));
    of_a_pod(&spec, port, &api.list(&ours).await.ok()?.items)
}

/// The Service's own address; `None` if it is headless.
fn of_its_own(spec: &ServiceSpec, port: i32) -> Option<SocketAddr> {
    let address: IpAddr = spec.cluster_ip.as_deref()?.parse().ok()?;
    Some(SocketAddr::new(address, u16::try_from(port).ok()?))
}

/// A ready pod of a headless Service, at the target port of this Service port. Ports of a slice have the names of the
/// Service's ports, and no name if there is only one port without a name (discovery/v1).
fn of_a_pod(spec: &ServiceSpec, port: i32, slices: &[EndpointSlice]) -> Option<SocketAddr> {
    let name = spec.ports.iter().flatten().find(|one| one.port == port)?.name.clone().unwrap_or_default();
    slices.iter().find_map(|slice| {
        let mut ports = slice.ports.iter().flatten();
        let port = ports.find(|one| one.name.clone().unwrap_or_default() == name)?.port?;
        let ready = slice.endpoints.iter().find(|endpoint| {
            endpoint.conditions.as_ref().is_none_or(|conditions| conditions.ready.unwrap_or(true))
        })?;
        let address: IpAddr = ready.addresses.first()?.parse().ok()?;
        Some(SocketAddr::new(address, u16::try_from(port).ok()?))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn spec(cluster_ip: &str) -> ServiceSpec {
        let ports = json!([{"name": "http", "port": 80}, {"name": "admin", "port": 81}]);
        serde_json::from_value(json!({"clusterIP": cluster_ip, "ports": ports})).unwrap()
    }

    fn slice(ports: &Value, endpoints: &Value) -> EndpointSlice {
        serde_json::from_value(json!({"addressType": "IPv4", "ports": ports, "endpoints": endpoints}))
            .unwrap()
    }

    #[test]
    fn a_service_has_its_cluster_ip_and_a_headless_one_the_address_of_a_ready_pod() {
        assert_eq!(of_its_own(&spec("10.96.0.7"), 80), "10.96.0.7:80".parse().ok());
        assert_eq!(of_its_own(&spec("None"), 80), None);

        let ports = json!([{"name": "admin", "port": 9081}, {"name": "http", "port": 8080}]);
        let endpoints = json!([
            {"addresses": ["10.0.0.1"], "conditions": {"ready": false}},
            {"addresses": ["10.0.0.2"], "conditions": {"ready": true}},
        ]);
        let none_ready = slice(&ports, &json!([{"addresses": ["10.0.0.9"], "conditions": {"ready": false}}]));
        let slices = [none_ready, slice(&ports, &endpoints)];
        assert_eq!(of_a_pod(&spec("None"), 80, &slices), "10.0.0.2:8080".parse().ok());
        assert_eq!(of_a_pod(&spec("None"), 81, &slices), "10.0.0.2:9081".parse().ok());
        assert_eq!(of_a_pod(&spec("None"), 82, &slices), None);
        assert_eq!(of_a_pod(&spec("None"), 80, &slices[..1]), None);
    }

    #[test]
    fn a_single_port_needs_no_name_and_an_endpoint_without_conditions_is_ready() {
        let spec = serde_json::from_value(json!({"clusterIP": "None", "ports": [{"port": 80}]})).unwrap();
        let unnamed = slice(&json!([{"name": "", "port": 8080}]), &json!([{"addresses": ["10.0.0.3"]}]));
        assert_eq!(of_a_pod(&spec, 80, &[unnamed]), "10.0.0.3:8080".parse().ok());
    }
}
