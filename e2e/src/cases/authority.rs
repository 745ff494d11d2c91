//! Certificates for cases on TLS.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;

use super::scene::Scene;
use crate::process::run_with_input;

/// Name in the certificates.
pub const HOST: &str = "shop.example";

/// A certificate authority in a folder of its own.
pub struct Authority {
    folder: PathBuf,
}

impl Authority {
    /// A new one.
    pub fn new(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let authority = Self { folder: folder.to_owned() };
        // No section for extensions, or each certificate would be one of an authority.
        fs::write(authority.file("openssl.cnf"), "[req]\ndistinguished_name=subject\n[subject]\n")?;
        authority.sign("ca", "/CN=plimsoll-e2e", &["basicConstraints=critical,CA:TRUE"], &[])?;
        Ok(authority)
    }

    /// Issues a certificate and puts it into the Secret `shop-tls`. Returns it.
    pub fn issue(&self, scene: &Scene<'_>, number: usize) -> Result<String> {
        let (ca, key) = (self.text("ca.crt"), self.text("ca.key"));
        let subject = format!("/CN={HOST}/serialNumber={number}");
        let name = format!("subjectAltName=DNS:{HOST}");
        self.sign("shop", &subject, &[&name], &["-CA", &ca, "-CAkey", &key])?;
        let (certificate, key) = (self.text("shop.crt"), self.text("shop.key"));
        let secret = scene.kubectl(&[
            "create",
            "secret",
            "tls",
            "shop-tls",
            &format!("--cert={certificate}"),
            &format!("--key={key}"),
            "--dry-run=client",
            "--output=yaml",
        ])?;
        scene.apply(&secret)?;
        Ok(fs::read_to_string(certificate)?)
    }

    /// Makes a Secret from which this authority is trusted.
    pub fn trust(&self, scene: &Scene<'_>, secret: &str) -> Result<()> {
        let file = format!("--from-file=ca.crt={}", self.text("ca.crt"));
        let arguments = ["create", "secret", "generic", secret, &file, "--dry-run=client", "--output=yaml"];
        scene.apply(&scene.kubectl(&arguments)?)
    }

    fn sign(&self, name: &str, subject: &str, extensions: &[&str], signer: &[&str]) -> Result<()> {
        let (certificate, key) = (self.text(&format!("{name}.crt")), self.text(&format!("{name}.key")));
        let config = self.text("openssl.cnf");
        let mut arguments = vec!["req", "-x509", "-config", &config, "-newkey", "ec"];
        arguments.extend(["-pkeyopt", "ec_paramgen_curve:P-256"]);
        arguments.extend(["-nodes", "-days", "2", "-subj", subject, "-out", &certificate, "-keyout", &key]);
        arguments.extend(signer);
        arguments.extend(extensions.iter().flat_map(|extension| ["-addext", extension]));
        run_with_input("openssl", &arguments, "").map(drop)
    }

    /// One of its files; its own certificate is `ca.crt`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn text(&self, name: &str) -> String {
        self.file(name).display().to_string()
    }
}
