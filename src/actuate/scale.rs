//! Writes of the replicas, through the scale subresource only.

use k8s_openapi::api::autoscaling::v1::Scale;
use kube::{
    Api,
    api::{DynamicObject, PostParams},
};
use thiserror::Error;

use crate::{
    field_managers,
    lease::{Permit, WriteError},
};

/// A scale that was read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundScale {
    /// UID of the target.
    pub uid: Option<String>,
    /// Resource version of the target.
    pub version: Option<String>,
    /// Desired replicas.
    pub replicas: i32,
}

impl From<&Scale> for FoundScale {
    fn from(scale: &Scale) -> Self {
        let metadata = &scale.metadata;
        let replicas = scale.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(0);
        Self { uid: metadata.uid.clone(), version: metadata.resource_version.clone(), replicas }
    }
}

/// Why the replicas were not written.
#[derive(Debug, Error)]
pub enum ScaleError {
    /// Another client changed them since they were observed: the decision is void and has to be repeated.
    #[error("the target has {} desired replicas, not {expected}: another client changed it", .found.replicas)]
    Changed {
        /// The replicas on which the decision was based.
        expected: i32,
        /// The current scale.
        found: FoundScale,
    },
    /// The write failed.
    #[error("the scale can't be written: {}", .0.message())]
    Write(#[from] WriteError),
}

/// Sets the replicas of `name` from `expected` to `replicas`, or fails if they are not `expected` any more. Returns the new
/// scale.
///
/// The write includes the resource version of the read, so that a concurrent change is a conflict.
pub async fn write_scale(
    api: &Api<DynamicObject>,
    name: &str,
    expected: i32,
    replicas: i32,
    permit: &Permit,
) -> Result<FoundScale, ScaleError> {
    let mut scale = permit.read(api.get_scale(name)).await?;
    let found = FoundScale::from(&scale);
    if found.replicas != expected {
        return Err(ScaleError::Changed { expected, found });
    }
    scale.spec.get_or_insert_default().replicas = Some(replicas);
    let params =
        PostParams { field_manager: Some(field_managers::REPLICAS.to_owned()), ..PostParams::default() };
    let written = permit.write(api.replace_scale(name, &params, &scale)).await?;
    Ok(FoundScale::from(&written))
}
