//! Cipher suites of TLS 1.2, offered by `openssl s_client`: rustls has none without forward secrecy.

use std::{
    net::SocketAddr,
    process::{Command, Stdio},
};

/// TLS 1.2 suites for a certificate with an RSA key, and whether they have forward secrecy and authenticated encryption.
pub const TLS12: [(&str, bool); 4] = [
    ("ECDHE-RSA-AES128-GCM-SHA256", true),
    ("ECDHE-RSA-CHACHA20-POLY1305", true),
    ("AES128-GCM-SHA256", false),
    ("ECDHE-RSA-AES128-SHA", false),
];

/// Whether a TLS 1.2 handshake with this suite succeeds.
pub fn takes_tls12(front: SocketAddr, suite: &str) -> bool {
    let output = Command::new("openssl")
        .args(["s_client", "-brief", "-tls1_2", "-cipher", &format!("{suite}:@SECLEVEL=0"), "-connect"])
        .arg(front.to_string())
        .stdin(Stdio::null())
        .output()
        .expect("this test needs the program `openssl`");
    output.status.success()
}
