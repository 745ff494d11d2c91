//! Processes of pods, as the host sees them.

use std::fs;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process::process_ids;

/// Linux's clock ticks in a second, for every program (`getconf CLK_TCK`).
const TICKS: f64 = 100.0;

/// The process of a pod whose program has this name.
#[must_use]
pub fn of_pod(pod: &Value, program: &str) -> Option<u32> {
    // The kubelet names a pod's cgroup by its uid.
    let cgroup = format!("pod{}", pod.pointer("/metadata/uid")?.as_str()?);
    let inside = |pid: &u32| {
        let of = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        of("cgroup").contains(&cgroup) && of("comm").trim() == program
    };
    process_ids().into_iter().find(inside)
}

/// CPU time of a process, in user and kernel: fields 14 and 15 of proc_pid_stat(5).
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    // The name in parentheses may have spaces in it.
    let (_, rest) = stat.rsplit_once(')').with_context(|| format!("{path} has no name"))?;
    let fields: Vec<f64> =
        rest.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse().ok()).collect();
    if fields.len() != 2 {
        bail!("{path} has no times: {stat}");
    }
    Ok(fields.iter().sum::<f64>() / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn this_process_has_used_time() {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(50) {}
        assert!(cpu_seconds(std::process::id()).unwrap() > 0.0);
    }
}
