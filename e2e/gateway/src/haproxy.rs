//! HAProxy as a child process: each configuration runs in a process of its own, which takes over the listening sockets of its
//! predecessor, so that no connection is lost.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result};
use tokio::{
    process::{Child, Command},
    time::{sleep, timeout},
};

/// Time until a new process listens and its predecessor has stopped listening.
const TAKES_OVER: Duration = Duration::from_millis(150);

/// The running process and its predecessors.
pub struct HaProxy {
    file: PathBuf,
    /// Unix socket over which a process hands over its listening sockets.
    socket: PathBuf,
    running: Option<(String, Child)>,
    /// Predecessors that finish their last requests.
    leaving: Vec<Child>,
}

impl HaProxy {
    /// No process runs yet.
    pub fn new(folder: &Path) -> Self {
        let (file, socket) = (folder.join("gateway.cfg"), folder.join("gateway.sock"));
        Self { file, socket, running: None, leaving: Vec::new() }
    }

    /// Runs `config`, unless it runs already.
    pub async fn run(&mut self, config: &str) -> Result<()> {
        self.leaving.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        if self.running.as_ref().is_some_and(|(runs, _)| runs == config) {
            return Ok(());
        }
        // Without a Gateway there is no listener, which HAProxy refuses as an error.
        if !config.contains("frontend ") {
            return Ok(());
        }
        let socket = self.socket.display();
        let hand_over = format!("global\n  stats socket {socket} mode 600 expose-fd listeners\n");
        std::fs::write(&self.file, hand_over + config).with_context(|| self.file.display().to_string())?;
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(&self.file).stdin(Stdio::null()).kill_on_drop(true);
        if let Some(pid) = self.running.as_ref().and_then(|(_, child)| child.id()) {
            command.arg("-x").arg(&self.socket).arg("-sf").arg(pid.to_string());
        }
        let mut child = command.spawn().context("cannot start haproxy")?;
        // A process that refuses its configuration exits immediately, and its predecessor keeps serving.
        match timeout(TAKES_OVER, child.wait()).await {
            Ok(ended) => eprintln!("haproxy ended: {:?}; its configuration:\n{config}", ended?),
            Err(_) => {
                let before = self.running.replace((config.to_owned(), child));
                self.leaving.extend(before.map(|(_, child)| child));
                return Ok(());
            }
        }
        sleep(Duration::from_secs(1)).await;
        Ok(())
    }
}
