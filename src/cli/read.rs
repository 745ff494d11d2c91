//! Tolerant reading of the API server's objects: unknown fields are ignored, parts of a status that a newer operator wrote
//! are left out, and an unreadable object does not hide the others.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::core::DynamicObject;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::age::age;
use crate::input::{json, typed};
use plimsoll_api::{
    BalancerStatus, DecisionRecord, DecisionStep, Draining, FailoverStatus, KpiStatus, ScalableService,
    StepRecord, Summary,
};

/// An object, as far as it could be read.
#[derive(Clone, Debug)]
pub enum Listed {
    /// Readable, but for `left_out` parts of its status.
    Service {
        /// The object.
        service: Box<ScalableService>,
        /// The number of unknown parts of the status, which were left out.
        left_out: usize,
    },
    /// Not readable.
    Unreadable {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// When it was created.
        created: Option<Time>,
        /// The error.
        why: String,
    },
}

impl Listed {
    /// Reads one object.
    #[must_use]
    pub fn read(object: &DynamicObject) -> Self {
        let unreadable = |why: String| Self::Unreadable {
            namespace: object.metadata.namespace.clone().unwrap_or_default(),
            name: object.metadata.name.clone().unwrap_or_default(),
            created: object.metadata.creation_timestamp.clone(),
            why,
        };
        let mut value = match serde_json::to_value(object) {
            Ok(value) => value,
            Err(error) => return unreadable(error.to_string()),
        };
        let left_out = value.get_mut("status").map_or(0, prune_status);
        match typed(&json::node(&value), "") {
            Ok(service) => Self::Service { service: Box::new(service), left_out },
            Err(sentence) => unreadable(sentence),
        }
    }

    /// Namespace and name.
    #[must_use]
    pub fn key(&self) -> (&str, &str) {
        match self {
            Self::Service { service, .. } => (
                service.metadata.namespace.as_deref().unwrap_or_default(),
                service.metadata.name.as_deref().unwrap_or_default(),
            ),
            Self::Unreadable { namespace, name, .. } => (namespace, name),
        }
    }

    /// Its age at `now`, in kubectl's format.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> String {
        let created = match self {
            Self::Service { service, .. } => &service.metadata.creation_timestamp,
            Self::Unreadable { created, .. } => created,
        };
        created.as_ref().map_or_else(|| "<unknown>".to_owned(), |created| age(created, now))
    }
}

/// Removes the parts of a status that this version can't read; returns their number.
fn prune_status(status: &mut Value) -> usize {
    let mut left_out = keep::<KpiStatus>(status, "kpis") + keep::<Condition>(status, "conditions");
    if let Some(records) = status.get_mut("decisions").and_then(Value::as_array_mut) {
        left_out += records.iter_mut().map(keep_steps).sum::<usize>();
    }
    left_out += keep::<DecisionRecord>(status, "decisions");
    if status.get("summary").is_some_and(|summary| !is::<Summary>(summary)) {
        left_out += 1;
        if let Some(summary) = status.get_mut("summary") {
            *summary = json!({});
        }
    }
    if let Some(parts) = status.as_object_mut()
        && parts.get("failover").is_some_and(|failover| !is::<FailoverStatus>(failover))
    {
        left_out += 1;
        parts.remove("failover");
    }
    if let Some(traffic) = status.get_mut("traffic") {
        left_out += keep::<Draining>(traffic, "draining") + keep::<BalancerStatus>(traffic, "balancers");
    }
    left_out
}

/// Keeps the steps of a decision whose numbers match their codes; returns the number of removed steps.
fn keep_steps(record: &mut Value) -> usize {
    keep_if(record, "reasons", |step| {
        StepRecord::deserialize(step).is_ok_and(|step| DecisionStep::try_from(&step).is_ok())
    })
}

fn keep<T: DeserializeOwned>(parent: &mut Value, field: &str) -> usize {
    keep_if(parent, field, is::<T>)
}

fn keep_if(parent: &mut Value, field: &str, is_known: impl Fn(&Value) -> bool) -> usize {
    let Some(items) = parent.get_mut(field).and_then(Value::as_array_mut) else { return 0 };
    let before = items.len();
    items.retain(is_known);
    before - items.len()
}

fn is<T: DeserializeOwned>(value: &Value) -> bool {
    T::deserialize(value).is_ok()
}
