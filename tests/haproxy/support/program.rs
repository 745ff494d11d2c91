//! A balancer program in its own folder.

use std::{
    ffi::OsStr,
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

pub struct Program {
    name: &'static str,
    pub folder: PathBuf,
    pub process: Option<Child>,
}

impl Program {
    /// Does not start the program yet.
    pub fn new(name: &'static str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("plimsoll-{name}-{}-{number}", std::process::id()));
        // A killed run may have had the same process id.
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(&folder).unwrap();
        Self { name, folder, process: None }
    }

    /// Starts it, as the container would.
    pub fn spawn<'a>(&mut self, arguments: impl IntoIterator<Item = &'a OsStr>) {
        // NGINX reopens its standard output for its access log.
        let log = self.folder.join("log");
        let log = fs::File::options().create(true).append(true).open(log).unwrap();
        let child = Command::new(self.name)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        let name = self.name;
        self.process =
            Some(child.unwrap_or_else(|error| panic!("these tests need the program `{name}`: {error}")));
    }

    /// Standard output and standard error so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Waits for the program's exit.
    pub fn wait(&mut self) {
        self.process.take().unwrap().wait().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            signal("-TERM", process.id());
            drop(process.wait());
        }
        drop(fs::remove_dir_all(&self.folder));
    }
}

pub fn signal(signal: &str, pid: u32) {
    Command::new("kill").args([signal, &pid.to_string()]).status().unwrap();
}
