//! The command line.

use std::{net::IpAddr, path::PathBuf};

use clap::Parser;

#[derive(Parser)]
#[command(version, about)]
pub struct Args {
    /// Address of every Gateway.
    #[arg(long)]
    pub address: IpAddr,
    /// `gatewayClassName` of the Gateways to serve.
    #[arg(long, default_value = "stand-in")]
    pub class: String,
    /// Folder for HAProxy's configuration.
    #[arg(long)]
    pub folder: PathBuf,
    /// Map endpoints at 192.0.2.N to 127.0.0.N: an API server refuses loopback addresses of endpoints.
    #[arg(long)]
    pub loopback: bool,
}
