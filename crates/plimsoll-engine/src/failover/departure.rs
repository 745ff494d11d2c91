//! Consent of the other services to a departure from the primary.

use std::collections::BTreeSet;

use jiff::Timestamp;

/// A service that is about to leave its primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departure<'a> {
    /// Name of the standby that the requests go to.
    pub to: &'a str,
    /// Sources whose KPIs are the only evidence of a failure; empty if the pods fail or an annotation moves the requests.
    pub sources: &'a BTreeSet<String>,
    /// Time of the departure.
    pub at: Timestamp,
}

/// Why a service may not leave its primary now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Veto {
    /// Sources whose KPIs have already made too many services leave.
    pub correlated_failures: BTreeSet<String>,
    /// Why the standby can't take the requests, as a sentence, if that is the cause.
    pub trouble: Option<String>,
}

/// Asks the other services for consent to a departure from the primary. It may be called several times in a turn, and allows
/// at most one departure.
pub type Consent<'a> = dyn FnMut(Departure<'_>) -> Result<(), Veto> + 'a;

/// Allows every departure: for a service without others.
///
/// # Errors
/// None.
pub fn alone(_: Departure<'_>) -> Result<(), Veto> {
    Ok(())
}
