//! Makes the objects of a balancer. Pure.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{Service, ServiceAccount, ServicePort, ServiceSpec},
        policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
        rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject},
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference},
        util::intstr::IntOrString,
    },
};
use kube::{Resource as _, ResourceExt as _};

use super::{
    error::{BalancerError, NAME_MAX},
    setup::Setup,
};
use crate::balancer::{HEALTH_PORT, LOW_PORTS_UP, nginx::OWN_PORT};
use plimsoll_api::{
    BALANCER_LABEL, GROUP, ScalableService, Software, Traffic, balancer_name, endpoints_name,
};

/// Port of the agent's own metrics and health.
pub const AGENT_PORT: u16 = 9102;
/// Port of the gate, on the loopback of the pod.
pub const GATE_PORT: u16 = 9103;
/// Properties of the target behind the balancers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backend {
    /// The labels of its pods.
    pub selector: BTreeMap<String, String>,
    /// The priority class of its pods, if its pod template has one.
    pub priority_class: Option<String>,
}

/// Makes the objects of one service.
pub(super) struct Maker<'a> {
    pub(super) service: &'a ScalableService,
    pub(super) traffic: &'a Traffic,
    /// The operator's configuration.
    pub(super) setup: &'a Setup,
    /// The target behind the balancer.
    pub(super) backend: &'a Backend,
    /// The load balancer software.
    pub(super) software: Software,
    /// `traffic.targetPort`.
    target_port: i32,
    /// Name of the balancer's objects.
    pub(super) name: String,
}

impl<'a> Maker<'a> {
    pub fn of(
        service: &'a ScalableService,
        setup: &'a Setup,
        backend: &'a Backend,
    ) -> Result<Self, BalancerError> {
        let traffic = service.spec.traffic.as_ref().ok_or(BalancerError::NoTraffic)?;
        let software = traffic.provider.software().ok_or(BalancerError::NoTraffic)?;
        let target_port = traffic.target_port.ok_or(BalancerError::NoTraffic)?;
        let name = balancer_name(&service.name_any());
        Ok(Self { service, traffic, setup, backend, software, target_port, name })
    }

    pub fn check(&self) -> Result<(), BalancerError> {
        let name = self.service.name_any();
        let fits = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-';
        let is_label = name.starts_with(|char: char| char.is_ascii_lowercase())
            && name.len() <= NAME_MAX
            && name.chars().all(fits);
        if !is_label {
            return Err(BalancerError::Name(name));
        }
        if self.backend.selector.is_empty() {
            return Err(BalancerError::NoSelector);
        }
        let mut used: Vec<i32> = [HEALTH_PORT, AGENT_PORT].map(i32::from).to_vec();
        used.push(i32::from(match self.software {
            Software::HAProxy => GATE_PORT,
            Software::NGINX => OWN_PORT,
        }));
        for listener in &self.traffic.listeners {
            let inside = inside(listener.port);
            if used.contains(&inside) || inside > i32::from(u16::MAX) {
                return Err(BalancerError::Port { port: listener.port, inside });
            }
            used.push(inside);
        }
        Ok(())
    }

    pub(super) fn labels(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            (BALANCER_LABEL.to_owned(), self.service.name_any()),
            ("app.kubernetes.io/managed-by".to_owned(), "plimsoll".to_owned()),
            ("app.kubernetes.io/name".to_owned(), self.program().to_owned()),
            ("app.kubernetes.io/instance".to_owned(), self.name.clone()),
        ])
    }

    /// The name of the load balancer program and of its container.
    pub(super) fn program(&self) -> &'static str {
        match self.software {
            Software::HAProxy => "haproxy",
            Software::NGINX => "nginx",
        }
    }

    /// The selector of the balancer's pods.
    pub(super) fn selector(&self) -> BTreeMap<String, String> {
        BTreeMap::from([(BALANCER_LABEL.to_owned(), self.service.name_any())])
    }

    pub(super) fn metadata(&self, name: &str) -> ObjectMeta {
        let owner = OwnerReference {
            api_version: ScalableService::api_version(&()).into_owned(),
            kind: ScalableService::kind(&()).into_owned(),
            name: self.service.name_any(),
            uid: self.service.metadata.uid.clone().unwrap_or_default(),
            controller: Some(true),
            // It would require the permission to write finalizers, without any benefit.
            block_owner_deletion: None,
        };
        ObjectMeta {
            name: Some(name.to_owned()),
            namespace: self.service.namespace(),
            labels: Some(self.labels()),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        }
    }

    pub fn endpoints(&self) -> Service {
        let port = ServicePort {
            name: Some("http".to_owned()),
            port: self.target_port,
            target_port: Some(IntOrString::Int(self.target_port)),
            protocol: Some("TCP".to_owned()),
            ..ServicePort::default()
        };
        Service {
            metadata: self.metadata(&endpoints_name(&self.service.name_any())),
            spec: Some(ServiceSpec {
                cluster_ip: Some("None".to_owned()),
                selector: Some(self.backend.selector.clone()),
                ports: Some(vec![port]),
                ..ServiceSpec::default()
            }),
            status: None,
        }
    }

    pub fn front(&self) -> Service {
        let service = &self.traffic.service;
        let type_: &'static str = service.type_.into();
        let ports = self.traffic.listeners.iter().map(|listener| {
            let scheme = if listener.tls.is_some() { "https" } else { "http" };
            ServicePort {
                name: Some(format!("{scheme}-{}", listener.port)),
                app_protocol: Some(scheme.to_owned()),
                port: listener.port,
                target_port: Some(IntOrString::Int(inside(listener.port))),
                protocol: Some("TCP".to_owned()),
                ..ServicePort::default()
            }
        });
        let mut metadata = self.metadata(&self.name);
        metadata.annotations =
            Some(service.annotations.clone()).filter(|annotations| !annotations.is_empty());
        let text = |name: &'static str| name.to_owned();
        Service {
            metadata,
            spec: Some(ServiceSpec {
                type_: Some(type_.to_owned()),
                selector: Some(self.selector()),
                ports: Some(ports.collect()),
                load_balancer_class: service.load_balancer_class.clone(),
                load_balancer_source_ranges: service.load_balancer_source_ranges.clone(),
                external_traffic_policy: service.external_traffic_policy.map(|policy| text(policy.into())),
                ip_family_policy: service.ip_family_policy.map(|policy| text(policy.into())),
                ..ServiceSpec::default()
            }),
            status: None,
        }
    }

    pub fn account(&self) -> ServiceAccount {
        ServiceAccount {
            metadata: self.metadata(&self.name),
            // Only the agent gets a token, by its own volume.
            automount_service_account_token: Some(false),
            ..ServiceAccount::default()
        }
    }

    pub fn role(&self) -> Role {
        let rule = |group: &str, resource: &str, names: Option<String>, verbs: &[&str]| PolicyRule {
            api_groups: Some(vec![group.to_owned()]),
            resources: Some(vec![resource.to_owned()]),
            resource_names: names.map(|name| vec![name]),
            verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
            ..PolicyRule::default()
        };
        let name = self.service.name_any();
        let rules = vec![
            rule("discovery.k8s.io", "endpointslices", None, &["get", "list", "watch"]),
            rule(GROUP, "scalableservices", Some(name.clone()), &["get", "list", "watch"]),
            rule(GROUP, "scalableservices/status", Some(name), &["patch"]),
        ];
        Role { metadata: self.metadata(&self.name), rules: Some(rules) }
    }

    pub fn binding(&self) -> RoleBinding {
        let name = self.name.clone();
        RoleBinding {
            metadata: self.metadata(&self.name),
            role_ref: RoleRef {
                api_group: "rbac.authorization.k8s.io".to_owned(),
                kind: "Role".to_owned(),
                name: name.clone(),
            },
            subjects: Some(vec![Subject {
                kind: "ServiceAccount".to_owned(),
                name,
                namespace: self.service.namespace(),
                api_group: None,
            }]),
        }
    }

    pub fn budget(&self) -> PodDisruptionBudget {
        PodDisruptionBudget {
            metadata: self.metadata(&self.name),
            spec: Some(PodDisruptionBudgetSpec {
                max_unavailable: Some(IntOrString::Int(1)),
                // A balancer that is not ready must not block the drain of its node.
                unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
                selector: Some(LabelSelector {
                    match_labels: Some(self.selector()),
                    ..LabelSelector::default()
                }),
                ..PodDisruptionBudgetSpec::default()
            }),
            status: None,
        }
    }

    pub fn deployment(&self) -> Deployment {
        let rolling = RollingUpdateDeployment {
            max_unavailable: Some(IntOrString::Int(0)),
            max_surge: Some(IntOrString::Int(1)),
        };
        Deployment {
            metadata: self.metadata(&self.name),
            spec: Some(DeploymentSpec {
                replicas: self.traffic.replicas,
                min_ready_seconds: Some(self.traffic.ready_for()).filter(|seconds| *seconds > 0),
                selector: LabelSelector { match_labels: Some(self.selector()), ..LabelSelector::default() },
                strategy: Some(DeploymentStrategy {
                    type_: Some("RollingUpdate".to_owned()),
                    rolling_update: Some(rolling),
                }),
                template: self.pod(),
                ..DeploymentSpec::default()
            }),
            status: None,
        }
    }

    /// Time limit for the shutdown of a balancer: 20 s until no new connections arrive, plus the drain timeout.
    pub(super) fn stops_within(&self) -> Duration {
        Duration::from(self.traffic.drain.timeout) + Duration::from_secs(20)
    }
}

/// The pod's port for a listener: none below 1024, since those need a capability.
pub(super) fn inside(port: i32) -> i32 {
    if port < 1024 { port + i32::from(LOW_PORTS_UP) } else { port }
}
