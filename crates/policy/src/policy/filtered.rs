//! Decisions of the second kind of rule book: the patterns of a `tinyproxy.conf`.

use jiff::Timestamp;

use crate::policy::verdict::Opens;
use crate::policy::{Ask, Considered, Denial, Grant, Outcome, Policy, Request, Verdict};
use crate::reason::Reason;
use crate::rule::{Reserved, RuleId, reserved};
use crate::target::Target;
use crate::tinyproxy::{Filter, Listed};

impl Policy {
    /// In Tinyproxy's order: the port of a CONNECT, then the patterns. Names that mean the machine
    /// itself or a metadata service are refused before either.
    #[inline(never)]
    pub(super) fn judge_by_filter(
        &self,
        filter: &Filter,
        target: Target,
        ask: Ask<'_>,
        now: Timestamp,
    ) -> Verdict {
        let special = target
            .host()
            .name()
            .and_then(|name| reserved(name.as_str()));
        let closed = match special {
            None => false,
            Some(Reserved::Machine) => !filter.private,
            Some(Reserved::Metadata) => true,
        };
        if closed {
            return Verdict::Deny(Denial::new(target, Reason::PrivateAddress));
        }
        if !filter.permits_port(&target, ask) {
            return self.refuse(Denial::new(target, Reason::PortNotListed), now);
        }
        let Ok(hit) = filter.hit(&target, ask) else {
            // Nobody knows what the patterns say of it, so it counts as what they refuse.
            let reason = match filter.listed {
                Listed::Refused => Reason::RuleDenied,
                Listed::Allowed => Reason::NotListed,
            };
            return Verdict::Deny(Denial::new(target, reason));
        };
        let rule = hit.and_then(|place| u32::try_from(place).ok()).map(RuleId);
        match (filter.listed, rule) {
            (Listed::Refused, Some(_)) => {
                let denial = Denial::by_rule(target, Reason::RuleDenied, rule, false);
                self.refuse(denial, now)
            }
            (Listed::Allowed, None) => self.refuse(Denial::new(target, Reason::NotListed), now),
            (Listed::Refused, None) | (Listed::Allowed, Some(_)) => Verdict::Allow(Grant {
                target,
                judged: now,
                rule,
                opens: Opens {
                    // Who lists what is allowed means those hosts and no others, so the TLS
                    // handshake is held to the name; who lists what is refused leaves the rest as
                    // it comes.
                    raw: filter.raw || filter.listed == Listed::Refused,
                    private: filter.private,
                    machine: filter.private,
                    only_here: false,
                    reported: false,
                },
                budget: None,
                expires: None,
            }),
        }
    }

    /// Every line that matches, in the order of the file.
    pub(super) fn considered(&self, filter: &Filter, request: &Request<'_>) -> Vec<Considered> {
        let outcome = if filter.permits_port(&request.target, request.ask) {
            match filter.listed {
                Listed::Allowed => Outcome::Allows,
                Listed::Refused => Outcome::Denies,
            }
        } else {
            Outcome::OtherPort
        };
        let matches = |pattern: &str| filter.matches(pattern, &request.target, request.ask);
        let lines = (0..).map(RuleId).zip(&self.rules);
        lines
            .filter(|(_, rule)| matches(rule.text()))
            .map(|(rule, _)| Considered { rule, outcome })
            .collect()
    }

    pub(super) fn is_filter(&self) -> bool {
        self.filter.is_some()
    }
}
