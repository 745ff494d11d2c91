//! Replicas, through the scale subresource and nothing else.

use kube::{
    Api,
    api::{DynamicObject, PostParams},
};
use thiserror::Error;

use crate::telemetry::WriteResult;

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
    /// The API server refused, or did not answer.
    #[error("the scale can't be written: {}", said(.0))]
    Api(#[from] Box<kube::Error>),
}

impl ScaleError {
    /// A bounded label for metrics.
    #[must_use]
    pub fn result(&self) -> WriteResult {
        match self {
            Self::Changed { .. } => WriteResult::Conflict,
            Self::Api(error) => result_of(error),
        }
    }
}

/// What an error of the API server says, without the whole Status that it comes in.
#[must_use]
pub fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

/// How a write ended that the API server refused or did not answer.
#[must_use]
pub fn result_of(error: &kube::Error) -> WriteResult {
    match error {
        kube::Error::Api(status) => WriteResult::of_status(status.code),
        _ => WriteResult::Error,
    }
}

/// Sets the replicas of `name` from `expected` to `replicas`, or fails if they are not `expected` any more.
///
/// The resource version of the scale that was read goes along, so that nothing can slip in between.
pub async fn write_scale(
    api: &Api<DynamicObject>,
    name: &str,
    expected: i32,
    replicas: i32,
) -> Result<(), ScaleError> {
    let mut scale = api.get_scale(name).await.map_err(Box::new)?;
    let spec = scale.spec.get_or_insert_default();
    let found = spec.replicas.unwrap_or(0);
    if found != expected {
        return Err(ScaleError::Changed { expected, found });
    }
    spec.replicas = Some(replicas);
    let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    api.replace_scale(name, &params, &scale).await.map_err(Box::new)?;
    Ok(())
}
