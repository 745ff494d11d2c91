//! Certificates: swapped in the running process, so that no connection notices.

use std::path::Path;

use super::{
    HaProxy, NAME,
    check::check,
    command::{Answer, Command, FileWord},
    socket,
};
use crate::balancer::{CertificateChange, DriverError, Pem, files};

/// The longest PEM that fits into a command: HAProxy's buffer (`tune.bufsize`, 16 KiB unless it is set) less the command's own
/// line. A larger buffer would cost each request of a client twice as much.
const LONGEST: usize = 16_384 - 1_536;

impl HaProxy {
    /// Puts the certificate and key of a Secret of type `kubernetes.io/tls` into `file`, and has HAProxy serve it.
    ///
    /// # Errors
    /// They are no PEM, or HAProxy refuses them (the key may be another certificate's): then all stays as it was.
    pub async fn set_certificate(
        &self,
        file: &Path,
        certificate: &str,
        key: &str,
    ) -> Result<CertificateChange, DriverError> {
        let pem = Pem::of(certificate, key)?;
        let before = files::read(file).await?;
        if before.as_deref() == Some(pem.as_str()) {
            return Ok(CertificateChange::None);
        }
        let beside = files::write_beside(file, pem.as_str()).await?;
        self.check_certificate(file, &beside).await?;
        if pem.as_str().len() > LONGEST {
            files::put_in_place(file).await?;
            return match self.observe().await {
                Ok(seen) => {
                    let taken = self.take_over(seen.structure.as_deref().unwrap_or_default(), &seen).await;
                    if let (Err(_), Some(before)) = (&taken, before) {
                        // The file says what is served, or nobody would ever try again.
                        files::replace(file, &before).await?;
                    }
                    taken.map(|_| CertificateChange::Reloaded)
                }
                Err(error) if error.is_down() => Ok(CertificateChange::Written),
                Err(error) => Err(error),
            };
        }
        let swapped = self.swap(file, pem).await?;
        files::put_in_place(file).await?;
        Ok(swapped)
    }

    /// Asks HAProxy's own check about the pair alone.
    async fn check_certificate(&self, file: &Path, beside: &Path) -> Result<(), DriverError> {
        let mut config = beside.as_os_str().to_owned();
        config.push(".cfg");
        let config = Path::new(&config);
        let crt = super::quote::quoted("the path of a certificate", &beside.display().to_string())?;
        let text = format!(
            "frontend check\n    mode http\n    timeout client 1s\n    bind 127.0.0.1:{} ssl crt {crt}\n",
            self.paths.metrics
        );
        files::replace(config, &text).await?;
        let refused = check(&self.paths.program, config).await;
        let _gone_is_fine = tokio::fs::remove_file(config).await;
        match refused? {
            None => Ok(()),
            Some(answer) => {
                Err(DriverError::Certificate { by: NAME, file: file.display().to_string(), answer })
            }
        }
    }

    async fn swap(&self, file: &Path, pem: Pem) -> Result<CertificateChange, DriverError> {
        let word = FileWord::new(&file.display().to_string())?;
        let set = Command::SetCertificate(word.clone(), pem);
        let answer = match socket::ask(&self.paths.admin, &set).await {
            Ok(answer) => answer,
            Err(socket::SocketError::Connect { .. }) => return Ok(CertificateChange::Written),
            Err(error) => return Err(error.into()),
        };
        if answer.contains("not referenced by the configuration") {
            return Ok(CertificateChange::Written);
        }
        done(file, &set, &answer)?;
        let commit = Command::CommitCertificate(word.clone());
        let answer = socket::ask(&self.paths.admin, &commit).await?;
        if let Err(error) = done(file, &commit, &answer) {
            socket::ask(&self.paths.admin, &Command::AbortCertificate(word)).await?;
            return Err(error);
        }
        Ok(CertificateChange::Swapped)
    }
}

fn done(file: &Path, command: &Command, answer: &str) -> Result<(), DriverError> {
    match command.answered(answer) {
        Answer::Refused(answer) => {
            Err(DriverError::Certificate { by: NAME, file: file.display().to_string(), answer })
        }
        _ => Ok(()),
    }
}
