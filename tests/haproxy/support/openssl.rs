//! Certificates that sign themselves, made by `openssl`.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
};

/// The usual kind of key.
pub const P256: [&str; 4] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];

/// A certificate and its key in PEM, for a subject such as `/CN=shop`; also as `NAME.crt` and `NAME.key` in the folder.
pub fn self_signed(folder: &Path, name: &str, subject: &str, more: &[&str]) -> (String, String) {
    let (crt, key) = (folder.join(format!("{name}.crt")), folder.join(format!("{name}.key")));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-nodes", "-days", "2", "-subj", subject])
        .args(more)
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&crt)
        .output()
        .expect("this test needs the program `openssl`");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    (fs::read_to_string(crt).unwrap(), fs::read_to_string(key).unwrap())
}

/// Suites of TLS 1.2 for a certificate with an RSA key, and whether they have forward secrecy and authenticated encryption.
pub const TLS12: [(&str, bool); 4] = [
    ("ECDHE-RSA-AES128-GCM-SHA256", true),
    ("ECDHE-RSA-CHACHA20-POLY1305", true),
    ("AES128-GCM-SHA256", false),
    ("ECDHE-RSA-AES128-SHA", false),
];

/// Whether TLS 1.2 with that suite comes about.
pub fn takes_tls12(front: SocketAddr, suite: &str) -> bool {
    let said = Command::new("openssl")
        .args(["s_client", "-brief", "-tls1_2", "-cipher", &format!("{suite}:@SECLEVEL=0"), "-connect"])
        .arg(front.to_string())
        .stdin(Stdio::null())
        .output()
        .expect("this test needs the program `openssl`");
    said.status.success()
}
