//! What a person may have meant and did not write. For `check`; a running proxy has no opinion.

use jiff::Timestamp;

use super::problem::{Problem, Severity};
use super::{Loaded, MAX_PROBLEMS};
use crate::host::Host;
use crate::policy::{Ask, Policy};
use crate::rule::{Hosts, Kind, Layer, Rule, is_registered};
use crate::target::Target;

impl Loaded {
    /// Lines that load and do what they say, but perhaps not what was meant: `*.x` where no line
    /// is for `x`. In half of the programs that read such lists `*.x` includes `x`; here it does
    /// not. Only for the name that its owner registered, because deeper names are often below one
    /// that serves nothing, and not for presets, whose authors looked. At most a hundred.
    pub fn advice(&self) -> Vec<Problem> {
        let rules = self.policy.rules();
        let written = rules.filter(|rule| rule.layer() != Layer::Preset && !rule.is_deny());
        written
            .filter_map(|rule| apex(&self.policy, rule))
            .take(MAX_PROBLEMS)
            .collect()
    }
}

fn apex(policy: &Policy, rule: &Rule) -> Option<Problem> {
    let Hosts::Names(pattern) = &rule.permission.hosts else {
        return None;
    };
    let tail = pattern.tail();
    if pattern.kind() != Kind::Below || pattern.is_shared() || !is_registered(tail) {
        return None;
    }
    let target = Target::new(Host::parse(tail).ok()?, const { std::num::NonZeroU16::MIN });
    let mut named = false;
    // Any line for the name, whatever it says, shows that somebody thought of it.
    policy.consider(&target, Ask::Tunnel, Timestamp::MIN, |_, _, _| named = true);
    (!named).then(|| Problem {
        file: rule.file().to_owned(),
        line: rule.line(),
        word: Some(format!("*.{tail}")),
        what: format!("is not for {tail} itself, and no other line is"),
        fix: Some(rule.text().replacen("*.", "**.", 1)),
        severity: Severity::Warning,
    })
}
