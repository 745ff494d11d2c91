//! Validation of `spec.traffic.service`, `pod` and `container`: the same rules as those of the schema and its CEL rules.

use std::collections::BTreeMap;

use crate::validate::checks::{chars, number};
use crate::words::quoted;
use crate::{BalancerPod, ContainerResources, FrontService, FrontServiceType, Quantity, Traffic, is_network};

pub(super) fn check(traffic: &Traffic, errors: &mut Vec<String>) {
    let path = "spec.traffic";
    if let Some(seconds) = traffic.min_ready_seconds {
        number(&format!("{path}.minReadySeconds"), seconds, 0..=300, errors);
    }
    service(&traffic.service, errors);
    if let Some(pod) = &traffic.pod {
        self::pod(pod, errors);
    }
    if let Some(given) = traffic.container.as_ref().and_then(|container| container.resources.as_ref()) {
        resources(given, errors);
    }
}

fn service(service: &FrontService, errors: &mut Vec<String>) {
    let path = "spec.traffic.service";
    let type_: &str = service.type_.into();
    if let Some(class) = &service.load_balancer_class {
        let field = format!("{path}.loadBalancerClass");
        if service.type_ == FrontServiceType::LoadBalancer {
            let edge = |c: char| c.is_ascii_alphanumeric();
            let fits = class.len() <= 316
                && class.chars().all(|c| edge(c) || "._/-".contains(c))
                && class.starts_with(edge)
                && class.ends_with(edge);
            if !fits {
                let found = quoted(class);
                errors.push(format!(
                    "{field} is {found}; it must be a label name such as example.com/internal"
                ));
            }
        } else {
            errors.push(format!("{field} is set; it is possible only with type LoadBalancer, not {type_}"));
        }
    }
    if let Some(ranges) = &service.load_balancer_source_ranges {
        let field = format!("{path}.loadBalancerSourceRanges");
        if service.type_ != FrontServiceType::LoadBalancer {
            errors.push(format!("{field} is set; it is possible only with type LoadBalancer, not {type_}"));
        } else if !(1..=64).contains(&ranges.len()) {
            errors.push(format!("{field} has {} entries; it must have 1 to 64", ranges.len()));
        }
        for (index, range) in ranges.iter().enumerate().filter(|(_, range)| !is_network(range)) {
            let found = quoted(range);
            errors.push(format!("{field}[{index}] is {found}; it must be a network such as 192.0.2.0/24"));
        }
    }
    if service.external_traffic_policy.is_some() && service.type_ == FrontServiceType::ClusterIP {
        errors.push(format!("{path}.externalTrafficPolicy is set; it is not possible with type ClusterIP"));
    }
}

fn pod(pod: &BalancerPod, errors: &mut Vec<String>) {
    if let Some(class) = &pod.priority_class_name {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
        let field = "spec.traffic.pod.priorityClassName";
        chars(field, class, 253, allowed, "lower-case letters, digits, - and .", errors);
    }
}

fn resources(resources: &ContainerResources, errors: &mut Vec<String>) {
    let path = "spec.traffic.container.resources";
    let mut each = |field: &str, given: &BTreeMap<String, Quantity>| {
        for (name, quantity) in given {
            if quantity.value().is_none_or(|value| value < 0.0) {
                let found = quoted(&quantity.0);
                let must = "it must be a quantity of at least 0, such as 500m or 256Mi";
                errors.push(format!("{path}.{field}.{name} is {found}; {must}"));
            }
        }
    };
    each("requests", &resources.requests);
    each("limits", &resources.limits);
}
