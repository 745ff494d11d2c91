//! Processes: run a program and return its output, start one that outlives this process, wait for a condition.

mod daemon;

pub use daemon::Daemon;

use crate::prelude::*;
use procfs::process::Process;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    ffi::OsStr,
    fs::{File, OpenOptions},
    io::Write,
};

/// Search path of programs; a root shell's PATH may lack the `sbin` folders.
pub const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const POLL: Duration = Duration::from_millis(100);

pub fn run<A: AsRef<OsStr>>(program: impl AsRef<OsStr>, args: &[A]) -> Result<String> {
    run_with_input(program, args, "")
}

/// As [`run`], with `input` on the program's standard input.
pub fn run_with_input<A: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    args: &[A],
    input: &str,
) -> Result<String> {
    let mut command = Command::new(program);
    command.args(args).env("PATH", search_path());
    finish(command, input)
}

/// Runs a prepared command to its end, with `input` on its standard input, and returns its standard output.
pub fn finish(mut command: Command, input: &str) -> Result<String> {
    let line = command_line(&command);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start `{line}`"))?;
    let output = std::thread::scope(|scope| {
        if let Some(mut stdin) = child.stdin.take() {
            // A write error is ignored: a program that exits before it has read everything reports why.
            scope.spawn(move || stdin.write_all(input.as_bytes()));
        }
        child.wait_with_output()
    })
    .with_context(|| format!("cannot wait for `{line}`"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("`{line}` failed ({}): {}", output.status, stderr.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

pub fn find_program(name: &str) -> Option<PathBuf> {
    search_path().split(':').map(|folder| Path::new(folder).join(name)).find(|path| path.is_file())
}

pub fn wait_for(what: &str, deadline: Duration, mut probe: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    loop {
        let last = match probe() {
            Ok(true) => return Ok(()),
            Ok(false) => String::from("not yet"),
            Err(error) => format!("{error:#}"),
        };
        if start.elapsed() >= deadline {
            bail!("{what}: not within {} s; last result: {last}", deadline.as_secs());
        }
        std::thread::sleep(POLL);
    }
}

/// Sends a signal; a process that has already exited is not an error.
pub fn signal_process(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _may_have_exited = kill_process(pid, signal);
    }
}

pub fn processes() -> impl Iterator<Item = Process> {
    procfs::process::all_processes().into_iter().flatten().flatten()
}

pub fn process_of(pid: u32) -> Option<Process> {
    Process::new(i32::try_from(pid).ok()?).ok()
}

/// The arguments of a process, separated by spaces; empty if it has exited.
pub fn arguments_of(process: &Process) -> String {
    process.cmdline().unwrap_or_default().join(" ")
}

/// Resident memory of a process, in bytes; zero if it has exited.
pub fn resident_bytes(pid: u32) -> u64 {
    process_of(pid).and_then(|process| process.status().ok()?.vmrss).unwrap_or(0) * 1024
}

/// Whether a process is in a control group of this name, or below it.
pub fn is_in_cgroup(process: &Process, name: &str) -> bool {
    process.cgroups().is_ok_and(|groups| groups.0.iter().any(|group| group.pathname.contains(name)))
}

pub fn write_private(path: &Path, content: &str) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let file: std::io::Result<File> =
        OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(content.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}

fn search_path() -> String {
    std::env::var("PATH").map_or_else(|_| SEARCH_PATH.to_owned(), |path| format!("{path}:{SEARCH_PATH}"))
}

fn command_line(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy()];
    words.extend(command.get_args().map(OsStr::to_string_lossy));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_of_a_failed_command_has_its_stderr() {
        let error = run("sh", &["-c", "echo broken >&2; exit 3"]).unwrap_err().to_string();
        assert!(error.contains("broken") && error.contains('3'), "{error}");
    }
}
