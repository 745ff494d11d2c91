//! Certificates: checked as a pair, put into their files, and served after the next reload.

use std::path::Path;

use super::{NAME, Nginx, reload::complaint};
use crate::balancer::{CertificateChange, DriverError, Pem, Wanted, files, text};

/// Stands for the contents of the listeners' certificates, so that a new one is a change like any other.
pub(super) async fn marks(wanted: &Wanted) -> String {
    let mut marks = String::new();
    for file in wanted.listeners.iter().filter_map(|listen| listen.certificate.as_ref()) {
        // One that is missing is refused by NGINX's own check, in its words.
        let content = files::read(file).await.ok().flatten().unwrap_or_default();
        marks += &text::fingerprint(&content);
    }
    marks
}

impl Nginx {
    /// Puts the certificate and key of a Secret of type `kubernetes.io/tls` into `file`, for the next [`Self::sync`].
    ///
    /// # Errors
    /// They are no PEM, or NGINX refuses them (the key may be another certificate's): then the file stays as it was.
    pub async fn set_certificate(
        &self,
        file: &Path,
        certificate: &str,
        key: &str,
    ) -> Result<CertificateChange, DriverError> {
        let pem = Pem::of(certificate, key)?;
        if files::read(file).await?.as_deref() == Some(pem.as_str()) {
            return Ok(CertificateChange::None);
        }
        let beside = files::write_beside(file, pem.as_str()).await?;
        self.check_certificate(file, &beside).await?;
        files::put_in_place(file).await?;
        Ok(CertificateChange::Written)
    }

    /// Asks NGINX's own check about the pair alone.
    async fn check_certificate(&self, file: &Path, beside: &Path) -> Result<(), DriverError> {
        let mut config = beside.as_os_str().to_owned();
        config.push(".conf");
        let config = Path::new(&config);
        let pem = beside.display().to_string();
        let (pem, folder) = (text::path("the path of a certificate", &pem)?, self.paths.folder.display());
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("    {name}_temp_path {folder}/{};\n", name.trim_start_matches("client_")))
            .concat();
        let words = format!(
            "pid {folder}/check.pid;\nerror_log stderr warn;\nevents {{}}\nhttp {{\n    access_log off;\n{temporary}    server \
             {{\n        listen {} ssl;\n        ssl_certificate {pem};\n        ssl_certificate_key {pem};\n    }}\n}}\n",
            self.paths.own
        );
        files::replace(config, &words).await?;
        let refused = complaint(&self.paths.program, config).await;
        let _gone_is_fine = tokio::fs::remove_file(config).await;
        match refused? {
            None => Ok(()),
            Some(answer) => {
                Err(DriverError::Certificate { by: NAME, file: file.display().to_string(), answer })
            }
        }
    }
}
