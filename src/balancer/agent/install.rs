//! `lb-agent install`: the program copies itself to where the balancer's containers find it.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use thiserror::Error;

/// Execution alone.
const MODE: u32 = 0o111;

/// The copy can't be made.
#[derive(Debug, Error)]
#[error("the program can't be copied to {}: {error}", path.display())]
pub struct InstallError {
    path: PathBuf,
    error: io::Error,
}

/// Copies the running program to `path`, executable by all and readable by nobody, all at once.
///
/// A process whose program its user can't read is not dumpable (`prctl(2)`, `PR_SET_DUMPABLE`): others of the same user, as NGINX
/// with which the agent shares a process namespace, have no access to its memory, or by `/proc/PID/root` to the files of its
/// container, of which its token is one. The volume is mounted read-only, so that nobody makes it readable.
///
/// # Errors
/// A file can't be read or written.
pub fn install(path: &Path) -> Result<(), InstallError> {
    let copy = || -> io::Result<()> {
        let beside = path.with_extension("new");
        // Not the path of the program: that may be another file by now, or none.
        fs::copy("/proc/self/exe", &beside)?;
        fs::set_permissions(&beside, fs::Permissions::from_mode(MODE))?;
        fs::rename(&beside, path)
    };
    copy().map_err(|error| InstallError { path: path.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::{
            fs::{MetadataExt as _, chown},
            process::CommandExt as _,
        },
        process::Command,
    };

    use super::*;

    #[test]
    fn the_copy_is_the_program_and_can_be_run() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plimsoll");
        fs::write(&path, "an older one").unwrap();
        install(&path).unwrap();
        let program = std::env::current_exe().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), fs::metadata(program).unwrap().len());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o111);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
        let error = install(Path::new("/nowhere/plimsoll")).unwrap_err().to_string();
        assert!(error.starts_with("the program can't be copied to /nowhere/plimsoll: "), "{error}");
    }

    /// Whether another process of the same user sees the files of one whose program has that mode.
    fn shows_its_files(mode: u32) -> bool {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let program = folder.path().join("sleep");
        fs::copy("/bin/sleep", &program).unwrap();
        let as_user = |program: &Path| {
            let mut command = Command::new(program);
            // Root may read everything.
            if fs::metadata("/proc/self").unwrap().uid() == 0 {
                chown(folder.path().join("sleep"), Some(65_532), Some(65_532)).unwrap();
                command.uid(65_532).gid(65_532);
            }
            command
        };
        fs::set_permissions(&program, fs::Permissions::from_mode(mode)).unwrap();
        let mut agent = as_user(&program).arg("60").spawn().unwrap();
        let files = format!("/proc/{}/root/", agent.id());
        let seen = as_user(Path::new("ls")).arg(files).output().unwrap().status.success();
        agent.kill().unwrap();
        agent.wait().unwrap();
        seen
    }

    #[test]
    fn a_process_of_the_same_user_sees_no_files_of_the_agent() {
        assert!(!shows_its_files(MODE));
        assert!(shows_its_files(0o755), "a program that can be read shows them");
    }
}
