//! Certificates: checked together with their keys, written to their files, and served after the next reload.

use std::path::Path;

use super::{NAME, Nginx, program::complaint};
use crate::balancer::{CertificateChange, ConfigError, DriverError, certificate::Offer, files, text};

impl Nginx {
    /// Writes the certificate and key of a Secret of type `kubernetes.io/tls` to `file`, for the next [`Self::sync`].
    ///
    /// # Errors
    /// They are not PEM, or NGINX refuses them (for example because the key does not match): then nothing changes.
    pub async fn set_certificate(
        &self,
        file: &Path,
        certificate: &str,
        key: &str,
    ) -> Result<CertificateChange, DriverError> {
        let Some(offer) = Offer::of(file, certificate, key).await? else {
            return Ok(CertificateChange::None);
        };
        let config = self.with_pair_alone(&offer.place())?;
        offer.check(NAME, &config, complaint(&self.paths.program, &offer.config())).await?;
        files::put_in_place(file).await?;
        Ok(CertificateChange::Written)
    }

    /// A configuration with only the pair `pem`, for NGINX's own check.
    fn with_pair_alone(&self, pem: &str) -> Result<String, ConfigError> {
        let (pem, folder) = (text::path("the path of a certificate", pem)?, self.paths.folder.display());
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("    {name}_temp_path {folder}/{};\n", name.trim_start_matches("client_")))
            .concat();
        Ok(format!(
            "pid {folder}/check.pid;\nerror_log stderr warn;\nevents {{}}\nhttp {{\n    access_log off;\n{temporary}    server \
             {{\n        listen {} ssl;\n        ssl_certificate {pem};\n        ssl_certificate_key {pem};\n    }}\n}}\n",
            self.paths.own
        ))
    }
}
