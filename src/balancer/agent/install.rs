//! `lb-agent install`: the program copies itself to where the balancer's containers find it.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use thiserror::Error;

/// The copy can't be made.
#[derive(Debug, Error)]
#[error("the program can't be copied to {}: {error}", path.display())]
pub struct InstallError {
    path: PathBuf,
    error: io::Error,
}

/// Copies the running program atomically to `path`, executable by all.
///
/// # Errors
/// A file can't be read or written.
pub fn install(path: &Path) -> Result<(), InstallError> {
    let copy = || -> io::Result<()> {
        let beside = path.with_extension("new");
        // Not the path of the program: that may be another file by now, or none.
        fs::copy("/proc/self/exe", &beside)?;
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o755))?;
        fs::rename(&beside, path)
    };
    copy().map_err(|error| InstallError { path: path.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_is_the_program_and_can_be_run() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plimsoll");
        fs::write(&path, "an older one").unwrap();
        install(&path).unwrap();
        let program = std::env::current_exe().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), fs::metadata(program).unwrap().len());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
        let error = install(Path::new("/nowhere/plimsoll")).unwrap_err().to_string();
        assert!(error.starts_with("the program can't be copied to /nowhere/plimsoll: "), "{error}");
    }
}
