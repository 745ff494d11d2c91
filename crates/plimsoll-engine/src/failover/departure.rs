//! Whether a service may leave its primary: what the other services are asked, and what they answer.

use std::collections::BTreeSet;

use jiff::Timestamp;

/// A service that is about to leave its primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departure<'a> {
    /// Name of the standby that is to get the requests.
    pub to: &'a str,
    /// Sources of the KPIs that alone say that the primary fails; empty if its pods or an annotation say so.
    pub sources: &'a BTreeSet<String>,
    /// When.
    pub at: Timestamp,
}

/// Why a service may not leave its primary now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Veto {
    /// Sources by whose KPIs too many services have left by now.
    pub correlated_failures: BTreeSet<String>,
    /// Why the standby can't take the requests, in a sentence, if that is the reason.
    pub trouble: Option<String>,
}

/// The answer of the other services to a departure from the primary. It may be asked several times in a turn, and grants
/// at most one departure.
pub type Consent<'a> = dyn FnMut(Departure<'_>) -> Result<(), Veto> + 'a;

/// Allows every departure: for a service without others.
///
/// # Errors
/// None.
pub fn alone(_: Departure<'_>) -> Result<(), Veto> {
    Ok(())
}
