//! The running spec: the newest, or while that is refused, the last accepted one.

use std::time::{Duration, Instant};

use super::known::Service;
use crate::balancer::{Driver, DriverError, Outcome, Wanted};

/// How soon a refused spec is tried again without a change.
const AGAIN: Duration = Duration::from_secs(30);

/// The specs of one service.
#[derive(Debug, Default)]
pub struct Specs {
    /// The last accepted spec: changes of endpoints are applied with it while a newer one is refused.
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
    fn covers(&self, service: &Service) -> bool {
        self.at.elapsed() < AGAIN && self.service.is_built_as(service)
    }
}

impl Specs {
    /// Why the newest spec does not run; `None` if it does.
    #[must_use]
    pub fn refused(&self) -> Option<String> {
        self.refused.as_ref().map(|refused| refused.words.clone())
    }

    /// The running spec; `None` before the first was accepted.
    #[must_use]
    pub fn accepted(&self) -> Option<&Service> {
        self.accepted.as_ref()
    }

    /// Restores the last accepted spec of a previous agent: HAProxy still runs with it.
    pub fn remember(&mut self, accepted: Service) {
        self.accepted.get_or_insert(accepted);
    }

    /// Tries a refused spec again, since something else changed that may be the cause of the refusal.
    pub fn try_again(&mut self) {
        self.refused = None;
    }

    /// Applies the newest spec, or the last accepted one, as `wanted` computes it.
    ///
    /// # Errors
    /// The balancer does not run, or no spec was accepted yet.
    pub async fn reconcile(
        &mut self,
        driver: &Driver,
        newest: &Service,
        wanted: impl Fn(&Service) -> Wanted,
    ) -> Result<(Wanted, Outcome), DriverError> {
        if !self.refused.as_ref().is_some_and(|refused| refused.covers(newest)) {
            let whole = wanted(newest);
            let error = match driver.sync(&whole).await {
                Ok(report) => {
                    *self = Self { accepted: Some(newest.clone()), refused: None };
                    return Ok((whole, report));
                }
                Err(error) => error,
            };
            // The file was checked and is in place even when the balancer does not run.
            if error.is_down() {
                *self = Self { accepted: Some(newest.clone()), refused: None };
            }
            if !is_refusal(&error) {
                return Err(error);
            }
            tracing::warn!(%error, generation = newest.generation, "a spec is refused");
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

/// Whether the error is a refusal of the spec.
fn is_refusal(error: &DriverError) -> bool {
    matches!(error, DriverError::Refused { .. } | DriverError::Config(_) | DriverError::Reload { .. })
}
