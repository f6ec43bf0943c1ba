//! The effective policy of one listener, and the decisions it makes.

mod admit;
mod explain;
mod filtered;
mod index;
mod judge;
mod permitted;
mod raw_names;
mod verdict;

use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use self::admit::Surroundings;
pub use self::explain::{Considered, Explanation, Outcome};
use self::index::Index;
pub use self::raw_names::RawName;
pub use self::verdict::{Admitted, Denial, Grant, NameVerdict, Verdict};
use crate::rule::{Rule, RuleId};
use crate::target::Target;
use crate::tinyproxy::Filter;

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
        /// The path in origin form, with the query behind it. A whitelist does not judge the query;
        /// a filter over URLs does.
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

/// All lines that are in force, compiled. Immutable: a reload makes a new one.
#[derive(Debug)]
pub struct Policy {
    mode: Mode,
    rules: Vec<Rule>,
    index: Index,
    /// Set for the rule book of a `tinyproxy.conf`; then the index is empty.
    filter: Option<Box<Filter>>,
    fingerprint: u64,
}

impl Policy {
    pub(crate) fn new(rules: Vec<Rule>, mode: Mode) -> Self {
        let index = Index::new(&rules);
        let fingerprint = fingerprint(&rules, mode, std::iter::empty());
        Self {
            mode,
            rules,
            index,
            filter: None,
            fingerprint,
        }
    }

    /// The rule book of a `tinyproxy.conf`. The filter knows its patterns by the place of their
    /// rules.
    pub(crate) fn filtered(rules: Vec<Rule>, filter: Filter, mode: Mode) -> Self {
        let fingerprint = fingerprint(&rules, mode, filter.traits());
        Self {
            mode,
            rules,
            index: Index::default(),
            filter: Some(Box::new(filter)),
            fingerprint,
        }
    }

    pub(crate) fn all(&self) -> &[Rule] {
        &self.rules
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
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

/// FNV-1a, because the standard library promises nothing about its hashes.
fn fingerprint(rules: &[Rule], mode: Mode, traits: impl Iterator<Item = u8>) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut eat = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    eat(mode as u8);
    traits.for_each(&mut eat);
    for rule in rules {
        eat(rule.layer() as u8);
        rule.text().bytes().for_each(&mut eat);
        eat(b'\n');
    }
    hash
}
