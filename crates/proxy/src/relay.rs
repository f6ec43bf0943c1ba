//! `relay`: joins a fence without a network to the proxy's unix sockets.
//!
//! Two processes. The parent binds the doors, keeps them, and never exits by itself: the network
//! namespace that the agent shares lives as long as it does. The worker, which touches bytes, may
//! die; the parent starts another and hands it the same doors, in whose backlog connections have
//! waited meanwhile. The doors travel over a socket that is the worker's stdin, because that is the
//! one inherited descriptor that can be taken up without `unsafe`; its end also tells the worker
//! that the parent is gone.
//!
//! It decides nothing: what comes in at a door goes to that door's socket, where the proxy is.

mod door;
mod doors;
mod parent;
mod questions;
mod raw;
mod worker;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use self::door::{Carries, Doorway, Kind};
use crate::settings::Address;

/// Carry connections to a proxy's unix sockets.
#[derive(Args, Debug)]
pub struct Relay {
    /// Where clients come in, and which socket they are carried to if it is not that of --to; repeats
    #[arg(
        long,
        value_name = "IP:PORT[=unix:PATH]",
        required = true,
        value_delimiter = ','
    )]
    listen: Vec<Listen>,
    /// The proxy's socket for doors that name none; it may appear later
    #[arg(long, value_name = "unix:PATH", value_parser = socket)]
    to: Option<PathBuf>,
    /// Where questions to the DNS come in, over UDP and TCP, and the socket where they are answered
    #[arg(long, value_name = "IP:PORT=unix:PATH", value_delimiter = ',')]
    dns: Vec<Listen>,
    /// The socket where the proxy says which addresses names with `raw` have, and takes what comes there
    #[arg(long, value_name = "unix:PATH", value_parser = socket)]
    raw_doors: Option<PathBuf>,
    /// A port of the task's own: no name has a door there; repeats
    #[arg(
        long,
        value_name = "PORT",
        value_delimiter = ',',
        requires = "raw_doors"
    )]
    keep_free: Vec<u16>,
}

/// An address, and a socket if one is named.
#[derive(Clone, Debug)]
struct Listen {
    at: Address,
    to: Option<PathBuf>,
}

impl std::str::FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let address = |at: &str| at.parse::<Address>().map_err(|error| error.to_string());
        match text.split_once("=unix:") {
            Some((at, path)) => Ok(Self {
                at: address(at)?,
                to: Some(socket(&format!("unix:{path}"))?),
            }),
            None => Ok(Self {
                at: address(text)?,
                to: None,
            }),
        }
    }
}

/// The worker of a relay; started by the parent only.
#[derive(Args, Debug)]
pub struct Worker {
    /// What comes in at each of the doors, in the order in which they are handed over
    #[arg(long)]
    carries: Vec<Carries>,
    /// The proxy's socket for the doors of names
    #[arg(long)]
    raw_doors: Option<PathBuf>,
    /// Ports without such doors
    #[arg(long)]
    keep_free: Vec<u16>,
}

impl Relay {
    /// Runs the parent until it is told to end.
    #[must_use]
    pub fn run(self) -> u8 {
        let mut names = Vec::new();
        if let Some(to) = &self.raw_doors {
            names.push(OsString::from("--raw-doors"));
            names.push(to.into());
        }
        for port in &self.keep_free {
            names.extend(["--keep-free".to_owned(), port.to_string()].map(OsString::from));
        }
        match self.doorways() {
            Ok(doorways) => parent::run(&doorways, &names),
            Err(what) => {
                crate::diagnostic::error(what);
                crate::cli::USAGE
            }
        }
    }

    fn doorways(self) -> Result<Vec<Doorway>, String> {
        let mut doorways = Vec::new();
        let listen = self
            .listen
            .into_iter()
            .map(|door| (door, Kind::Connections));
        let dns = self.dns.into_iter().map(|door| (door, Kind::Questions));
        for (Listen { at, to }, kind) in listen.chain(dns) {
            let Some(to) = to.or_else(|| {
                let to = self.to.clone();
                to.filter(|_| kind == Kind::Connections)
            }) else {
                return Err(format!(
                    "{at} leads nowhere: name the socket it is for, {at}=unix:PATH{}",
                    match kind {
                        Kind::Connections => ", or one for all doors with --to unix:PATH",
                        Kind::Questions => "",
                    }
                ));
            };
            if kind == Kind::Questions && matches!(at, Address::Unix(_)) {
                return Err(format!("--dns {at}: questions come in at IP:PORT"));
            }
            doorways.push(Doorway { at, kind, to });
        }
        Ok(doorways)
    }
}

impl Worker {
    /// Runs the worker until the parent is gone.
    #[must_use]
    pub fn run(self) -> u8 {
        worker::run(self.carries, self.raw_doors, self.keep_free)
    }
}

fn socket(text: &str) -> Result<PathBuf, String> {
    match text.parse() {
        Ok(Address::Unix(path)) => Ok(path),
        Ok(Address::Tcp(_)) | Err(_) => Err(format!("`{text}` is not unix:PATH")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doorways(listen: &[&str], to: Option<&str>, dns: &[&str]) -> Result<String, String> {
        let read = |texts: &[&str]| {
            let texts = texts.iter().map(|text| text.parse());
            texts.collect::<Result<Vec<Listen>, String>>()
        };
        let relay = Relay {
            listen: read(listen)?,
            to: to.map(PathBuf::from),
            dns: read(dns)?,
            raw_doors: None,
            keep_free: Vec::new(),
        };
        let doorways = relay.doorways()?;
        let text = |door: &Doorway| format!("{:?} {} {}", door.kind, door.at, door.to.display());
        Ok(doorways.iter().map(text).collect::<Vec<_>>().join("; "))
    }

    #[test]
    fn a_door_leads_to_its_own_socket_or_to_that_of_all() {
        let all = ["127.128.0.1:8888", "127.128.0.1:443=unix:/run/a=b/tls.sock"];
        let dns = ["127.128.0.1:53=unix:/run/dns.sock"];
        assert_eq!(
            doorways(&all, Some("/run/proxy.sock"), &dns).unwrap(),
            "Connections 127.128.0.1:8888 /run/proxy.sock; \
             Connections 127.128.0.1:443 /run/a=b/tls.sock; \
             Questions 127.128.0.1:53 /run/dns.sock"
        );
    }

    #[test]
    fn a_door_that_leads_nowhere_is_refused() {
        let to = Some("/run/proxy.sock");
        for (listen, to, dns, said) in [
            (
                "127.128.0.1:1",
                None,
                "127.0.0.1:53=unix:/x",
                "leads nowhere",
            ),
            (
                "127.128.0.1:1",
                to,
                "127.0.0.1:53",
                "127.0.0.1:53=unix:PATH",
            ),
            ("127.128.0.1:1", to, "unix:/y=unix:/x", "at IP:PORT"),
            (
                "127.128.0.1:1=unix:",
                to,
                "127.0.0.1:53=unix:/x",
                "is not unix:PATH",
            ),
            ("x:1=unix:/x", to, "127.0.0.1:53=unix:/x", "not an address"),
        ] {
            let error = doorways(&[listen], to, &[dns]).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
