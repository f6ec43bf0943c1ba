//! Lines that can never decide anything because another line says it already, or refuses it all.

use super::problem::{Problem, Severity};
use crate::policy::Policy;
use crate::rule::{Effect, Hosts, HttpOnly, Layer, Permission, Rule, RuleId};

/// How many lines of one place are compared with a line. Bounds the load of a file that says the
/// same host over and over.
const MOST_COMPARED: usize = 32;

/// A warning for each superfluous line that a person wrote.
pub(super) fn warnings(policy: &Policy, most: usize) -> Vec<Problem> {
    let written = policy
        .rules()
        .enumerate()
        .filter(|(_, rule)| rule.layer() != Layer::Preset);
    written
        .filter_map(|(at, rule)| superfluous(policy, at, rule))
        .take(most)
        .collect()
}

fn superfluous(policy: &Policy, at: usize, rule: &Rule) -> Option<Problem> {
    let mut shadow: Option<(RuleId, &Rule)> = None;
    policy.index().candidates(rule, MOST_COMPARED, |id| {
        if id.index() == at || shadow.is_some_and(|(found, _)| found < id) {
            return;
        }
        let Some(other) = policy.rule(id) else { return };
        if covers(&other.permission, &rule.permission) && comes_first(id, other, at, rule) {
            shadow = Some((id, other));
        }
    });
    let (_, shadow) = shadow?;
    let place = format!("{}:{}: {}", shadow.file(), shadow.line(), shadow.text());
    let what = match (rule.is_deny(), shadow.is_deny()) {
        (false, true) => format!("can never allow anything: refused by {place}"),
        _ => format!("says nothing new: covered by {place}"),
    };
    Some(Problem {
        file: rule.file().to_owned(),
        line: rule.line(),
        word: Some(rule.text().to_owned()),
        what,
        fix: None,
        severity: Severity::Warning,
    })
}

/// Of two lines that say the same the later one is superfluous, and a task's line never makes the
/// project's so: it goes away again.
fn comes_first(id: RuleId, other: &Rule, at: usize, rule: &Rule) -> bool {
    other.layer() <= rule.layer()
        && (id.index() < at || !covers(&rule.permission, &other.permission))
}

/// Whether `one` decides everything that `other` could, at least as openly.
fn covers(one: &Permission, other: &Permission) -> bool {
    let hosts = match (&one.hosts, &other.hosts) {
        (Hosts::Names(one), Hosts::Names(other)) => one.covers(other),
        (Hosts::Network(one), Hosts::Network(other)) => one.contains(other),
        (Hosts::Names(_) | Hosts::Filtered, _) | (Hosts::Network(_), _) => false,
    };
    let lasts = match (one.until, other.until) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(one), Some(other)) => one >= other,
    };
    hosts
        && lasts
        && one.ports.covers(&other.ports)
        && covers_http(one.http.as_deref(), other.http.as_deref())
        && covers_effect(one.effect, other.effect)
}

fn covers_http(one: Option<&HttpOnly>, other: Option<&HttpOnly>) -> bool {
    let Some(one) = one else { return true };
    let Some(other) = other else { return false };
    let methods = match (one.methods, other.methods) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(one), Some(other)) => one.covers(other),
    };
    let path = match (&one.path, &other.path) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(one), Some(other)) => one.covers(other),
    };
    methods && path
}

fn covers_effect(one: Effect, other: Effect) -> bool {
    match (one, other) {
        (Effect::Deny { .. }, Effect::Allow { .. }) => true,
        (Effect::Deny { quiet: one }, Effect::Deny { quiet: other }) => one == other,
        (Effect::Allow { .. }, Effect::Deny { .. }) => false,
        (
            Effect::Allow {
                raw,
                private,
                host,
                up,
            },
            Effect::Allow {
                raw: other_raw,
                private: other_private,
                host: other_host,
                up: other_up,
            },
        ) => {
            let budget = match (up, other_up) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(one), Some(other)) => one >= other,
            };
            raw >= other_raw && private >= other_private && host >= other_host && budget
        }
    }
}
