//! HAProxy as a child: each configuration is a process of its own, which takes over from the one before, with its listening
//! sockets, so that no connection is lost to that.

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

/// Time until a new process listens, and the one before does not any more.
const TAKES_OVER: Duration = Duration::from_millis(150);

/// The process that serves.
pub struct HaProxy {
    file: PathBuf,
    /// Where a process hands over its sockets.
    socket: PathBuf,
    running: Option<(String, Child)>,
    /// Those that finish their last requests.
    leaving: Vec<Child>,
}

impl HaProxy {
    /// None runs yet.
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
        // Without a Gateway there is nothing to listen on, which HAProxy calls an error.
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
        let mut child = command.spawn().context("haproxy can't be started")?;
        // One that refuses its configuration ends at once, and the one before goes on.
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
