//! Files that are rotated at runtime (mounted Secrets, CA bundles), read again when they change.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Largest allowed file; a token or a CA bundle is far smaller.
const BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A file whose content is needed often and changes rarely. A read of the unchanged file costs one `stat`.
#[derive(Debug)]
pub(super) struct WatchedFile {
    field: &'static str,
    path: PathBuf,
    seen: Mutex<Option<(Stamp, String)>>,
}

/// Attributes that change when a file is replaced. An update of a Secret swaps a symlink, so the inode changes too.
type Stamp = ((i64, i64), u64, u64);

impl WatchedFile {
    /// The file in the field `field`.
    pub(super) fn new(field: &'static str, path: &Path) -> Self {
        Self { field, path: path.to_owned(), seen: Mutex::new(None) }
    }

    /// The current content, trimmed. The error is a sentence with the field and the path.
    pub(super) fn read(&self) -> Result<String, String> {
        let wrong = |what: String| format!("{} is {:?}, {what}", self.field, self.path.display().to_string());
        let unreadable = |error: std::io::Error| wrong(format!("which can't be read: {error}"));
        let stamp = stamp(&self.path).map_err(unreadable)?;
        if stamp.1 > BYTES_MAX {
            return Err(wrong(format!("which has {} bytes; it must be at most {BYTES_MAX}", stamp.1)));
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((before, content)) = seen.as_ref()
            && *before == stamp
        {
            return Ok(content.clone());
        }
        let content = fs::read_to_string(&self.path).map_err(unreadable)?.trim().to_owned();
        if content.is_empty() {
            return Err(wrong("which is empty".to_owned()));
        }
        *seen = Some((stamp, content.clone()));
        Ok(content)
    }
}

fn stamp(path: &Path) -> std::io::Result<Stamp> {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::metadata(path)?;
    Ok(((metadata.mtime(), metadata.mtime_nsec()), metadata.len(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::WatchedFile;

    #[test]
    fn a_replaced_file_is_read_again() {
        let directory = std::env::temp_dir().join(format!("plimsoll-credentials-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("token");
        let file = WatchedFile::new("bearerTokenFile", &path);
        assert!(file.read().unwrap_err().contains("can't be read"));
        std::fs::write(&path, "one\n").unwrap();
        assert_eq!(file.read().as_deref(), Ok("one"));
        // Like the kubelet: a new file takes the name of the old one.
        std::fs::write(directory.join("new"), "two\n").unwrap();
        std::fs::rename(directory.join("new"), &path).unwrap();
        assert_eq!(file.read().as_deref(), Ok("two"));
        std::fs::write(&path, " \n").unwrap();
        assert_eq!(
            file.read().unwrap_err(),
            format!("bearerTokenFile is {:?}, which is empty", path.display().to_string())
        );
        std::fs::remove_dir_all(directory).unwrap();
    }
}
