//! Processes of a pod on this host: those in the pod's cgroup.

use crate::{
    prelude::*,
    process::{arguments_of, is_in_cgroup, processes, signal_process},
};
use rustix::process::Signal;

/// Kills, as a crash would, the processes of a pod whose arguments contain `word`. Returns how many there were, at least
/// one.
pub fn kill(uid: &str, word: &str) -> Result<usize> {
    let of_pod = processes().filter(|process| is_in_cgroup(process, uid));
    let found: Vec<_> = of_pod.filter(|process| arguments_of(process).contains(word)).collect();
    ensure!(!found.is_empty(), "the pod {uid} has no process {word:?}");
    found.iter().for_each(|process| signal_process(process.pid.unsigned_abs(), Signal::KILL));
    Ok(found.len())
}
