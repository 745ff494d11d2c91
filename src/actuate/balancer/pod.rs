//! The pod of a balancer: an init container that copies the program, the agent as a native sidecar, HAProxy or NGINX.
//!
//! Restricted Pod Security: no root, no capabilities, a read-only root filesystem. Agent and load balancer run in the same
//! image, the agent from the copied program, since it validates each configuration by `haproxy -c` or `nginx -t`.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::core::v1::{
        Capabilities, ConfigMapProjection, Container, ContainerPort, DownwardAPIProjection,
        DownwardAPIVolumeFile, EmptyDirVolumeSource, EnvVar, EnvVarSource, ExecAction, HTTPGetAction,
        KeyToPath, Lifecycle, LifecycleHandler, ObjectFieldSelector, PodSpec, PodTemplateSpec, Probe,
        ProjectedVolumeSource, ResourceFieldSelector, ResourceRequirements, SecretVolumeSource,
        SecurityContext, ServiceAccountTokenProjection, TopologySpreadConstraint, Volume, VolumeMount,
        VolumeProjection,
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};
use kube::ResourceExt as _;

use super::{
    maker::{AGENT_PORT, GATE_PORT, Maker, inside},
    setup::Images,
};
use crate::balancer::HEALTH_PORT;
use plimsoll_api::Software;

/// Path of the copied program.
const PROGRAM: &str = "/plimsoll/plimsoll";
/// Directory shared by agent and load balancer: configuration, certificates, sockets. It is in memory, since it has private
/// keys.
const FOLDER: &str = "/run/plimsoll";
/// Directory of the mounted Secrets.
const SECRETS: &str = "/etc/plimsoll";
/// The standard directory of a client's token.
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

impl Maker<'_> {
    pub(super) fn pod(&self) -> PodTemplateSpec {
        let images = &self.setup.images;
        let own_metrics = match self.software {
            Software::HAProxy => HEALTH_PORT,
            // NGINX has no metrics; the agent exports them.
            Software::NGINX => AGENT_PORT,
        };
        let annotations = [
            ("prometheus.io/scrape", "true".to_owned()),
            ("prometheus.io/port", own_metrics.to_string()),
            ("prometheus.io/path", "/metrics".to_owned()),
            // `kubectl logs` and `exec` use the load balancer's container.
            ("kubectl.kubernetes.io/default-container", self.program().to_owned()),
        ];
        let annotations = annotations.map(|(key, value)| (key.to_owned(), value));
        let metadata = ObjectMeta {
            labels: Some(self.pod_labels()),
            annotations: Some(self.pod_annotations(annotations.into())),
            ..ObjectMeta::default()
        };
        let grace = self.stops_within().as_secs() + 10;
        let spec = PodSpec {
            service_account_name: Some(self.name.clone()),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            termination_grace_period_seconds: Some(i64::try_from(grace).unwrap_or(i64::MAX)),
            security_context: Some(self.pod_security()),
            node_selector: self.node_selector(),
            tolerations: self.tolerations(),
            affinity: self.affinity(),
            priority_class_name: self.priority_class(),
            image_pull_secrets: self.pull_secrets(),
            topology_spread_constraints: Some(
                ["topology.kubernetes.io/zone", "kubernetes.io/hostname"].map(|key| self.spread(key)).into(),
            ),
            init_containers: Some(vec![install(images), self.agent(images)]),
            containers: vec![self.balancer(images)],
            volumes: Some(self.volumes()),
            ..PodSpec::default()
        };
        PodTemplateSpec { metadata: Some(metadata), spec: Some(spec) }
    }

    fn spread(&self, key: &str) -> TopologySpreadConstraint {
        TopologySpreadConstraint {
            max_skew: 1,
            topology_key: key.to_owned(),
            when_unsatisfiable: "ScheduleAnyway".to_owned(),
            label_selector: Some(LabelSelector {
                match_labels: Some(self.selector()),
                ..LabelSelector::default()
            }),
            // Otherwise the pods of the last rollout count too, and the new ones may end up on one node.
            match_label_keys: Some(vec!["pod-template-hash".to_owned()]),
            ..TopologySpreadConstraint::default()
        }
    }

    fn agent(&self, images: &Images) -> Container {
        let mut mounts = vec![
            mount("program", "/plimsoll", true),
            mount("shared", FOLDER, false),
            mount("token", TOKEN, true),
        ];
        for (volume, secret) in self.certificates() {
            mounts.push(mount(&volume, &format!("{SECRETS}/certificates/{secret}"), true));
        }
        for (volume, secret) in self.authorities() {
            mounts.push(mount(&volume, &format!("{SECRETS}/authorities/{secret}"), true));
        }
        let args = [
            "lb-agent".to_owned(),
            "run".to_owned(),
            format!("--provider={}", self.provider()),
            format!("--service={}", self.service.name_any()),
            format!("--folder={FOLDER}"),
            format!("--secrets={SECRETS}"),
            format!("--port={AGENT_PORT}"),
            format!("--gate-port={GATE_PORT}"),
        ];
        Container {
            name: "agent".to_owned(),
            image: Some(images.of(self.software).to_owned()),
            command: Some(vec![PROGRAM.to_owned()]),
            args: Some(args.into()),
            env: Some(vec![
                field("POD_NAME", "metadata.name"),
                field("POD_NAMESPACE", "metadata.namespace"),
                self.limit("BALANCER_MEMORY", "limits.memory"),
                self.limit("BALANCER_CPUS", "limits.cpu"),
            ]),
            // A native sidecar: the load balancer starts after its configuration is written, and ends before the agent.
            restart_policy: Some("Always".to_owned()),
            ports: Some(vec![port("agent-metrics", i32::from(AGENT_PORT))]),
            // The configuration needs an answer of the API server, however long that takes.
            startup_probe: Some(probe("/startz", AGENT_PORT, 1, 600)),
            liveness_probe: Some(probe("/healthz", AGENT_PORT, 10, 3)),
            resources: Some(resources("20m", "32Mi", "96Mi")),
            security_context: Some(restricted()),
            volume_mounts: Some(mounts),
            ..Container::default()
        }
    }

    /// A resource limit of the load balancer's container: in bytes, or in CPUs rounded up; the node's capacity without a limit.
    fn limit(&self, name: &str, resource: &str) -> EnvVar {
        let resource_field_ref = ResourceFieldSelector {
            container_name: Some(self.program().to_owned()),
            resource: resource.to_owned(),
            divisor: None,
        };
        EnvVar {
            name: name.to_owned(),
            value_from: Some(EnvVarSource {
                resource_field_ref: Some(resource_field_ref),
                ..EnvVarSource::default()
            }),
            ..EnvVar::default()
        }
    }

    /// The provider as in the spec.
    fn provider(&self) -> &'static str {
        self.software.into()
    }

    fn command(&self) -> Vec<String> {
        let words = match self.software {
            Software::HAProxy => {
                format!(
                    "haproxy -W -db -f {FOLDER}/haproxy.cfg -S {FOLDER}/master.sock,mode,600 -x {FOLDER}/listening.sock"
                )
            }
            Software::NGINX => format!("{PROGRAM} lb-agent supervise --folder={FOLDER}"),
        };
        words.split(' ').map(str::to_owned).collect()
    }

    fn balancer(&self, images: &Images) -> Container {
        let health = match self.software {
            Software::HAProxy => "metrics",
            Software::NGINX => "health",
        };
        let mut ports = vec![port(health, i32::from(HEALTH_PORT))];
        ports.extend(self.traffic.listeners.iter().map(|listener| {
            let scheme = if listener.tls.is_some() { "https" } else { "http" };
            port(&format!("{scheme}-{}", listener.port), inside(listener.port))
        }));
        let within = self.stops_within().as_secs();
        let stop = [
            PROGRAM.to_owned(),
            "lb-agent".to_owned(),
            "stop".to_owned(),
            format!("--provider={}", self.provider()),
            format!("--folder={FOLDER}"),
            format!("--within={within}s"),
        ];
        Container {
            name: self.program().to_owned(),
            image: Some(images.of(self.software).to_owned()),
            command: Some(self.command()),
            ports: Some(ports),
            lifecycle: Some(Lifecycle {
                pre_stop: Some(LifecycleHandler {
                    exec: Some(ExecAction { command: Some(stop.into()) }),
                    ..LifecycleHandler::default()
                }),
                ..Lifecycle::default()
            }),
            readiness_probe: Some(probe("/healthz", HEALTH_PORT, 1, 3)),
            resources: Some(self.resources()),
            security_context: Some(restricted()),
            volume_mounts: Some(vec![mount("program", "/plimsoll", true), mount("shared", FOLDER, false)]),
            ..Container::default()
        }
    }

    /// Volumes of the listeners' Secrets.
    fn certificates(&self) -> Vec<(String, String)> {
        let listeners = self.traffic.listeners.iter();
        volumes("certificate", listeners.filter_map(|listener| Some(&listener.tls.as_ref()?.secret_name)))
    }

    /// Volumes of the standbys' Secrets.
    fn authorities(&self) -> Vec<(String, String)> {
        let standbys = self.service.spec.failover.iter().flat_map(|failover| &failover.backends);
        volumes("authority", standbys.filter_map(|standby| Some(&standby.tls.as_ref()?.ca_secret_name)))
    }

    fn volumes(&self) -> Vec<Volume> {
        let empty = |name: &str, medium: Option<&str>, size: &str| Volume {
            name: name.to_owned(),
            empty_dir: Some(EmptyDirVolumeSource {
                medium: medium.map(str::to_owned),
                size_limit: Some(Quantity(size.to_owned())),
            }),
            ..Volume::default()
        };
        let mut volumes = vec![
            empty("program", None, "256Mi"),
            empty("shared", Some("Memory"), "32Mi"),
            Volume { name: "token".to_owned(), projected: Some(token()), ..Volume::default() },
        ];
        let secret = |(volume, secret): (String, String), keys: &[&str], optional: Option<bool>| Volume {
            name: volume,
            secret: Some(SecretVolumeSource {
                secret_name: Some(secret),
                items: Some(keys.iter().copied().map(same).collect()),
                default_mode: Some(0o440),
                optional,
            }),
            ..Volume::default()
        };
        let certificates = self.certificates().into_iter();
        volumes.extend(certificates.map(|named| secret(named, &["tls.crt", "tls.key"], None)));
        // A missing CA certificate of a standby must not block the balancer itself.
        let authorities = self.authorities().into_iter();
        volumes.extend(authorities.map(|named| secret(named, &["ca.crt"], Some(true))));
        volumes
    }
}

/// Names of volumes, which must not have a dot, with the names of their Secrets; each Secret once.
fn volumes<'a>(kind: &str, secrets: impl Iterator<Item = &'a String>) -> Vec<(String, String)> {
    let once: BTreeSet<&String> = secrets.collect();
    let numbered = once.into_iter().enumerate();
    numbered.map(|(number, secret)| (format!("{kind}-{number}"), secret.clone())).collect()
}

fn install(images: &Images) -> Container {
    Container {
        name: "install".to_owned(),
        image: Some(images.agent.clone()),
        args: Some(["lb-agent", "install", PROGRAM].map(str::to_owned).into()),
        resources: Some(resources("20m", "32Mi", "96Mi")),
        security_context: Some(restricted()),
        volume_mounts: Some(vec![mount("program", "/plimsoll", false)]),
        ..Container::default()
    }
}

/// The same projected volume as for an automounted token, but mounted into one container only.
fn token() -> ProjectedVolumeSource {
    let token = VolumeProjection {
        service_account_token: Some(ServiceAccountTokenProjection {
            path: "token".to_owned(),
            expiration_seconds: Some(3607),
            audience: None,
        }),
        ..VolumeProjection::default()
    };
    let authority = VolumeProjection {
        config_map: Some(ConfigMapProjection {
            name: "kube-root-ca.crt".to_owned(),
            items: Some(vec![same("ca.crt")]),
            optional: None,
        }),
        ..VolumeProjection::default()
    };
    let namespace = DownwardAPIVolumeFile {
        path: "namespace".to_owned(),
        field_ref: Some(selector("metadata.namespace")),
        ..DownwardAPIVolumeFile::default()
    };
    let namespace = VolumeProjection {
        downward_api: Some(DownwardAPIProjection { items: Some(vec![namespace]) }),
        ..VolumeProjection::default()
    };
    ProjectedVolumeSource { default_mode: Some(0o440), sources: Some(vec![token, authority, namespace]) }
}

fn same(key: &str) -> KeyToPath {
    KeyToPath { key: key.to_owned(), path: key.to_owned(), mode: None }
}

fn selector(path: &str) -> ObjectFieldSelector {
    ObjectFieldSelector { api_version: Some("v1".to_owned()), field_path: path.to_owned() }
}

fn field(name: &str, path: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value_from: Some(EnvVarSource { field_ref: Some(selector(path)), ..EnvVarSource::default() }),
        ..EnvVar::default()
    }
}

fn mount(volume: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: volume.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

fn port(name: &str, port: i32) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: port,
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}

fn probe(path: &str, port: u16, every: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::Int(i32::from(port)),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(every),
        timeout_seconds: Some(2),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

pub(super) fn resources(cpu: &str, memory: &str, memory_max: &str) -> ResourceRequirements {
    let quantity = |text: &str| Quantity(text.to_owned());
    ResourceRequirements {
        requests: Some(BTreeMap::from([
            ("cpu".to_owned(), quantity(cpu)),
            ("memory".to_owned(), quantity(memory)),
        ])),
        limits: Some(BTreeMap::from([("memory".to_owned(), quantity(memory_max))])),
        ..ResourceRequirements::default()
    }
}

fn restricted() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
        ..SecurityContext::default()
    }
}
