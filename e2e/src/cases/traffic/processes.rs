//! Processes of a pod on this host: those in the pod's cgroup.

use std::fs;

use anyhow::{Result, ensure};
use rustix::process::Signal;

use crate::process::{arguments_of, process_ids, signal_process};

/// Kills, as a crash would, the processes of a pod whose arguments contain `word`. Returns how many there were, at least
/// one.
pub fn kill(uid: &str, word: &str) -> Result<usize> {
    let in_pod = |pid: &u32| {
        let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        cgroup.contains(uid) && arguments_of(*pid).contains(word)
    };
    let found: Vec<_> = process_ids().into_iter().filter(in_pod).collect();
    ensure!(!found.is_empty(), "the pod {uid} has no process {word:?}");
    found.iter().for_each(|pid| signal_process(*pid, Signal::KILL));
    Ok(found.len())
}
