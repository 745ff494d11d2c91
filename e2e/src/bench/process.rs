//! Processes of pods on the host.

use crate::{
    prelude::*,
    process::{is_in_cgroup, process_of, processes},
};

pub fn of_pod(pod: &Value, program: &str) -> Option<u32> {
    // The kubelet puts the pod's UID into the name of its cgroup.
    let cgroup = format!("pod{}", pod.text("/metadata/uid"));
    let mut inside = processes().filter(|process| is_in_cgroup(process, &cgroup));
    let found = inside.find(|process| process.stat().is_ok_and(|stat| stat.comm == program));
    found.map(|process| process.pid.unsigned_abs())
}

pub fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = process_of(pid).with_context(|| format!("the process {pid} has exited"))?.stat()?;
    Ok((stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64)
}
