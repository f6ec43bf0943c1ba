//! agentnet's whitelist language and decisions: text in, verdicts out.
//!
//! No runtime, no socket, no clock: the compiler checks that by what this crate depends on.
//! A request is decided in this order, and nothing is resolved before step 3 is done:
//!
//! 1. [`Host::parse`] and [`Target::parse`] make the one canonical target, or refuse.
//! 2. [`Policy::judge`] looks for a `deny` line; one is enough.
//! 3. [`Policy::judge`] looks for lines that allow host, port, method and path; their words add up
//!    to a [`Grant`].
//! 4. [`Policy::admit`] classifies every address that the name resolved to. One bad answer spoils
//!    the set. What it returns is what may be dialled.
//!
//! The language is described in `docs/policy.md`.
#![warn(missing_docs)]

mod address;
mod bytes;
mod clients;
pub mod event;
mod host;
pub mod learn;
mod outlet;
mod policy;
mod reason;
mod rule;
mod secret;
mod target;
pub mod tinyproxy;
mod toml_words;
mod whitelist;

pub use self::address::{AddressClass, classify};
pub use self::bytes::parse_bytes;
pub use self::clients::{Access, Client, ClientError, ClientList, ClientRule};
pub use self::event::Event;
pub use self::host::{Host, HostError, Name};
pub use self::outlet::Outlet;
pub use self::policy::{
    Admitted, Ask, Considered, Denial, Explanation, Grant, Mode, NameVerdict, Outcome, Policy,
    RawName, Request, Surroundings, UnknownMode, Verdict,
};
pub use self::reason::{Reason, UnknownReason};
pub use self::rule::{Layer, Rule, RuleId};
pub use self::secret::Secret;
pub use self::target::{Target, TargetError};
pub use self::toml_words::toml_words;
pub use self::whitelist::{
    BuiltinPresets, LoadOptions, Loaded, PresetFiles, Presets, Problem, Problems, Severity, Source,
    TargetPattern, describe as describe_preset, load,
};
