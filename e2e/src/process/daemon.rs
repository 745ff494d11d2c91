//! A program that goes on when we end, found again by its pid file.

use super::{SEARCH_PATH, resident_bytes, signal_process, wait_for};
use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use std::fs::{self, OpenOptions};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long a killed program may take to be gone.
const END_DEADLINE: Duration = Duration::from_secs(5);

/// Lines of a program's log that an error shows.
const LOG_TAIL_LINES: usize = 12;

/// A program with its own session, a log file, a pid file.
#[derive(Debug, Clone)]
pub struct Daemon {
    /// What people call it.
    pub name: String,
    /// The program and its arguments.
    pub program: PathBuf,
    /// Arguments of the program.
    pub args: Vec<String>,
    /// Name of the network namespace that it runs in, as `ip netns` knows it; otherwise the host's.
    pub netns: Option<String>,
    /// What it writes goes here; appended to.
    pub log: PathBuf,
    /// Holds the process id and the time of its start, so that a reused id is not mistaken for ours.
    pub pid_file: PathBuf,
}

impl Daemon {
    /// Starts the program, unless it runs already.
    ///
    /// # Errors
    /// The program cannot be started, or its log or pid file cannot be written.
    pub fn start(&self) -> Result<()> {
        if self.is_running() {
            return Ok(());
        }
        // A killed program holds its ports until its last thread has gone.
        wait_for(&format!("end of the former {}", self.name), END_DEADLINE, || Ok(!self.is_ending()))?;
        let log = OpenOptions::new().create(true).append(true).open(&self.log);
        let log = log.with_context(|| format!("cannot open the log {}", self.log.display()))?;
        let mut child = self
            .command()
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", self.name))?;
        let pid = child.id();
        // Somebody must collect the exit status, or a program that died would look alive as a zombie.
        std::thread::spawn(move || child.wait());
        let started = Process::of(pid).map_or(0, |process| process.started);
        fs::write(&self.pid_file, format!("{pid} {started}\n"))
            .with_context(|| format!("cannot write {}", self.pid_file.display()))
    }

    /// Asks the program to end, and kills it after `grace`.
    ///
    /// # Errors
    /// It is still there 5 s after it was killed.
    pub fn stop(&self, grace: Duration) -> Result<()> {
        self.signal(Signal::TERM);
        let start = Instant::now();
        while self.is_running() && start.elapsed() < grace {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.kill9()
    }

    /// Kills the program at once, as a crash would.
    ///
    /// # Errors
    /// It is still there after 5 s.
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
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.pid().is_some()
    }

    /// The process id, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        let (pid, process) = self.process()?;
        (!process.is_zombie).then_some(pid)
    }

    /// Whether the process is dead already, but threads of it are still on their way out.
    fn is_ending(&self) -> bool {
        self.process().is_some_and(|(_, process)| process.is_zombie && process.threads > 1)
    }

    /// The process in the pid file, if it is still the one that we started.
    fn process(&self) -> Option<(u32, Process)> {
        let text = fs::read_to_string(&self.pid_file).ok()?;
        let (pid, started) = text.trim().split_once(' ')?;
        let pid = pid.parse().ok()?;
        let process = Process::of(pid)?;
        (process.started.to_string() == started).then_some((pid, process))
    }

    /// Waits until `probe` is true, as [`wait_for`], but gives up as soon as the program has ended.
    ///
    /// # Errors
    /// The program ended or the deadline passed; the message has the end of its log.
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

    /// Memory that the program has in RAM, in bytes; zero when it does not run.
    #[must_use]
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

/// What proc_pid_stat(5) tells of a process.
#[derive(Debug, PartialEq, Eq)]
struct Process {
    /// It has ended, and nobody has collected its exit status yet.
    is_zombie: bool,
    threads: u32,
    /// Clock ticks from the machine's boot to its start.
    started: u64,
}

impl Process {
    fn of(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Fields 3 (state), 20 (threads) and 22 (start time); the name in field 2 may hold anything.
    fn parse(stat: &str) -> Option<Self> {
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3).copied();
        Some(Self {
            is_zombie: matches!(field(3)?, "Z" | "X"),
            threads: field(20)?.parse().ok()?,
            started: field(22)?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn sleeper(folder: &Path) -> Daemon {
        Daemon {
            name: "sleeper".into(),
            program: "/bin/sh".into(),
            // Without `exec` the sleep would outlive the shell that is killed.
            args: vec!["-c".into(), "echo started; exec sleep 600".into()],
            netns: None,
            log: folder.join("log"),
            pid_file: folder.join("pid"),
        }
    }

    #[test]
    fn the_name_of_a_process_may_have_brackets_and_spaces() {
        let tail = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 30 18 4711 20";
        let alive = Process { is_zombie: false, threads: 30, started: 4711 };
        assert_eq!(Process::parse(&format!("7 (a) b) S {tail}")), Some(alive));
        assert!(Process::parse(&format!("7 (a) Z {tail}")).is_some_and(|process| process.is_zombie));
    }

    #[test]
    fn a_daemon_is_started_once_and_its_end_is_seen() {
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
