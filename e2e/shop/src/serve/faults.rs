//! Fault injection: switches that make the service fail.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// Most memory that can be held, in MiB.
const MOST_MEMORY_MIB: u32 = 16_384;
/// Longest life of a fault, in seconds: a day.
const LONGEST_TTL: f64 = 86_400.0;

/// Injected faults. The default is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Fault {
    /// Factor on the service time, above 0 and at most 1000.
    pub slow: f64,
    /// Share of the requests that are answered with 500 after their work, 0 to 1.
    pub errors: f64,
    /// Additional memory, in MiB.
    #[serde(rename = "memoryMiB")]
    pub memory_mib: u32,
    /// Requests keep their worker and are not answered. Probes still are.
    pub hang: bool,
    /// `/readyz` answers 503; requests are served.
    pub unready: bool,
    /// Seconds after which all switches are off again; without it they stay on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<f64>,
}

impl Default for Fault {
    fn default() -> Self {
        Self { slow: 1.0, errors: 0.0, memory_mib: 0, hang: false, unready: false, ttl_seconds: None }
    }
}

impl Fault {
    /// Parses and validates a JSON document. Omitted faults are off; without `ttlSeconds` the others stay on.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let fault: Self =
            serde_json::from_slice(json).map_err(|error| format!("the fault is not valid: {error}"))?;
        if !(fault.slow > 0.0 && fault.slow <= 1_000.0) {
            return Err(format!("slow is {}, but must be above 0 and at most 1000", fault.slow));
        }
        if !(0.0..=1.0).contains(&fault.errors) {
            return Err(format!("errors is {}, but must be from 0 to 1", fault.errors));
        }
        if fault.memory_mib > MOST_MEMORY_MIB {
            return Err(format!("memoryMiB is {}, but must be at most {MOST_MEMORY_MIB}", fault.memory_mib));
        }
        match fault.ttl_seconds {
            Some(ttl) if !(ttl > 0.0 && ttl <= LONGEST_TTL) => {
                Err(format!("ttlSeconds is {ttl}, but must be above 0 and at most {LONGEST_TTL}"))
            }
            _ => Ok(fault),
        }
    }
}

/// The present fault.
pub struct Faults {
    current: watch::Sender<Fault>,
    ballast: Mutex<Vec<u8>>,
}

impl Faults {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { current: watch::Sender::new(Fault::default()), ballast: Mutex::new(Vec::new()) })
    }

    pub fn current(&self) -> Fault {
        self.current.borrow().clone()
    }

    /// Replaces all switches, and resets them after the fault's time to live.
    pub fn set(self: &Arc<Self>, fault: Fault) {
        // Written to, so that the memory is resident and not only reserved.
        let ballast = vec![0x5a_u8; fault.memory_mib as usize * (1 << 20)];
        *self.ballast.lock().unwrap_or_else(PoisonError::into_inner) = ballast;
        let ttl = fault.ttl_seconds.map(Duration::from_secs_f64);
        self.current.send_replace(fault);
        let Some(ttl) = ttl else { return };
        let faults = Arc::clone(self);
        let mut replaced = self.current.subscribe();
        tokio::spawn(async move {
            if tokio::time::timeout(ttl, replaced.changed()).await.is_err() {
                faults.set(Fault::default());
            }
        });
    }

    /// Waits until the service does not hang.
    pub async fn released(&self) {
        // The sender lives as long as `self`, so this cannot fail.
        let _ = self.current.subscribe().wait_for(|fault| !fault.hang).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_parsed_and_checked() {
        let text = br#"{"slow": 3.0, "errors": 0.2, "memoryMiB": 50, "hang": false, "unready": true, "ttlSeconds": 60}"#;
        let fault = Fault::parse(text).expect("valid");
        assert_eq!((fault.slow, fault.errors, fault.memory_mib), (3.0, 0.2, 50));
        assert!(fault.unready && !fault.hang && fault.ttl_seconds == Some(60.0));
        assert_eq!(Fault::parse(b"{}"), Ok(Fault::default()));
        for (text, wanted) in [
            ("", "not valid"),
            (r#"{"slwo": 2}"#, "slwo"),
            (r#"{"slow": 0}"#, "above 0"),
            (r#"{"errors": 1.5}"#, "from 0 to 1"),
            (r#"{"memoryMiB": 99999}"#, "at most 16384"),
            (r#"{"ttlSeconds": -1}"#, "ttlSeconds is -1"),
        ] {
            let error = Fault::parse(text.as_bytes()).expect_err(text);
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_fault_ends_with_its_time_to_live() {
        let faults = Faults::new();
        faults.set(Fault { hang: true, ttl_seconds: Some(10.0), ..Fault::default() });
        // The time to live of an earlier fault does not end a later one.
        tokio::time::sleep(Duration::from_secs(5)).await;
        faults.set(Fault { hang: true, ttl_seconds: Some(10.0), ..Fault::default() });
        tokio::time::sleep(Duration::from_secs(9)).await;
        assert!(faults.current().hang);
        tokio::time::timeout(Duration::from_secs(2), faults.released()).await.expect("released at 15 s");
        assert_eq!(faults.current(), Fault::default());
    }

    #[tokio::test]
    async fn memory_is_allocated_and_freed() {
        let faults = Faults::new();
        faults.set(Fault { memory_mib: 3, ..Fault::default() });
        assert_eq!(faults.ballast.lock().expect("lock").len(), 3 << 20);
        faults.set(Fault::default());
        assert_eq!(faults.ballast.lock().expect("lock").capacity(), 0);
    }
}
