//! `relay`: joins a fence without a network to the proxy's unix socket.
//!
//! Two processes. The parent binds the doors, keeps them, and never exits by itself: the network
//! namespace that the agent shares lives as long as it does. The worker, which touches bytes, may
//! die; the parent starts another and hands it the same doors, in whose backlog connections have
//! waited meanwhile. The doors travel over a socket that is the worker's stdin, because that is the
//! one inherited descriptor that can be taken up without `unsafe`; its end also tells the worker
//! that the parent is gone.

mod doors;
mod parent;
mod worker;

use std::path::PathBuf;

use clap::Args;

use crate::settings::Address;

/// Carry connections to a proxy's unix socket.
#[derive(Args, Debug)]
pub struct Relay {
    /// Where clients come in; repeats
    #[arg(
        long,
        value_name = "IP:PORT|unix:PATH",
        required = true,
        value_delimiter = ','
    )]
    listen: Vec<Address>,
    /// The proxy's socket; it may appear later
    #[arg(long, value_name = "unix:PATH", value_parser = socket)]
    to: PathBuf,
}

/// The worker of a relay; started by the parent only.
#[derive(Args, Debug)]
pub struct Worker {
    /// The proxy's socket
    #[arg(long, value_parser = socket)]
    to: PathBuf,
}

impl Relay {
    /// Runs the parent until it is told to end.
    #[must_use]
    pub fn run(self) -> u8 {
        parent::run(&self.listen, &self.to)
    }
}

impl Worker {
    /// Runs the worker until the parent is gone.
    #[must_use]
    pub fn run(self) -> u8 {
        worker::run(self.to)
    }
}

fn socket(text: &str) -> Result<PathBuf, String> {
    match text.parse() {
        Ok(Address::Unix(path)) => Ok(path),
        Ok(Address::Tcp(_)) | Err(_) => Err(format!("`{text}` is not unix:PATH")),
    }
}
