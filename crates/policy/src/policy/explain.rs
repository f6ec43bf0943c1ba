//! Why a request would be answered as it would: the verdict and every line that has to do with it.

use jiff::Timestamp;

use crate::event::RuleLine;
use crate::policy::{Grant, Policy, Request, Verdict};
use crate::rule::RuleId;

/// What [`Policy::judge`] would say, and the lines that name the host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explanation {
    /// The verdict that the request would get.
    pub verdict: Verdict,
    /// Every line whose host part matches, in load order.
    pub lines: Vec<Considered>,
}

/// A line that names the host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Considered {
    /// The line.
    pub rule: RuleId,
    /// What it says about this request.
    pub outcome: Outcome,
}

/// What one line says about one request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Outcome {
    /// Its `until` has passed; it no longer counts.
    Expired,
    /// It is for other ports.
    OtherPort,
    /// It is for other methods, or for methods and the request is a tunnel.
    OtherMethod,
    /// It is for other paths, or for a path and the request is a tunnel.
    OtherPath,
    /// It allows the request.
    Allows,
    /// It refuses the request.
    Denies,
}

impl Policy {
    /// What would happen to a request, and why. Decides by the code of [`Policy::judge`], and then
    /// lists the lines; for people, not for the data path.
    pub fn explain(&self, request: Request<'_>, now: Timestamp) -> Explanation {
        let mut lines = Vec::new();
        if let Some(filter) = &self.filter {
            lines = self.considered(filter, &request);
        } else {
            self.consider(&request.target, request.ask, now, |rule, _, outcome| {
                lines.push(Considered { rule, outcome });
            });
        }
        lines.sort_by_key(|line| line.rule);
        Explanation {
            verdict: self.judge(request, now),
            lines,
        }
    }
}

impl Outcome {
    /// In words that follow the line.
    pub fn words(self) -> &'static str {
        match self {
            Outcome::Expired => "has expired",
            Outcome::OtherPort => "is for other ports",
            Outcome::OtherMethod => "is for other methods",
            Outcome::OtherPath => "is for other paths",
            Outcome::Allows => "allows it",
            Outcome::Denies => "refuses it",
        }
    }
}

impl Explanation {
    /// The explanation as lines of text: the verdict, then each line that names the host, the
    /// deciding one marked with `>`. `policy` is the one that made it.
    pub fn render(&self, policy: &Policy) -> String {
        let mut text = match &self.verdict {
            Verdict::Allow(grant) => format!("allowed: {}{}", grant.target(), terms(grant)),
            Verdict::Report(_, denial) => {
                format!(
                    "allowed by mode observe; enforce would say: {}",
                    denial.sentence(policy)
                )
            }
            Verdict::Deny(denial) => denial.sentence(policy),
        };
        for line in &self.lines {
            let Some(rule) = policy.rule(line.rule) else {
                continue;
            };
            let mark = if self.verdict.rule() == Some(line.rule) {
                '>'
            } else {
                ' '
            };
            let RuleLine {
                file,
                line: number,
                text: words,
                comment,
            } = RuleLine::from(rule);
            let outcome = line.outcome.words();
            text.push_str(&format!("\n{mark} {file}:{number}: {words} ({outcome})"));
            if let Some(comment) = comment {
                text.push_str(&format!("  # {comment}"));
            }
        }
        text
    }
}

fn terms(grant: &Grant) -> String {
    let mut terms = String::new();
    if grant.raw() {
        terms.push_str(", with any bytes in a tunnel");
    }
    if let Some(bytes) = grant.budget() {
        terms.push_str(&format!(", at most {bytes} bytes up"));
    }
    if let Some(end) = grant.expires() {
        terms.push_str(&format!(", until {end}"));
    }
    terms.push_str(match (grant.opens.machine, grant.opens.private) {
        (true, _) => ", at this address of the machine",
        (false, true) => ", also at a private address",
        (false, false) => ", at public addresses only",
    });
    terms
}
