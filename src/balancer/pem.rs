//! Certificates and their keys as PEM.

use std::fmt;

/// PEM blocks without other text. Blank lines are removed, since they would end the payload of a command.
#[derive(Clone, PartialEq, Eq)]
pub struct Pem(String);

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pem({} bytes)", self.0.len()) // it contains a private key
    }
}

/// Text that is not PEM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "line {line} of the certificate and key is not PEM: base64 text between BEGIN and END lines is needed"
)]
pub struct NoPem {
    /// Line number, counted from 1.
    pub line: usize,
}

impl Pem {
    /// Certificate and key of a Secret of type `kubernetes.io/tls` as one file.
    ///
    /// Text between the blocks (comments, blank lines) is left out.
    ///
    /// # Errors
    /// A block is not closed or has a line that is not base64, or there is no block.
    pub fn of(certificate: &str, key: &str) -> Result<Self, NoPem> {
        let mut text = String::new();
        let mut inside = false;
        let mut last = 0;
        for (number, line) in certificate.lines().chain(key.lines()).enumerate() {
            let line = line.trim();
            last = number + 1;
            let begins = line.starts_with("-----BEGIN ");
            let ends = line.starts_with("-----END ");
            if (begins && inside) || (ends && !inside) {
                return Err(NoPem { line: last });
            }
            inside = begins || inside;
            // Base64 and the frame of a block. A header (`Proc-Type: 4,ENCRYPTED`) is refused: there is no passphrase.
            let fits = |char: char| {
                char.is_ascii_alphanumeric()
                    || "+/=".contains(char)
                    || ((begins || ends) && "- ".contains(char))
            };
            if inside && !line.is_empty() {
                if !line.chars().all(fits) {
                    return Err(NoPem { line: last });
                }
                text.push_str(line);
                text.push('\n');
            }
            inside = inside && !ends;
        }
        if inside || text.is_empty() {
            return Err(NoPem { line: last });
        }
        Ok(Self(text))
    }

    /// The text; each line ends with a newline.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
