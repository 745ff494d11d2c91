//! Reads the certificate that a balancer serves.

use std::{
    net::SocketAddr,
    process::{Command, Stdio},
};

/// Common name of the served certificate, and whether HTTP/2 was negotiated.
pub fn served(front: SocketAddr) -> (String, bool) {
    let client = Command::new("openssl")
        .args(["s_client", "-alpn", "h2", "-connect", &front.to_string()])
        .stdin(Stdio::null())
        .output()
        .expect("this test needs the program `openssl`");
    let text = String::from_utf8_lossy(&client.stdout).into_owned();
    let subject = text.lines().find_map(|line| line.strip_prefix("subject=")).unwrap_or_default();
    (subject.replace("CN = ", "").trim().to_owned(), text.contains("ALPN protocol: h2"))
}
