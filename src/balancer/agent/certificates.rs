//! Certificates: from mounted Secrets to the files that are served.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::balancer::{CertificateChange, Driver};
use plimsoll_api::Listener;

/// How soon a content that was not taken is tried again.
const AGAIN: Duration = Duration::from_secs(30);

/// The mounted Secrets, and the folder with a PEM file for each.
#[derive(Debug)]
pub struct Certificates {
    /// Has a folder with `tls.crt` and `tls.key` for each Secret.
    mounted: PathBuf,
    /// Has `SECRET.pem` for each.
    folder: PathBuf,
    /// What was last tried of each.
    tried: BTreeMap<String, Tried>,
}

/// One content of a Secret.
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

    fn stands_for(&self, mark: u64) -> bool {
        self.mark == mark && (self.complaint.is_none() || self.at.elapsed() < AGAIN)
    }
}

impl Certificates {
    /// Nothing is looked at yet.
    #[must_use]
    pub fn new(mounted: &Path, folder: &Path) -> Self {
        Self { mounted: mounted.to_owned(), folder: folder.to_owned(), tried: BTreeMap::new() }
    }

    /// The folder with the PEM files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Hands on what is new in the Secrets of the listeners. Whether anything was.
    ///
    /// What is not used is tried again when the Secret changes, and after a while: what was in the way may be gone.
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
            if self.tried.get(name).is_some_and(|tried| tried.stands_for(mark)) {
                continue;
            }
            let file = self.folder.join(format!("{name}.pem"));
            let complaint = match driver.set_certificate(&file, &pair.0, &pair.1).await {
                Ok(CertificateChange::None) => None,
                Ok(how) => {
                    tracing::info!(secret = name, ?how, "a new certificate");
                    changed = true;
                    None
                }
                // It may be up in a moment, and the file is not in place yet.
                Err(error) if error.is_down() => continue,
                Err(error) => {
                    tracing::warn!(secret = name, %error, "a certificate is not used");
                    Some(error.to_string())
                }
            };
            self.tried.insert(name.clone(), Tried::now(mark, complaint));
        }
        changed
    }

    /// What is wrong with one of them, in a sentence.
    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        self.tried.values().find_map(|tried| tried.complaint.clone())
    }
}

/// Certificate and key of one moment: the kubelet replaces both at once by moving the link `..data`.
fn read(secret: &Path) -> Result<(String, String), String> {
    let at_once = fs::canonicalize(secret.join("..data")).unwrap_or_else(|_| secret.to_owned());
    let text = |key: &str| {
        fs::read_to_string(at_once.join(key))
            .map_err(|error| format!("the Secret at {} has no usable {key}: {error}", secret.display()))
    };
    Ok((text("tls.crt")?, text("tls.key")?))
}

/// Tells one content from another without keeping a key in memory.
fn mark(pair: &(String, String)) -> u64 {
    let mut hasher = DefaultHasher::new();
    pair.hash(&mut hasher);
    hasher.finish()
}
