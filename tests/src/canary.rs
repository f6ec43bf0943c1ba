//! A service of the engine's host, on every address it has: what no agent may ever reach.

use std::net::IpAddr;
use std::time::Duration;

use crate::engine::{BASE_IMAGE, Engine, Thing};
use crate::name::unique;
use crate::wait::until;

const SCRIPT: &str = include_str!("../scripts/canary.py");

/// A listener in the host's network namespace.
#[derive(Debug)]
pub struct Canary<'e> {
    engine: &'e Engine,
    name: String,
    port: u16,
    _container: Thing<'e>,
}

impl<'e> Canary<'e> {
    /// Starts one on a port that the kernel picks.
    pub fn start(engine: &'e Engine) -> Self {
        let name = unique("canary");
        let words = [
            "--network=host",
            "--init",
            BASE_IMAGE,
            "python3",
            "-c",
            SCRIPT,
        ];
        let container = Thing::container(engine, &name, &words);
        let port = until("the canary's port", Duration::from_secs(30), || {
            let logs = engine.docker(["logs", &name]).stdout;
            logs.lines()
                .find_map(|line| line.strip_prefix("port ")?.parse().ok())
        });
        Self {
            engine,
            name,
            port,
            _container: container,
        }
    }

    /// `ADDRESS,PORT` for every address that the host has now, bridges of all networks included.
    pub fn targets(&self) -> Vec<String> {
        self.addresses()
            .iter()
            .map(|address| format!("{address},{}", self.port))
            .collect()
    }

    /// The host's addresses except loopback, which is each namespace's own.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let text = self.engine.shell(&self.name, "ip -json address").expect();
        let links: serde_json::Value = serde_json::from_str(&text).expect("ip prints JSON");
        let all = links
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|link| link["addr_info"].as_array());
        let addresses: Vec<IpAddr> = all
            .flatten()
            .filter_map(|info| info["local"].as_str()?.parse().ok())
            .filter(|address: &IpAddr| !address.is_loopback())
            .collect();
        assert!(!addresses.is_empty(), "the host has no addresses? {text}");
        addresses
    }

    /// Who reached it, as it saw them.
    pub fn contacts(&self) -> Vec<String> {
        let logs = self.engine.docker(["logs", &self.name]).stdout;
        logs.lines()
            .filter(|line| line.starts_with("contact"))
            .map(str::to_owned)
            .collect()
    }
}
