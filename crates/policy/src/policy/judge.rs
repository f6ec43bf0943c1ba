//! The decision before anything is resolved.

use jiff::Timestamp;

use crate::address::{AddressClass, classify};
use crate::host::{Host, Name};
use crate::policy::index::Naming;
use crate::policy::verdict::Opens;
use crate::policy::{Ask, Denial, Grant, Mode, Outcome, Policy, Request, Verdict};
use crate::reason::Reason;
use crate::rule::{Effect, Layer, Rule, RuleId, reserved};
use crate::target::Target;

impl Policy {
    /// Decides whether the target may be resolved and dialled at all. Takes the time because this
    /// crate has no clock. Allocates nothing and takes no lock, if the rules are a whitelist.
    pub fn judge(&self, request: Request<'_>, now: Timestamp) -> Verdict {
        let Request { target, ask } = request;
        if let Some(filter) = &self.filter {
            return self.judge_by_filter(filter, target, ask, now);
        }
        // Nothing lifts this, so it holds in `observe` too, and before any look-up.
        if target
            .host()
            .name()
            .is_some_and(|name| reserved(name.as_str()).is_some())
        {
            return Verdict::Deny(Denial::new(target, Reason::PrivateAddress));
        }
        match self.weigh(target, ask, now) {
            Ok(grant) => Verdict::Allow(grant),
            Err(denial) => self.refuse(denial, now),
        }
    }

    /// What the lines say together, whatever the mode.
    pub(super) fn weigh(
        &self,
        target: Target,
        ask: Ask<'_>,
        now: Timestamp,
    ) -> Result<Grant, Denial> {
        let mut tally = Tally::default();
        self.consider(&target, ask, now, |id, rule, outcome| {
            tally.add(id, rule, outcome)
        });
        match (tally.denied, tally.allowed) {
            (None, Some(allowed)) => Ok(allowed.grant(target, now)),
            (Some(denied), _) => {
                let rule = Some(denied.rule);
                let reason = Reason::RuleDenied;
                Err(Denial::by_rule(target, reason, rule, denied.quiet))
            }
            (None, None) => {
                let (reason, rule) = tally.nearest(target.host());
                Err(Denial::by_rule(target, reason, rule, false))
            }
        }
    }

    /// Calls `visit` for every line that has a say about the target's host.
    pub(crate) fn consider<'r>(
        &'r self,
        target: &Target,
        ask: Ask<'_>,
        now: Timestamp,
        mut visit: impl FnMut(RuleId, &'r Rule, Outcome),
    ) {
        self.naming(target.host(), |id, rule| {
            visit(id, rule, rule.permission.outcome(target.port(), ask, now));
        });
    }

    /// The same, whatever is asked of the host.
    pub(super) fn naming<'r>(&'r self, host: &Host, mut visit: impl FnMut(RuleId, &'r Rule)) {
        let odd = host.name().is_some_and(has_odd_hyphen);
        self.index.lines(&self.rules, host, |id, rule, naming| {
            if odd && naming == Naming::Wildcard && !rule.is_deny() {
                return;
            }
            visit(id, rule);
        });
    }

    pub(super) fn refuse(&self, denial: Denial, judged: Timestamp) -> Verdict {
        match self.mode {
            Mode::Enforce => Verdict::Deny(denial),
            Mode::Observe => {
                let grant = Grant {
                    target: denial.target().clone(),
                    judged,
                    rule: None,
                    opens: Opens {
                        raw: true,
                        reported: true,
                        ..Opens::default()
                    },
                    budget: None,
                    expires: None,
                };
                Verdict::Report(grant, denial)
            }
        }
    }
}

/// Labels that begin or end with a hyphen are no host names (RFC 952), and some resolvers and
/// tools trip over them: a wildcard does not stand for them, a line that writes them out does.
fn has_odd_hyphen(name: &Name) -> bool {
    name.as_str()
        .split('.')
        .any(|label| label.starts_with('-') || label.ends_with('-'))
}

/// What the lines say together.
#[derive(Default)]
struct Tally {
    denied: Option<Denied>,
    allowed: Option<Allowed>,
    missed: Option<(Outcome, RuleId)>,
}

#[derive(Clone, Copy)]
/// The line whose word on alerts counts: of the highest layer, and the first there.
struct Denied {
    rule: RuleId,
    layer: Layer,
    quiet: bool,
}

#[derive(Clone, Copy)]
/// What the allowing lines open together, and until when each of it lasts.
struct Allowed {
    rule: RuleId,
    budget: Budget,
    until: Until,
    raw: Option<Until>,
    private: Option<Until>,
    machine: Option<Until>,
}

/// Bytes, or no limit, in this order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Budget {
    Bytes(u64),
    Unlimited,
}

/// A moment, or for ever, in this order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Until {
    Moment(Timestamp),
    Ever,
}

impl Tally {
    fn add(&mut self, id: RuleId, rule: &Rule, outcome: Outcome) {
        match (outcome, rule.permission.effect) {
            (Outcome::Denies, Effect::Deny { quiet }) => {
                let new = Denied {
                    rule: id,
                    layer: rule.layer(),
                    quiet,
                };
                let counts = self.denied.as_ref().is_none_or(|old| {
                    (new.layer, std::cmp::Reverse(id)) > (old.layer, std::cmp::Reverse(old.rule))
                });
                if counts {
                    self.denied = Some(new);
                }
            }
            (
                Outcome::Allows,
                Effect::Allow {
                    raw,
                    private,
                    host,
                    up,
                },
            ) => {
                let until = rule.permission.until.map_or(Until::Ever, Until::Moment);
                let said = |says: bool| says.then_some(until);
                let new = Allowed {
                    rule: id,
                    budget: up.map_or(Budget::Unlimited, |bytes| Budget::Bytes(bytes.get())),
                    until,
                    raw: said(raw),
                    private: said(private),
                    machine: said(host),
                };
                self.allowed = Some(match self.allowed.take() {
                    Some(old) => old.and(new),
                    None => new,
                });
            }
            (missed, Effect::Allow { .. }) => {
                let nearer = self.missed.is_none_or(|(old, rule)| {
                    (missed, std::cmp::Reverse(id)) > (old, std::cmp::Reverse(rule))
                });
                if nearer {
                    self.missed = Some((missed, id));
                }
            }
            // A refusing line that is not meant.
            (_, Effect::Deny { .. }) => {}
        }
    }

    /// The reason when no line decides: what was wrong with the line that came nearest.
    fn nearest(&self, host: &Host) -> (Reason, Option<RuleId>) {
        let (reason, rule) = match self.missed {
            Some((Outcome::OtherPort, rule)) => (Reason::PortNotListed, Some(rule)),
            Some((Outcome::OtherMethod, rule)) => (Reason::MethodNotListed, Some(rule)),
            Some((Outcome::OtherPath, rule)) => (Reason::PathNotListed, Some(rule)),
            Some((Outcome::Expired, rule)) => (Reason::NotListed, Some(rule)),
            Some((Outcome::Allows | Outcome::Denies, _)) | None => (Reason::NotListed, None),
        };
        let special = host
            .ip()
            .is_some_and(|ip| classify(ip) != AddressClass::Public);
        let reason = if special && reason == Reason::NotListed {
            Reason::PrivateAddress
        } else {
            reason
        };
        (reason, rule)
    }
}

impl Allowed {
    /// Two lines that allow the same request add up, so that a new line never takes away what
    /// another gave.
    fn and(self, other: Allowed) -> Allowed {
        let rank = |a: &Allowed| (a.budget, a.until, std::cmp::Reverse(a.rule));
        let leads = rank(&self) >= rank(&other);
        let (first, second) = if leads { (self, other) } else { (other, self) };
        Allowed {
            rule: first.rule,
            budget: first.budget,
            until: first.until,
            raw: first.raw.max(second.raw),
            private: first.private.max(second.private),
            machine: first.machine.max(second.machine),
        }
    }

    fn grant(self, target: Target, judged: Timestamp) -> Grant {
        let opened = [self.raw, self.private, self.machine];
        let end = opened.into_iter().flatten().fold(self.until, Ord::min);
        Grant {
            target,
            judged,
            rule: Some(self.rule),
            opens: Opens {
                raw: self.raw.is_some(),
                private: self.private.is_some(),
                machine: self.machine.is_some(),
                only_here: self.machine.is_some(),
                reported: false,
            },
            budget: match self.budget {
                Budget::Bytes(bytes) => Some(bytes),
                Budget::Unlimited => None,
            },
            expires: match end {
                Until::Moment(moment) => Some(moment),
                Until::Ever => None,
            },
        }
    }
}
