//! A certificate with its key on the way into the file that a balancer reads: checked by the balancer before it is put there.

use std::{
    future::Future,
    path::{Path, PathBuf},
};

use super::{DriverError, Pem, Wanted, files};
use crate::fingerprint::fingerprint;

/// A pair that lies beside the file that it is for.
pub(super) struct Offer<'a> {
    file: &'a Path,
    /// The pair.
    pub pem: Pem,
    /// What the file has now.
    pub before: Option<String>,
    /// Where the pair lies.
    beside: PathBuf,
}

impl<'a> Offer<'a> {
    /// Puts the certificate and key of a Secret of type `kubernetes.io/tls` beside `file`; `None` if the file has them.
    ///
    /// # Errors
    /// They are no PEM, or can't be written.
    pub async fn of(file: &'a Path, certificate: &str, key: &str) -> Result<Option<Self>, DriverError> {
        let pem = Pem::of(certificate, key)?;
        let before = files::read(file).await?;
        if before.as_deref() == Some(pem.as_str()) {
            return Ok(None);
        }
        let beside = files::write_beside(file, pem.as_str()).await?;
        Ok(Some(Self { file, pem, before, beside }))
    }

    /// Where the pair lies, as text.
    pub fn place(&self) -> String {
        self.beside.display().to_string()
    }

    /// Where a configuration with the pair alone is to be written for a check.
    pub fn config(&self) -> PathBuf {
        let mut config = self.beside.as_os_str().to_owned();
        config.push(".conf");
        config.into()
    }

    /// Writes such a configuration for `complaint`, which is what the balancer `by` says against it.
    ///
    /// # Errors
    /// The balancer refuses the pair: the key may be another certificate's.
    pub async fn check(
        &self,
        by: &'static str,
        config: &str,
        complaint: impl Future<Output = Result<Option<String>, DriverError>>,
    ) -> Result<(), DriverError> {
        let path = self.config();
        files::replace(&path, config).await?;
        let refused = complaint.await;
        let _gone_is_fine = tokio::fs::remove_file(&path).await;
        match refused? {
            None => Ok(()),
            Some(answer) => Err(refusal(by, self.file, answer)),
        }
    }
}

/// The balancer `by` refuses the certificate in `file`.
pub(super) fn refusal(by: &'static str, file: &Path, answer: String) -> DriverError {
    DriverError::Certificate { by, file: file.display().to_string(), answer }
}

/// Stands for the contents of the listeners' certificates, so that a new one is a change like any other.
pub(super) async fn marks(wanted: &Wanted) -> String {
    let mut marks = String::new();
    for file in wanted.listeners.iter().filter_map(|listen| listen.certificate.as_ref()) {
        // One that is missing is refused by the balancer's own check, in its words.
        let content = files::read(file).await.ok().flatten().unwrap_or_default();
        marks += &fingerprint(&content);
    }
    marks
}
