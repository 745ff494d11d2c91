//! Certificates that sign themselves, made by `openssl`.

use std::{fs, path::Path, process::Command};

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
