//! The kubectl plugin: `kubectl plimsoll …`.

use std::process::ExitCode;

fn main() -> ExitCode {
    // The only error is an already installed provider, which serves as well.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    plimsoll::cli::plugin::run()
}
