//! Replicas, through the scale subresource and nothing else.

use kube::{
    Api,
    api::{DynamicObject, PostParams},
};
use thiserror::Error;

use crate::lease::{Permit, WriteError};

/// Owner of `spec.replicas` in `managedFields`.
const FIELD_MANAGER: &str = "plimsoll-replicas";

/// Why the replicas were not written.
#[derive(Debug, Error)]
pub enum ScaleError {
    /// Someone else changed them since they were looked at: the decision is void and has to be made anew.
    #[error("the target wants {found} replicas by now, not {expected}: somebody else changed it")]
    Changed {
        /// What the decision was made on.
        expected: i32,
        /// What there is.
        found: i32,
    },
    /// The write has no result.
    #[error("the scale can't be written: {}", .0.said())]
    Write(#[from] WriteError),
}

/// Sets the replicas of `name` from `expected` to `replicas`, or fails if they are not `expected` any more.
///
/// The resource version of the scale that was read goes along, so that nothing can slip in between.
pub async fn write_scale(
    api: &Api<DynamicObject>,
    name: &str,
    expected: i32,
    replicas: i32,
    permit: &Permit,
) -> Result<(), ScaleError> {
    let mut scale = permit.read(api.get_scale(name)).await?;
    let spec = scale.spec.get_or_insert_default();
    let found = spec.replicas.unwrap_or(0);
    if found != expected {
        return Err(ScaleError::Changed { expected, found });
    }
    spec.replicas = Some(replicas);
    let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    permit.write(api.replace_scale(name, &params, &scale)).await?;
    Ok(())
}
