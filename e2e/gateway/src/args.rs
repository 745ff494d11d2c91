//! The command line.

use std::{net::IpAddr, path::PathBuf};

use clap::Parser;

#[derive(Parser)]
#[command(version, about)]
pub struct Args {
    /// Address that Gateways get.
    #[arg(long)]
    pub address: IpAddr,
    /// `gatewayClassName` of those that it serves.
    #[arg(long, default_value = "stand-in")]
    pub class: String,
    /// Folder for HAProxy's configuration.
    #[arg(long)]
    pub folder: PathBuf,
    /// Endpoints at 192.0.2.N are at 127.0.0.N: an API server takes no loopback addresses for endpoints.
    #[arg(long)]
    pub loopback: bool,
}
