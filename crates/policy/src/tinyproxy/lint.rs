//! What is weak, dead or superfluous in a filter file, and the whitelist that says what it means.

mod asked;
mod hostile;
mod linter;
mod meaning;
mod reach;
mod superfluous;

use std::fmt;

use super::conf::Conf;
use super::policy::Options;
use crate::whitelist::{AsTyped, Problem, Problems};

/// What [`lint`] found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lint {
    /// In the order of the file; what is about the whole file comes first.
    pub findings: Vec<Finding>,
    /// What is odd about the file even for Tinyproxy.
    pub warnings: Vec<Problem>,
    /// A whitelist that says what the patterns evidently mean. It loads.
    pub whitelist: String,
}

/// One thing that somebody should look at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The file's name.
    pub file: String,
    /// The line's number, from 1; 0 when the file as a whole is meant.
    pub line: u32,
    /// The pattern as written; empty when the file is meant.
    pub pattern: String,
    /// What it is.
    pub fault: Fault,
}

/// What is wrong with a pattern.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// A name (or with `FilterURLs` a URL) that the pattern lets through and nobody meant. Tried.
    LetsThrough(String),
    /// It can never match; why.
    Dead(String),
    /// It is about HTTPS, and the proxy sees `host:port` of it.
    NeverHttps,
    /// The line with this number says it already.
    Duplicate(u32),
    /// The line with this number matches all that this one does.
    Covered(u32),
    /// The file lists what is refused.
    RestIsOpen,
    /// There is no filter.
    NoFilter,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        f.write_str(": ")?;
        if !self.pattern.is_empty() {
            write!(f, "{} ", AsTyped(&self.pattern))?;
        }
        match &self.fault {
            Fault::LetsThrough(name) => write!(f, "lets {name} through"),
            Fault::Dead(why) => write!(f, "can never match: {why}"),
            Fault::NeverHttps => f.write_str(
                "never matches an HTTPS request: of those the proxy sees host:port and no URL",
            ),
            Fault::Duplicate(line) => write!(f, "says what line {line} says"),
            Fault::Covered(line) => write!(f, "matches nothing that line {line} does not match"),
            Fault::RestIsOpen => f.write_str(
                "the patterns say what is refused, so everything else is open; list what is needed and set FilterDefaultDeny Yes, or use a whitelist",
            ),
            Fault::NoFilter => f.write_str("there is no Filter, so everything is open"),
        }
    }
}

/// Examines a configuration and its filter file (its name and its text).
///
/// # Errors
/// What [`Conf::policy`] cannot read.
pub fn lint(conf: &Conf, filter: Option<(&str, &str)>) -> Result<Lint, Problems> {
    let loaded = conf.policy(filter, Options::default())?;
    let file = filter.map(|(name, _)| name);
    let (findings, whitelist) = linter::examine(conf, file, &loaded.policy);
    Ok(Lint {
        findings,
        warnings: loaded.warnings,
        whitelist,
    })
}
