//! What a decision is made of. The fields that matter are private to `policy`, so a grant or an
//! admitted address that nobody decided on does not type-check.

use std::net::SocketAddr;

use jiff::Timestamp;

use crate::event::RuleLine;
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

/// The answer to a question for a name, before a port is known ([`Policy::permitted`]).
#[must_use = "a verdict that nobody looks at decides nothing"]
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NameVerdict {
    /// Something may go there.
    Allow,
    /// Mode `observe`: the name exists, and this is what `enforce` would have answered.
    Report(Denial),
    /// The name does not exist.
    Deny(Denial),
}

/// Leave to resolve and dial one target. Only [`Policy::judge`] makes one.
///
/// The lines that allow a request add up: the grant has every word that one of them says.
///
/// Nobody else can make one, nor change one:
/// ```compile_fail
/// # let target = agentnet_policy::Target::parse("a.example:443", None).unwrap();
/// let forged = agentnet_policy::Grant { target, rule: None, budget: None, expires: None };
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grant {
    pub(super) target: Target,
    pub(super) judged: Timestamp,
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
    /// A line says so, and no switch does.
    pub(super) only_here: bool,
    /// No line allows it; mode `observe` lets it pass.
    pub(super) reported: bool,
}

impl Grant {
    /// What may be dialled.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The line that decided: of those that match, the one with the largest budget, then the
    /// latest end, then the first. `None` if no line allowed it: in mode `observe`, and where a
    /// `tinyproxy.conf` allows what no pattern refuses.
    pub fn rule(&self) -> Option<RuleId> {
        self.rule
    }

    /// Whether the bytes in a tunnel need not be TLS.
    pub fn raw(&self) -> bool {
        self.opens.raw
    }

    /// Whether a `host` line names exactly this address and port. The address is one of the machine
    /// that the proxy runs on: at a parent the same number is another machine.
    pub fn only_here(&self) -> bool {
        self.opens.only_here
    }

    /// Whether no line allows it and only mode `observe` lets it pass: then nothing but a public
    /// address is granted, so its addresses must be seen here, whoever dials them.
    pub fn reported(&self) -> bool {
        self.opens.reported
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

    /// One sentence that a model or a person can act on: what was refused, why, and who can
    /// change it. `policy` is the one that decided; its line is quoted with its author's reason.
    pub fn sentence(&self, policy: &Policy) -> String {
        let line = self
            .rule
            .and_then(|id| policy.rule(id))
            .map(quote)
            .unwrap_or_default();
        let (target, reason) = (&self.target, self.reason);
        let clause = reason.clause();
        let advice = match (self.reason, policy.is_filter()) {
            (Reason::NotListed | Reason::PortNotListed, true) => {
                "trying again will not help, go on without it or ask the person who runs this proxy to widen its filter file or its ConnectPort lines".to_owned()
            }
            _ => self.advice(),
        };
        format!("{target} was refused ({reason}) because {clause}{line}; {advice}.")
    }

    /// What to do about it, and who can.
    fn advice(&self) -> String {
        let asks = |line: &str| {
            format!(
                "trying again will not help, go on without it or ask the person who runs this task to add the line `{line}` to the whitelist"
            )
        };
        let target = &self.target;
        let fixed = match self.reason {
            Reason::NotListed | Reason::PortNotListed => return asks(&target.to_string()),
            Reason::NotTls => return asks(&format!("{target} raw")),
            Reason::MethodNotListed | Reason::PathNotListed | Reason::UpgradeNotListed => {
                "trying again will not help, go on without it or ask the person who runs this task to widen the whitelist"
            }
            Reason::PrivateAddress => {
                "trying again will not help, a private address is opened only by the person who runs this task, and a metadata service by nobody"
            }
            Reason::RuleDenied | Reason::ClientNotAllowed | Reason::PolicyChanged => {
                "trying again will not help, the person who runs this task decided so"
            }
            Reason::BudgetSpent => {
                "send nothing more there, or ask the person who runs this task for a larger budget"
            }
            Reason::Loop => "the proxy is used as a proxy and not as a destination",
            Reason::HostMismatch | Reason::BadRequest => "mend the request before sending it again",
            Reason::SniMismatch | Reason::SniMissing | Reason::EchRefused => {
                "open a tunnel to the host that is meant and name the same host in the TLS handshake"
            }
            Reason::AuthRequired => "set the credentials in the proxy's address",
            Reason::ResolveFailed | Reason::ConnectFailed | Reason::UpstreamFailed => {
                "the whitelist allows it, so check the name and the port, or try again later"
            }
            Reason::TooManyConnections => "close some connections, then try again",
            Reason::TimedOut => "try again later",
            Reason::Allowed => "nothing needs doing",
        };
        fixed.to_owned()
    }
}

fn quote(rule: &Rule) -> String {
    let line = RuleLine::from(rule);
    let (file, number, text) = (line.file, line.line, line.text);
    match line.comment {
        Some(comment) => format!(" [{file}:{number}: {text}: \"{comment}\"]"),
        None => format!(" [{file}:{number}: {text}]"),
    }
}

/// An address that may be dialled for one grant. Only [`Policy::admit`] makes one:
/// ```compile_fail
/// let address = "169.254.169.254:80".parse().unwrap();
/// let forged = agentnet_policy::Admitted { address };
/// ```
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
