//! The spec that runs: the newest, or while that is refused, the last that was not.

use std::time::{Duration, Instant};

use super::known::Service;
use crate::balancer::{Driver, DriverError, Outcome, Wanted};

/// How soon a spec that was refused is tried again, though nothing changed.
const AGAIN: Duration = Duration::from_secs(30);

/// The specs of one service.
#[derive(Debug, Default)]
pub struct Specs {
    /// The last one that was taken: endpoints go on being fed with it while a newer one is refused.
    accepted: Option<Service>,
    refused: Option<Refused>,
}

#[derive(Debug)]
struct Refused {
    service: Service,
    words: String,
    at: Instant,
}

impl Refused {
    fn stands_for(&self, service: &Service) -> bool {
        self.at.elapsed() < AGAIN && self.service.is_built_as(service)
    }
}

impl Specs {
    /// Why the newest one does not run, if it does not.
    #[must_use]
    pub fn refused(&self) -> Option<String> {
        self.refused.as_ref().map(|refused| refused.words.clone())
    }

    /// The one that runs, once one was taken.
    #[must_use]
    pub fn accepted(&self) -> Option<&Service> {
        self.accepted.as_ref()
    }

    /// What an agent before this one knows of the last one that was taken: HAProxy runs with it still.
    pub fn remember(&mut self, accepted: Service) {
        self.accepted.get_or_insert(accepted);
    }

    /// Something else changed that it may have been refused for.
    pub fn try_again(&mut self) {
        self.refused = None;
    }

    /// Brings about what `wanted` makes of the newest spec, or of the last one that was taken.
    ///
    /// # Errors
    /// Nothing runs; or none was taken yet.
    pub async fn reconcile(
        &mut self,
        driver: &Driver,
        newest: &Service,
        wanted: impl Fn(&Service) -> Wanted,
    ) -> Result<(Wanted, Outcome), DriverError> {
        if !self.refused.as_ref().is_some_and(|refused| refused.stands_for(newest)) {
            let whole = wanted(newest);
            let error = match driver.sync(&whole).await {
                Ok(report) => {
                    *self = Self { accepted: Some(newest.clone()), refused: None };
                    return Ok((whole, report));
                }
                Err(error) => error,
            };
            // The file was checked and is in place even when nothing runs.
            if error.is_down() {
                *self = Self { accepted: Some(newest.clone()), refused: None };
            }
            if !is_refusal(&error) {
                return Err(error);
            }
            tracing::warn!(%error, generation = newest.generation, "a spec is not taken");
            let words = error.to_string();
            self.refused = Some(Refused { service: newest.clone(), words, at: Instant::now() });
        }
        let Some(accepted) = &self.accepted else {
            let words = self.refused.as_ref().map(|refused| refused.words.clone()).unwrap_or_default();
            return Err(DriverError::NotTaken(words));
        };
        let wanted = wanted(accepted);
        let report = driver.sync(&wanted).await?;
        Ok((wanted, report))
    }
}

/// Whether it is the spec that is not taken.
fn is_refusal(error: &DriverError) -> bool {
    matches!(error, DriverError::Refused { .. } | DriverError::Config(_) | DriverError::Reload { .. })
}
