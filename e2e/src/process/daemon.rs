//! A program that outlives this process and is found again by its pid file.

use super::{SEARCH_PATH, process_of, resident_bytes, signal_process};
use crate::prelude::*;
use fs_err::OpenOptions;
use procfs::process::Stat;
use rustix::process::Signal;

const END_DEADLINE: Duration = Duration::from_secs(5);
const LOG_TAIL_LINES: usize = 12;

/// A program with its own session, a log file and a pid file.
#[derive(Debug, Clone)]
pub struct Daemon {
    pub name: String,
    pub program: PathBuf,
    pub args: Vec<String>,
    /// Name of its network namespace in `ip netns`; without one it runs in the host's.
    pub netns: Option<String>,
    pub log: PathBuf,
    /// Holds the process id and the time of its start, so that a reused id is not mistaken for ours.
    pub pid_file: PathBuf,
}

impl Daemon {
    pub fn start(&self) -> Result<()> {
        if self.is_running() {
            return Ok(());
        }
        // A killed program keeps its ports until its last thread has exited.
        wait_for(&format!("end of the previous {}", self.name), END_DEADLINE, || Ok(!self.is_ending()))?;
        let log = OpenOptions::new().create(true).append(true).open(&self.log)?.into_file();
        let mut child = self
            .command()
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", self.name))?;
        let pid = child.id();
        // The exit status must be collected: otherwise a dead program would stay as a zombie and look alive.
        std::thread::spawn(move || child.wait());
        let started = stat_of(pid).map_or(0, |stat| stat.starttime);
        Ok(fs::write(&self.pid_file, format!("{pid} {started}\n"))?)
    }

    pub fn stop(&self, grace: Duration) -> Result<()> {
        self.signal(Signal::TERM);
        let start = Instant::now();
        while self.is_running() && start.elapsed() < grace {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.kill9()
    }

    pub fn kill9(&self) -> Result<()> {
        self.signal(Signal::KILL);
        let has_ended = || Ok(!self.is_running() && !self.is_ending());
        wait_for(&format!("end of {}", self.name), END_DEADLINE, has_ended)?;
        match fs::remove_file(&self.pid_file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Whether the process in the pid file is alive and still the one that we started.
    pub fn is_running(&self) -> bool {
        self.pid().is_some()
    }

    pub fn pid(&self) -> Option<u32> {
        let (pid, stat) = self.stat()?;
        (!is_zombie(&stat)).then_some(pid)
    }

    /// Whether the process is dead, but some of its threads have not exited yet.
    fn is_ending(&self) -> bool {
        self.stat().is_some_and(|(_, stat)| is_zombie(&stat) && stat.num_threads > 1)
    }

    /// The process in the pid file, if it is still the one that we started.
    fn stat(&self) -> Option<(u32, Stat)> {
        let text = fs::read_to_string(&self.pid_file).ok()?;
        let (pid, started) = text.trim().split_once(' ')?;
        let pid = pid.parse().ok()?;
        let stat = stat_of(pid)?;
        (stat.starttime.to_string() == started).then_some((pid, stat))
    }

    /// Waits until `probe` is true, as [`wait_for`], but gives up as soon as the program has ended.
    pub fn wait_until(
        &self,
        what: &str,
        deadline: Duration,
        mut probe: impl FnMut() -> Result<bool>,
    ) -> Result<()> {
        let mut ended = false;
        let waited = wait_for(what, deadline, || {
            ended = !self.is_running();
            if ended { Ok(true) } else { probe() }
        });
        match waited {
            Ok(()) if !ended => Ok(()),
            Ok(()) => bail!("{} ended while waiting for: {what}\n{}", self.name, self.log_tail()),
            Err(error) => Err(error.context(self.log_tail())),
        }
    }

    pub fn memory(&self) -> u64 {
        self.pid().map_or(0, resident_bytes)
    }

    fn command(&self) -> Command {
        // `setsid` and `nsenter` replace themselves, so the child's id is the program's own.
        let mut command = Command::new("setsid");
        if let Some(netns) = &self.netns {
            // Only the network: `ip netns exec` would also hide the cgroup mounts.
            command.args(["nsenter", &format!("--net=/var/run/netns/{netns}")]);
        }
        command.arg(&self.program).args(&self.args).current_dir("/");
        command.env_clear().env("PATH", SEARCH_PATH).env("HOME", "/root");
        command
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            signal_process(pid, signal);
        }
    }

    fn log_tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(LOG_TAIL_LINES)..).unwrap_or_default();
        format!("the end of {}:\n{}", self.log.display(), tail.join("\n"))
    }
}

fn stat_of(pid: u32) -> Option<Stat> {
    process_of(pid)?.stat().ok()
}

fn is_zombie(stat: &Stat) -> bool {
    matches!(stat.state, 'Z' | 'X')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn sleeper(folder: &Path) -> Daemon {
        Daemon {
            name: "sleeper".into(),
            program: "/bin/sh".into(),
            // Without `exec` the sleep would outlive the killed shell.
            args: vec!["-c".into(), "echo started; exec sleep 600".into()],
            netns: None,
            log: folder.join("log"),
            pid_file: folder.join("pid"),
        }
    }

    #[test]
    fn a_daemon_is_started_once_and_its_end_is_detected() {
        let folder = tempfile::tempdir().unwrap();
        let daemon = sleeper(folder.path());
        daemon.start().unwrap();
        let first = daemon.pid();
        daemon.start().unwrap();
        assert!(first.is_some() && daemon.pid() == first, "a second start must keep the first process");
        daemon.kill9().unwrap();
        assert!(!daemon.is_running() && !daemon.is_ending());
    }

    #[test]
    fn a_reused_process_id_is_not_ours() {
        let folder = tempfile::tempdir().unwrap();
        let daemon = sleeper(folder.path());
        fs::write(&daemon.pid_file, format!("{} 1\n", std::process::id())).unwrap();
        assert!(!daemon.is_running());
    }

    #[test]
    fn waiting_for_a_program_that_ended_shows_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let mut daemon = sleeper(folder.path());
        daemon.args = vec!["-c".into(), "echo no such flag".into()];
        daemon.start().unwrap();
        let error = daemon.wait_until("readiness", Duration::from_secs(20), || Ok(false)).unwrap_err();
        assert!(format!("{error:#}").contains("no such flag"), "{error:#}");
    }
}
