//! Requests of a pod and surge of a rollout, from their specs.

use k8s_openapi::{
    api::{
        apps::v1::DeploymentStrategy,
        core::v1::{Container, PodSpec},
    },
    apimachinery::pkg::util::intstr::IntOrString,
};
use plimsoll_api::{Quantity, words::quoted};

use super::Requests;
use crate::arbiter::Surge;

impl Requests {
    /// What the scheduler counts for a pod (KEP-753, "resources calculation"): its containers and sidecars, or the largest init
    /// container with the sidecars that started before it, and the overhead of its runtime class.
    ///
    /// # Errors
    /// One sentence: the path of an invalid quantity within the pod's spec, what was found, what is allowed. Counted as zero, it
    /// would let pods in for which there is no room.
    pub fn of_pod(pod: &PodSpec) -> Result<Self, String> {
        let mut running = Self::default();
        for (at, container) in pod.containers.iter().enumerate() {
            running = running.plus(Self::of_container(container, &format!("containers[{at}]"))?);
        }
        let (mut sidecars, mut starting) = (Self::default(), Self::default());
        for (at, init) in pod.init_containers.iter().flatten().enumerate() {
            let own = Self::of_container(init, &format!("initContainers[{at}]"))?;
            if init.restart_policy.as_deref() == Some("Always") {
                sidecars = sidecars.plus(own);
                starting = starting.max(sidecars);
            } else {
                starting = starting.max(sidecars.plus(own));
            }
        }
        running = running.plus(sidecars).max(starting);
        let overhead = |resource: &str| {
            let quantity = pod.overhead.as_ref().and_then(|overhead| overhead.get(resource));
            quantity.map_or(Ok(0.0), |quantity| value(&format!("overhead.{resource}"), &quantity.0))
        };
        let overhead = Self { cpu: overhead("cpu")?, memory: overhead("memory")?, pods: 1.0 };
        Ok(running.plus(overhead))
    }

    /// Requests of the container at `path`. A limit without a request is also the request.
    fn of_container(container: &Container, path: &str) -> Result<Self, String> {
        let resources = container.resources.as_ref();
        let of = |resource: &str| {
            let maps = [
                ("requests", resources.and_then(|all| all.requests.as_ref())),
                ("limits", resources.and_then(|all| all.limits.as_ref())),
            ];
            let found = maps.into_iter().find_map(|(field, map)| Some((field, map?.get(resource)?)));
            found.map_or(Ok(0.0), |(field, quantity)| {
                value(&format!("{path}.resources.{field}.{resource}"), &quantity.0)
            })
        };
        Ok(Self { cpu: of("cpu")?, memory: of("memory")?, pods: 0.0 })
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self { cpu: self.cpu + other.cpu, memory: self.memory + other.memory, pods: self.pods + other.pods }
    }

    pub(super) fn times(self, count: i32) -> Self {
        let count = f64::from(count);
        Self { cpu: self.cpu * count, memory: self.memory * count, pods: self.pods * count }
    }

    fn max(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.max(other.cpu),
            memory: self.memory.max(other.memory),
            pods: self.pods.max(other.pods),
        }
    }
}

fn value(path: &str, quantity: &str) -> Result<f64, String> {
    let value = Quantity(quantity.to_owned()).value().filter(|value| *value >= 0.0);
    value.ok_or_else(|| {
        format!("{path} is {}; it must be a quantity of at least 0, such as \"250m\"", quoted(quantity))
    })
}

impl Surge {
    /// `maxSurge` of a Deployment; 25 % if it is absent (apps/v1), none with `Recreate`.
    ///
    /// # Errors
    /// One sentence: the path of an invalid `maxSurge` within the strategy, what was found, what is allowed.
    pub fn of_deployment(strategy: Option<&DeploymentStrategy>) -> Result<Self, String> {
        if strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate") {
            return Ok(Self::None);
        }
        let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
        let Some(most) = rolling.and_then(|rolling| rolling.max_surge.as_ref()) else {
            return Ok(Self::Percent(25));
        };
        let (surge, found) = match most {
            IntOrString::Int(pods) => ((*pods >= 0).then_some(Self::Pods(*pods)), pods.to_string()),
            IntOrString::String(text) => (percent(text).map(Self::Percent), quoted(text)),
        };
        surge.ok_or_else(|| {
            format!(
                "rollingUpdate.maxSurge is {found}; it must be a whole number of at least 0, or a percentage such as \"25%\""
            )
        })
    }
}

/// Only digits before the sign, as for the API server: Rust would parse `+25`, too.
fn percent(text: &str) -> Option<i32> {
    let digits = text.strip_suffix('%')?;
    digits.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::{apps::v1::DeploymentStrategy, core::v1::PodSpec};
    use serde_json::{Value, json};

    use super::{Requests, Surge};

    fn of(pod: Value) -> (f64, f64, f64) {
        let pod: PodSpec = serde_json::from_value(pod).unwrap();
        let Requests { cpu, memory, pods } = Requests::of_pod(&pod).unwrap();
        (cpu, memory, pods)
    }

    fn cpu(name: &str, cpu: &str) -> Value {
        json!({"name": name, "resources": {"requests": {"cpu": cpu}}})
    }

    #[test]
    fn containers_and_sidecars_are_added_and_init_containers_are_not() {
        let sidecar =
            json!({"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "100m"}}});
        let pod = json!({"containers": [cpu("a", "250m"), cpu("b", "1")], "initContainers": [cpu("i", "1"), sidecar]});
        assert_eq!(of(pod), (1.35, 0.0, 1.0));
        let sidecar =
            json!({"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "100m"}}});
        let pod = json!({"containers": [cpu("a", "250m")], "initContainers": [sidecar, cpu("large", "2")]});
        assert_eq!(of(pod), (2.1, 0.0, 1.0), "the sidecar runs while the large one does");
    }

    #[test]
    fn a_limit_counts_where_there_is_no_request() {
        let limits = json!({"name": "a", "resources": {"limits": {"memory": "1Gi", "cpu": "2"}, "requests": {"cpu": "1"}}});
        let pod = json!({"containers": [limits], "overhead": {"memory": "1Mi"}});
        assert_eq!(of(pod), (1.0, 1_074_790_400.0, 1.0));
    }

    #[test]
    fn an_invalid_quantity_is_refused_with_its_path() {
        let with = |resources: Value| json!([{"name": "a"}, {"name": "b", "resources": resources}]);
        for (pod, found) in [
            (
                json!({"containers": with(json!({"requests": {"cpu": "1.5 cores"}}))}),
                "containers[1].resources.requests.cpu is \"1.5 cores\"",
            ),
            (
                json!({"containers": with(json!({"limits": {"memory": "-1Gi"}}))}),
                "containers[1].resources.limits.memory is \"-1Gi\"",
            ),
            (
                json!({"containers": [], "initContainers": with(json!({"requests": {"cpu": ""}}))}),
                "initContainers[1].resources.requests.cpu is \"\"",
            ),
            (json!({"containers": [], "overhead": {"memory": "NaN"}}), "overhead.memory is \"NaN\""),
        ] {
            let sentence = format!("{found}; it must be a quantity of at least 0, such as \"250m\"");
            assert_eq!(Requests::of_pod(&serde_json::from_value(pod).unwrap()), Err(sentence));
        }
    }

    #[test]
    fn surge_is_that_of_the_strategy() {
        let of = |strategy: Value| {
            let strategy: DeploymentStrategy = serde_json::from_value(strategy).unwrap();
            Surge::of_deployment(Some(&strategy))
        };
        assert_eq!(Surge::of_deployment(None), Ok(Surge::Percent(25)));
        assert_eq!(of(json!({})), Ok(Surge::Percent(25)));
        assert_eq!(of(json!({"type": "Recreate"})), Ok(Surge::None));
        assert_eq!(of(json!({"rollingUpdate": {"maxSurge": 2}})), Ok(Surge::Pods(2)));
        assert_eq!(of(json!({"rollingUpdate": {"maxSurge": 0}})), Ok(Surge::Pods(0)));
        assert_eq!(of(json!({"rollingUpdate": {"maxSurge": "40%"}})), Ok(Surge::Percent(40)));
        let invalid = [json!("lots"), json!("2"), json!("%"), json!("+25%"), json!("-25%"), json!("2.5%")];
        for surge in invalid.into_iter().chain([json!("3000000000%"), json!(-1)]) {
            let sentence = format!(
                "rollingUpdate.maxSurge is {surge}; it must be a whole number of at least 0, or a percentage such as \"25%\""
            );
            assert_eq!(of(json!({"rollingUpdate": {"maxSurge": surge}})), Err(sentence));
        }
        assert_eq!((Surge::Percent(25).of(9), Surge::Percent(25).of(0), Surge::Pods(3).of(0)), (3, 0, 0));
    }
}
