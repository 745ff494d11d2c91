//! Certificates of listeners: from mounted Secrets to the files that are served.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::balancer::{CertificateChange, Driver};
use plimsoll_api::Listener;

/// How soon a refused content is tried again.
const AGAIN: Duration = Duration::from_secs(30);

/// The mounted Secrets, and the folder with a PEM file for each.
#[derive(Debug)]
pub struct Certificates {
    /// Has a folder with `tls.crt` and `tls.key` for each Secret.
    mounted: PathBuf,
    /// Has `SECRET.pem` for each.
    folder: PathBuf,
    /// The last attempt with each.
    tried: BTreeMap<String, Tried>,
}

/// An attempt with one content of a Secret.
#[derive(Debug)]
struct Tried {
    mark: u64,
    /// Why it is not used, in a sentence.
    complaint: Option<String>,
    at: Instant,
}

impl Tried {
    fn now(mark: u64, complaint: Option<String>) -> Self {
        Self { mark, complaint, at: Instant::now() }
    }

    fn covers(&self, mark: u64) -> bool {
        self.mark == mark && (self.complaint.is_none() || self.at.elapsed() < AGAIN)
    }
}

impl Certificates {
    /// No Secret is read yet.
    #[must_use]
    pub fn new(mounted: &Path, folder: &Path) -> Self {
        Self { mounted: mounted.to_owned(), folder: folder.to_owned(), tried: BTreeMap::new() }
    }

    /// The folder with the PEM files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Passes new contents of the listeners' Secrets to the driver. Returns whether there were any.
    ///
    /// A content that is not used is tried again when the Secret changes, and after a while, since the cause may be
    /// gone.
    pub async fn follow<'a>(
        &mut self,
        driver: &Driver,
        listeners: impl IntoIterator<Item = &'a Listener>,
    ) -> bool {
        let name = |listener: &'a Listener| Some(&listener.tls.as_ref()?.secret_name);
        let names: BTreeSet<&String> = listeners.into_iter().filter_map(name).collect();
        self.tried.retain(|name, _| names.contains(name));
        let mut changed = false;
        for name in names {
            let pair = match read(&self.mounted.join(name)) {
                Ok(pair) => pair,
                Err(complaint) => {
                    self.tried.insert(name.clone(), Tried::now(0, Some(complaint)));
                    continue;
                }
            };
            let mark = mark(&pair);
            if self.tried.get(name).is_some_and(|tried| tried.covers(mark)) {
                continue;
            }
            let file = self.folder.join(format!("{name}.pem"));
            let complaint = match driver.set_certificate(&file, &pair.0, &pair.1).await {
                Ok(CertificateChange::None) => None,
                Ok(how) => {
                    tracing::info!(secret = name, ?how, "new certificate");
                    changed = true;
                    None
                }
                // The balancer may be up in a moment, and the file is not in place yet.
                Err(error) if error.is_down() => continue,
                Err(error) => {
                    tracing::warn!(secret = name, %error, "failed to use a certificate");
                    Some(error.to_string())
                }
            };
            self.tried.insert(name.clone(), Tried::now(mark, complaint));
        }
        changed
    }

    /// Why one of them is not used, in a sentence.
    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        self.tried.values().find_map(|tried| tried.complaint.clone())
    }
}

/// Reads certificate and key consistently: the kubelet replaces both atomically by moving the link `..data`.
fn read(secret: &Path) -> Result<(String, String), String> {
    let snapshot = fs::canonicalize(secret.join("..data")).unwrap_or_else(|_| secret.to_owned());
    let text = |key: &str| {
        fs::read_to_string(snapshot.join(key))
            .map_err(|error| format!("the Secret at {} has no usable {key}: {error}", secret.display()))
    };
    Ok((text("tls.crt")?, text("tls.key")?))
}

/// Hash of a content, so that no key is kept in memory.
fn mark(pair: &(String, String)) -> u64 {
    let mut hasher = DefaultHasher::new();
    pair.hash(&mut hasher);
    hasher.finish()
}
