//! The effective policy of one listener, and the decisions it makes.

mod explain;
mod verdict;

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::explain::{Considered, Explanation, Outcome};
pub use self::verdict::{Admitted, Denial, Grant, Verdict};
use crate::reason::Reason;
use crate::rule::{Rule, RuleId};
use crate::target::Target;

/// Whether refusals are made or only recorded.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Refuse what no line allows.
    #[default]
    Enforce,
    /// Allow what is public, and report what `enforce` would have refused.
    Observe,
}

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "enforce" => Ok(Mode::Enforce),
            "observe" => Ok(Mode::Observe),
            _ => Err(UnknownMode),
        }
    }
}

/// The text is not a mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the mode is `enforce` or `observe`")]
pub struct UnknownMode;

/// What the proxy can see of a request before it decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ask<'a> {
    /// CONNECT: a tunnel whose contents are not seen.
    Tunnel,
    /// A plain HTTP request.
    Http {
        /// The method as it was sent. Methods are case-sensitive (RFC 9110 §9.1).
        method: &'a str,
        /// The path in origin form. A query may follow; it is not judged.
        path: &'a str,
    },
}

/// A request to judge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request<'a> {
    /// Where to.
    pub target: Target,
    /// What for.
    pub ask: Ask<'a>,
}

/// The addresses around the proxy that a name must never lead to. Read again when interfaces
/// change; [`Policy::admit`] takes them as they are now.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Surroundings {
    /// The addresses of the proxy's own interfaces.
    pub own: Vec<IpAddr>,
    /// The sockets the proxy listens on: proxy, admin, everything. An unspecified address stands
    /// for every address of `own` and for loopback.
    pub listening: Vec<SocketAddr>,
    /// The addresses of the machine around the container (the gateway, say). Only a `host` line
    /// opens them.
    pub machine: Vec<IpAddr>,
}

/// All lines that are in force, compiled. Immutable: a reload makes a new one.
#[derive(Debug)]
pub struct Policy {
    mode: Mode,
    rules: Vec<Rule>,
    fingerprint: u64,
}

impl Policy {
    pub(crate) fn new(rules: Vec<Rule>, mode: Mode) -> Self {
        Self {
            mode,
            rules,
            fingerprint: 0,
        }
    }

    /// Decides whether the target may be resolved and dialled at all. Takes the time because this
    /// crate has no clock. Allocates nothing and takes no lock.
    pub fn judge(&self, request: Request<'_>, _now: Timestamp) -> Verdict {
        Verdict::Deny(Denial::new(request.target, Reason::NotListed))
    }

    /// Decides whether the answers of the resolver may be dialled under a grant. One bad answer
    /// spoils the set. For an address literal, pass that address.
    ///
    /// # Errors
    /// The refusal, [`Reason::ResolveFailed`] when there are no answers.
    pub fn admit(
        &self,
        grant: &Grant,
        answers: &[IpAddr],
        _around: &Surroundings,
    ) -> Result<Vec<Admitted>, Denial> {
        let _ = answers;
        Err(Denial::new(grant.target().clone(), Reason::PrivateAddress))
    }

    /// All lines in force, presets included, in load order: layer by layer, file by file.
    pub fn rules(&self) -> impl ExactSizeIterator<Item = &Rule> {
        self.rules.iter()
    }

    /// The line with this number, `None` if the number came from another policy.
    pub fn rule(&self, id: RuleId) -> Option<&Rule> {
        self.rules.get(id.index())
    }

    /// The mode it was loaded with.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// A hash of the effective lines and the mode. Equal text gives equal numbers, in every
    /// process and build of this version.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
}
