//! From what was written to settings that fit together.

use std::net::IpAddr;
use std::num::NonZeroU64;
use std::time::Duration;

use agentnet_policy::{Mode, parse_bytes};

use super::{
    Address, AdminAddress, Forwarding, LogFormat, Problem, Process, Raw, Settings, Timeouts,
};

impl Settings {
    /// Checks what was written.
    ///
    /// # Errors
    /// With every problem found.
    pub fn check(raw: Raw) -> Result<Self, Vec<Problem>> {
        let mut check = Check::default();
        let mode = check.mode("mode", raw.mode.as_deref(), Mode::Enforce);
        let default_up = check.bytes("default_up", raw.default_up.as_deref());
        let listeners = check.listeners(&raw, mode, default_up);
        let seconds = |check: &mut Check, name, value: Option<u32>, default| {
            Duration::from_secs(check.bounded(name, value, default, 1, 86_400).into())
        };
        let timeouts = Timeouts {
            head: seconds(
                &mut check,
                "head_timeout_seconds",
                raw.head_timeout_seconds,
                30,
            ),
            resolve: seconds(
                &mut check,
                "resolve_timeout_seconds",
                raw.resolve_timeout_seconds,
                5,
            ),
            connect: seconds(
                &mut check,
                "connect_timeout_seconds",
                raw.connect_timeout_seconds,
                10,
            ),
            upstream: seconds(
                &mut check,
                "upstream_timeout_seconds",
                raw.upstream_timeout_seconds,
                15,
            ),
            // Longer than the 600 s after which the model vendors' own clients give up waiting.
            idle: seconds(
                &mut check,
                "idle_timeout_seconds",
                raw.idle_timeout_seconds,
                900,
            ),
            half_close: seconds(
                &mut check,
                "half_close_timeout_seconds",
                raw.half_close_timeout_seconds,
                60,
            ),
            // Shorter than the 10 s that an engine waits before it kills.
            drain: seconds(
                &mut check,
                "drain_timeout_seconds",
                raw.drain_timeout_seconds,
                8,
            ),
        };
        let pool_idle = seconds(&mut check, "pool_idle_seconds", raw.pool_idle_seconds, 30);
        let rescan = seconds(&mut check, "rescan_seconds", raw.rescan_seconds, 2);
        let mut number = |name, value, default, least, most| {
            usize::try_from(check.bounded(name, value, default, least, most)).unwrap_or(usize::MAX)
        };
        let max_connections = number("max_connections", raw.max_connections, 4096, 1, 1_000_000);
        let max_head_bytes = number("max_head_bytes", raw.max_head_bytes, 32_768, 8192, 1 << 20);
        let pool_connections = number("pool_connections", raw.pool_connections, 256, 0, 65_536);
        let blocked_hosts_labels = number(
            "blocked_hosts_labels",
            raw.blocked_hosts_labels,
            200,
            0,
            100_000,
        );
        let worker_threads = raw
            .worker_threads
            .map(|threads| number("worker_threads", Some(threads), 1, 1, 1024));
        let admin = check.admin(raw.admin.as_deref());
        let log = match raw.log.as_deref() {
            None | Some("json") => LogFormat::Json,
            Some("text") => LogFormat::Text,
            Some(other) => check.word("log", other, "json or text", LogFormat::Json),
        };
        let forwarding = match raw.forwarding.as_deref() {
            None | Some("ignore") => Forwarding::Ignore,
            Some("refuse") => Forwarding::Refuse,
            Some(other) => check.word("forwarding", other, "refuse or ignore", Forwarding::Refuse),
        };
        for (name, value, word) in [
            ("private_destinations", &raw.private_destinations, "private"),
            ("raw_tunnels", &raw.raw_tunnels, "raw"),
        ] {
            if value.is_some() {
                let what = format!(
                    "is for a tinyproxy.conf: in a whitelist, write `{word}` on the line that needs it"
                );
                check.problem(name, what);
            }
        }
        let reuse_port = match raw.reuse_port.as_deref() {
            None | Some("no") => false,
            Some("yes") => true,
            Some(other) => check.word("reuse_port", other, "yes or no", false),
        };
        let ech = match raw.ech.as_deref() {
            None | Some("allow") => true,
            Some("refuse") => false,
            Some(other) => check.word("ech", other, "allow or refuse", false),
        };
        let host_addresses = check.host_addresses(&raw.host_address);
        if !check.problems.is_empty() {
            return Err(check.problems);
        }
        Ok(Self {
            listeners,
            state: raw.state,
            reuse_port,
            admin,
            log,
            process: Process::default(),
            forwarding,
            host_addresses,
            max_connections,
            max_head_bytes,
            ech,
            timeouts,
            pool_connections,
            pool_idle,
            rescan,
            blocked_hosts_labels,
            worker_threads,
        })
    }
}

#[derive(Default)]
pub(super) struct Check {
    pub(super) problems: Vec<Problem>,
}

impl Check {
    pub(super) fn problem(&mut self, place: &str, what: impl Into<String>) {
        self.problems.push(Problem::new(place, what));
    }

    fn word<T>(&mut self, place: &str, found: &str, expected: &str, fallback: T) -> T {
        self.problem(
            place,
            format!("`{found}` is not a value for it: write {expected}"),
        );
        fallback
    }

    pub(super) fn mode(&mut self, place: &str, word: Option<&str>, default: Mode) -> Mode {
        match word {
            None => default,
            Some("enforce") => Mode::Enforce,
            Some("observe") => Mode::Observe,
            Some(other) => self.word(place, other, "enforce or observe", Mode::Enforce),
        }
    }

    pub(super) fn bytes(&mut self, place: &str, text: Option<&str>) -> Option<NonZeroU64> {
        let text = text?;
        let bytes = parse_bytes(text);
        if bytes.is_none() {
            let what = "is not a number of bytes from 1 with a unit: write 20MB (B, KB, MB, GB, KiB, MiB, GiB)";
            self.problem(place, format!("`{text}` {what}"));
        }
        bytes
    }

    fn bounded(
        &mut self,
        name: &str,
        value: Option<u32>,
        default: u32,
        least: u32,
        most: u32,
    ) -> u32 {
        match value {
            None => default,
            Some(value) if (least..=most).contains(&value) => value,
            Some(value) => {
                self.problem(
                    name,
                    format!("{value} is out of range: write {least} to {most}"),
                );
                default
            }
        }
    }

    fn admin(&mut self, text: Option<&str>) -> AdminAddress {
        let text = text.unwrap_or("127.0.0.1:9100");
        match text.parse() {
            Ok(AdminAddress::At(Address::Tcp(address))) if !address.ip().is_loopback() => {
                // An unspecified address would be the agent's side as well.
                if address.ip().is_unspecified() {
                    let fix = format!("write egress:{0} or 127.0.0.1:{0}", address.port());
                    self.problem(
                        "admin",
                        format!("`{text}` would serve the agent as well: {fix}"),
                    );
                }
                AdminAddress::At(Address::Tcp(address))
            }
            Ok(admin) => admin,
            Err(error) => {
                self.problem("admin", error.to_string());
                AdminAddress::Off
            }
        }
    }

    fn host_addresses(&mut self, texts: &[String]) -> Vec<IpAddr> {
        let mut addresses = Vec::new();
        for text in texts {
            match text.parse() {
                Ok(address) => addresses.push(address),
                Err(_) => self.problem("host_address", format!("`{text}` is not an IP address")),
            }
        }
        addresses
    }
}
