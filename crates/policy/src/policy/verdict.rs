//! What a decision is made of. The fields that matter are private to `policy`, so a grant or an
//! admitted address that nobody decided on does not type-check.

use std::net::SocketAddr;

use jiff::Timestamp;

use crate::policy::Policy;
use crate::reason::Reason;
use crate::rule::{Rule, RuleId};
use crate::target::Target;

/// The answer to a request.
#[must_use = "a verdict that nobody looks at decides nothing"]
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// A line of the whitelist allows it.
    Allow(Grant),
    /// Mode `observe`: it goes ahead, as far as addresses are public, and this is what `enforce`
    /// would have answered.
    Report(Grant, Denial),
    /// It is refused.
    Deny(Denial),
}

impl Verdict {
    /// The reason word: [`Reason::Allowed`], or that of the denial, reported or not.
    pub fn reason(&self) -> Reason {
        match self {
            Verdict::Allow(_) => Reason::Allowed,
            Verdict::Report(_, denial) | Verdict::Deny(denial) => denial.reason(),
        }
    }

    /// The line that decided, if one did.
    pub fn rule(&self) -> Option<RuleId> {
        match self {
            Verdict::Allow(grant) => grant.rule(),
            Verdict::Report(_, denial) | Verdict::Deny(denial) => denial.rule(),
        }
    }
}

/// Leave to resolve and dial one target. Only [`Policy::judge`] makes one.
///
/// The lines that allow a request add up: the grant has every word that one of them says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grant {
    pub(super) target: Target,
    pub(super) rule: Option<RuleId>,
    pub(super) opens: Opens,
    pub(super) budget: Option<u64>,
    pub(super) expires: Option<Timestamp>,
}

/// What the words of the matching lines open beyond "TLS to a public address".
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Opens {
    pub(super) raw: bool,
    pub(super) private: bool,
    /// A `host` line names exactly this address and port.
    pub(super) machine: bool,
}

impl Grant {
    /// What may be dialled.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The line that decided: of those that match, the one with the largest budget, then the
    /// latest end, then the first. `None` only in mode `observe`, where no line allowed it.
    pub fn rule(&self) -> Option<RuleId> {
        self.rule
    }

    /// Whether the bytes in a tunnel need not be TLS.
    pub fn raw(&self) -> bool {
        self.opens.raw
    }

    /// How many bytes the task may send to what [`rule`](Self::rule) names, in total. `None` is
    /// no limit.
    pub fn budget(&self) -> Option<u64> {
        self.budget
    }

    /// When something that this grant says ends (the line itself, or its `raw` or `private`).
    /// A tunnel that is still open then is judged again, or closed.
    pub fn expires(&self) -> Option<Timestamp> {
        self.expires
    }
}

/// A refusal. [`Policy::judge`] and [`Policy::admit`] make them, and so may anybody who refuses
/// for a reason of their own ([`Denial::new`]): refusing needs no permission.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Denial {
    target: Target,
    reason: Reason,
    rule: Option<RuleId>,
    quiet: bool,
}

impl Denial {
    /// A refusal that no line of the whitelist decided.
    pub fn new(target: Target, reason: Reason) -> Self {
        Self {
            target,
            reason,
            rule: None,
            quiet: false,
        }
    }

    pub(super) fn by_rule(
        target: Target,
        reason: Reason,
        rule: Option<RuleId>,
        quiet: bool,
    ) -> Self {
        Self {
            target,
            reason,
            rule,
            quiet,
        }
    }

    /// What was refused.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Why.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The line that refused it, or that came nearest to allowing it.
    pub fn rule(&self) -> Option<RuleId> {
        self.rule
    }

    /// Whether to raise no alert (`quiet deny`). It is counted all the same.
    pub fn quiet(&self) -> bool {
        self.quiet
    }

    /// One sentence that a model or a person can act on. `policy` is the one that decided; its
    /// line is quoted with the reason its author gave.
    pub fn sentence(&self, policy: &Policy) -> String {
        let rule = self.rule.and_then(|id| policy.rule(id));
        let line = rule.map(quote).unwrap_or_default();
        format!(
            "{} was refused ({}): {}{line}. {}",
            self.target,
            self.reason,
            self.reason.clause(),
            self.advice()
        )
    }

    fn advice(&self) -> String {
        String::new()
    }
}

fn quote(rule: &Rule) -> String {
    format!(
        " (line {} of {}: {})",
        rule.line(),
        rule.file(),
        rule.text()
    )
}

/// An address that may be dialled for one grant. Only [`Policy::admit`] makes one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Admitted {
    pub(super) address: SocketAddr,
}

impl Admitted {
    /// The address and port to dial, and to compare with the peer's afterwards.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
