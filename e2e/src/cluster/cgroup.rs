//! Control groups of the nodes, in cgroup v1 (one tree for each controller) and v2 (one tree).

use crate::{prelude::*, process::signal_process};
use rustix::process::Signal;

#[derive(Debug, PartialEq, Eq)]
pub struct Trees {
    /// Trees with controllers, in which a node's groups must be created.
    with_controllers: Vec<PathBuf>,
    /// All trees, including the one without controllers in which runc creates groups beside those of version 1.
    all: Vec<PathBuf>,
}

pub fn trees() -> Result<Trees> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("cannot read /proc/self/mounts")?;
    let trees = trees_in(&mounts);
    ensure!(!trees.all.is_empty(), "no cgroup is mounted for containers; mount cgroup2 at /sys/fs/cgroup");
    Ok(trees)
}

pub fn create(group: &str) -> Result<()> {
    for tree in trees()?.with_controllers {
        let mut folder = tree;
        for name in group.split('/').filter(|name| !name.is_empty()) {
            enable_controllers(&folder)?;
            let child = folder.join(name);
            if !child.is_dir() {
                fs::create_dir(&child)?;
            }
            inherit_cpuset(&folder, &child)?;
            weigh(&child)?;
            folder = child;
        }
        enable_controllers(&folder)?;
    }
    Ok(())
}

pub fn kill(group: &str) -> Result<()> {
    wait_for(&format!("end of the processes in the cgroup {group}"), Duration::from_secs(10), || {
        let processes = processes(group)?;
        processes.iter().for_each(|pid| signal_process(*pid, Signal::KILL));
        Ok(processes.is_empty())
    })
}

/// Removes a group and all below it; its processes must have ended.
pub fn remove(group: &str) -> Result<()> {
    let folders: Vec<PathBuf> = trees()?.all.into_iter().map(|tree| below(&tree, group)).collect();
    wait_for(&format!("end of the cgroup {group}"), Duration::from_secs(5), || {
        folders.iter().for_each(|folder| remove_tree(folder));
        Ok(!folders.iter().any(|folder| folder.exists()))
    })
}

pub fn processes(group: &str) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for tree in trees()?.all {
        collect_processes(&below(&tree, group), &mut found);
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// In a mixture of both versions the controllers are in the trees of version 1.
fn trees_in(mounts: &str) -> Trees {
    let of_kind = |kind: &str| -> Vec<PathBuf> {
        let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let matching = fields.filter_map(|fields| match fields.as_slice() {
            [_, point, found, ..] if *found == kind => Some(PathBuf::from(point)),
            _ => None,
        });
        matching.collect()
    };
    let (version_1, version_2) = (of_kind("cgroup"), of_kind("cgroup2"));
    let all = [version_1.as_slice(), &version_2].concat();
    Trees { with_controllers: if version_1.is_empty() { version_2 } else { version_1 }, all }
}

fn below(tree: &Path, group: &str) -> PathBuf {
    tree.join(group.trim_start_matches('/'))
}

/// Version 2: a child has only the controllers that its parent delegates.
fn enable_controllers(folder: &Path) -> Result<()> {
    let Ok(controllers) = fs::read_to_string(folder.join("cgroup.controllers")) else {
        return Ok(());
    };
    for controller in controllers.split_whitespace() {
        let file = folder.join("cgroup.subtree_control");
        fs::write(&file, format!("+{controller}"))?;
    }
    Ok(())
}

/// Version 1: a new cpuset is empty, and no process can run in an empty one.
fn inherit_cpuset(parent: &Path, child: &Path) -> Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        // In version 2 an empty set means "as the parent" and may stay.
        if child.join("cgroup.controllers").exists() || !child.join(file).exists() {
            continue;
        }
        if fs::read_to_string(child.join(file))?.trim().is_empty() {
            fs::write(child.join(file), fs::read_to_string(parent.join(file))?)?;
        }
    }
    Ok(())
}

/// Version 1: pods get their share of the CPU beside other programs.
///
/// The kubelet gives all pods of a node 1024 shares for each core, and the other programs of a real node have 1024 together.
/// Here each daemon of the nodes and of the control plane alone has that many, and starting pods would take the CPU
/// from serving pods.
fn weigh(group: &Path) -> Result<()> {
    /// Daemons that are busy at the same time while pods start.
    const BUSY: usize = 4;
    let file = group.join("cpu.shares");
    if !file.exists() {
        return Ok(());
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(fs::write(&file, (1024 * cores * BUSY).to_string())?)
}

fn collect_processes(folder: &Path, found: &mut Vec<u32>) {
    let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    found.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
    for child in child_folders(folder) {
        collect_processes(&child, found);
    }
}

fn remove_tree(folder: &Path) {
    for child in child_folders(folder) {
        remove_tree(&child);
    }
    // The group is busy for a moment after its last process has ended; the caller retries.
    let _busy = fs::remove_dir(folder);
}

fn child_folders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_has_the_controllers_in_a_mixture() {
        let mixed =
            "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n";
        let trees = trees_in(mixed);
        assert_eq!(trees.with_controllers, [Path::new("/sys/fs/cgroup/cpu")]);
        assert_eq!(trees.all.len(), 2, "runc makes groups in both: {trees:?}");
        let pure = trees_in("proc /proc proc rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n");
        assert_eq!(pure.with_controllers, [Path::new("/sys/fs/cgroup")]);
        assert!(trees_in("proc /proc proc rw 0 0\n").all.is_empty());
    }
}
