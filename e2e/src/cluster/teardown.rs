//! Removes everything that a cluster leaves on the machine, also after a crash and without a state folder.
//!
//! Stopping kubelet and containerd leaves containers, mounts, rules, cgroups and namespaces behind.

use super::{
    cgroup, network,
    network::{NODE_COUNT, network_name, node_name},
    node::{CGROUP_ROOT, cgroup_of, kill_containers},
    programs::remove_folder,
    state::State,
    sysctl,
};
use crate::{
    prelude::*,
    process::{arguments_of, processes, run, signal_process},
};
use rustix::process::Signal;

/// Programs of a cluster; each has a path in the state folder among its arguments.
const PROGRAMS: [&str; 8] = [
    "kubelet",
    "kube-proxy",
    "containerd",
    "containerd-shim-runc-v2",
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
];

/// Folders that Kubernetes creates outside of the state folder; each is removed when it is empty.
const SHARED_FOLDERS: [&str; 12] = [
    "/run/containerd/s",
    "/run/containerd/fifo",
    "/run/containerd",
    "/var/lib/kubelet/device-plugins",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/log/pods",
    "/var/lib/cni/results",
    "/var/lib/cni/cache/results",
    "/var/lib/cni/cache",
    "/var/lib/cni/networks",
    "/var/lib/cni",
];

pub fn is_needed(state: &State) -> Result<bool> {
    Ok(state.root().exists() || network::exists()? || !our_processes(state.root()).is_empty())
}

/// Removes a whole cluster; does nothing without one.
pub fn all(state: &State) -> Result<()> {
    state.remove_record()?;
    kill_programs(state.root())?;
    for number in 1..=NODE_COUNT {
        kill_containers(state, number)?;
    }
    unmount_below(state.root())?;
    for number in 1..=NODE_COUNT {
        network::disconnect_node(number)?;
    }
    network::remove()?;
    cgroup::remove(CGROUP_ROOT)?;
    sysctl::restore(state)?;
    (1..=NODE_COUNT).for_each(|number| remove_traces(state, number));
    remove_shared_traces();
    remove_unmounted(state.root())
}

pub fn node(state: &State, number: u8) -> Result<()> {
    let folder = state.path(&node_name(number));
    kill_programs(&folder)?;
    kill_containers(state, number)?;
    unmount_below(&folder)?;
    network::disconnect_node(number)?;
    cgroup::remove(&cgroup_of(number))?;
    remove_traces(state, number);
    remove_unmounted(&folder)
}

/// Kills the programs that use a folder, those that start others first.
fn kill_programs(folder: &Path) -> Result<()> {
    let what = format!("end of the programs that use {}", folder.display());
    wait_for(&what, Duration::from_secs(10), || {
        let processes = our_processes(folder);
        processes.iter().for_each(|pid| signal_process(*pid, Signal::KILL));
        Ok(processes.is_empty())
    })
}

fn our_processes(folder: &Path) -> Vec<u32> {
    let rank = |process: &_| program_rank(&arguments_of(process), folder);
    let found = processes().filter_map(|process| Some((rank(&process)?, process.pid.unsigned_abs())));
    let mut found: Vec<(usize, u32)> = found.collect();
    found.sort_unstable();
    found.into_iter().map(|(_, pid)| pid).collect()
}

/// The program's index in [`PROGRAMS`], if it is one of them and uses the folder (an editor of a log is not).
fn program_rank(arguments: &str, folder: &Path) -> Option<usize> {
    let inside = format!("{}/", folder.display());
    let program = arguments.split(' ').next()?.rsplit('/').next()?;
    let rank = PROGRAMS.iter().position(|name| *name == program)?;
    arguments.contains(&inside).then_some(rank)
}

fn unmount_below(folder: &Path) -> Result<()> {
    let mounts = mounts_below(&fs::read_to_string("/proc/self/mountinfo")?, folder);
    if mounts.is_empty() {
        return Ok(());
    }
    run("umount", &[&[PathBuf::from("-l")][..], &mounts].concat()).map(drop)
}

/// Mount points below a folder, the deepest (latest) first; field 5 of proc_pid_mountinfo(5).
fn mounts_below(mountinfo: &str, folder: &Path) -> Vec<PathBuf> {
    let points = mountinfo.lines().filter_map(|line| line.split(' ').nth(4));
    let points = points.map(|point| PathBuf::from(point.replace("\\040", " ")));
    let mut below: Vec<PathBuf> =
        points.filter(|point| point.starts_with(folder) && point != folder).collect();
    below.reverse();
    below
}

/// Removes a folder, but never through a mount into other files.
fn remove_unmounted(folder: &Path) -> Result<()> {
    let mounts = mounts_below(&fs::read_to_string("/proc/self/mountinfo")?, folder);
    ensure!(mounts.is_empty(), "{mounts:?} are still mounted, so {} is not removed", folder.display());
    remove_folder(folder)
}

fn remove_traces(state: &State, number: u8) {
    let folder = state.path(&node_name(number));
    let sandboxes = folder.join("containerd/io.containerd.grpc.v1.cri/sandboxes");
    let sandboxes: Vec<String> = entries(&sandboxes).iter().map(|path| file_name(path)).collect();
    for results in ["/var/lib/cni/results", "/var/lib/cni/cache/results"] {
        remove_files(results, |path| {
            let name = file_name(path);
            name.starts_with(&network_name(number)) || sandboxes.iter().any(|id| name.contains(id))
        });
    }
    remove_files("/var/log/containers", |path| {
        fs::read_link(path).is_ok_and(|target| target.starts_with(&folder))
    });
}

fn remove_shared_traces() {
    let sockets = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    remove_files("/run/containerd/s", |path| !sockets.contains(&path.display().to_string()));
    remove_files("/var/lib/kubelet/device-plugins", |path| {
        file_name(path).starts_with("kubelet") && !sockets.contains(&path.display().to_string())
    });
    for shared in SHARED_FOLDERS {
        let _in_use_by_others = fs::remove_dir(shared);
    }
}

fn remove_files(folder: &str, is_ours: impl Fn(&Path) -> bool) {
    for path in entries(Path::new(folder)).iter().filter(|path| is_ours(path)) {
        let _gone_meanwhile = fs::remove_file(path);
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deeper_mounts_go_first_and_the_neighbours_stay() {
        let info = "1 0 8:1 / / rw - ext4 d rw\n2 1 0:1 / /s/a rw - tmpfs t rw\n3 2 0:2 / /s/a/b\\040c rw - tmpfs t rw\n\
                    4 1 0:3 / /sibling rw - tmpfs t rw\n";
        assert_eq!(mounts_below(info, Path::new("/s")), [Path::new("/s/a/b c"), Path::new("/s/a")]);
    }

    #[test]
    fn only_programs_of_the_cluster_are_killed() {
        let folder = Path::new("/var/lib/plimsoll-dev");
        let rank = |arguments: &str| program_rank(arguments, folder);
        assert_eq!(rank("/x/kubelet --config=/var/lib/plimsoll-dev/plimsoll-1/kubelet.json"), Some(0));
        assert_eq!(rank("tail -f /var/lib/plimsoll-dev/logs/etcd.log"), None);
        assert_eq!(rank("/usr/bin/containerd --config /etc/containerd/config.toml"), None);
        assert_eq!(program_rank("kubelet --config=/s/plimsoll-1/k", Path::new("/s/plimsoll-2")), None);
    }
}
