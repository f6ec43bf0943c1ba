//! `[network]`: the task's way out.

use std::path::PathBuf;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

/// `[network]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// `none`, `limited` (default) or `full`.
    pub mode: Option<Mode>,
    /// `network` or `socket`; otherwise the engine decides.
    pub fence: Option<Fence>,
    /// Where address blocks come from.
    pub pool: Option<Ipv4Net>,
    /// A directory of presets, below the root of the checkout.
    pub presets: Option<PathBuf>,
    /// Largest packet, where the way out carries less than the engine thinks (a tunnel).
    pub mtu: Option<u16>,
}

/// How much network a task has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// No proxy at all.
    None,
    /// Through the proxy, as the whitelist allows.
    Limited,
    /// An ordinary bridge: nothing is fenced.
    Full,
}

/// How the fence is built (DESIGN §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Fence {
    /// An isolated network of its own. Docker 28 or newer.
    Network,
    /// Loopback only, and a unix socket to the proxy. Any engine.
    Socket,
}

impl std::fmt::Display for Fence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Fence::Network => "network",
            Fence::Socket => "socket",
        })
    }
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Mode::None => "none",
            Mode::Limited => "limited",
            Mode::Full => "full",
        })
    }
}
