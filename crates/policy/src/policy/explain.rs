//! Why a request would be answered as it would: the verdict and every line that has to do with it.

use jiff::Timestamp;

use crate::policy::{Policy, Request, Verdict};
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
        Explanation {
            verdict: self.judge(request, now),
            lines: Vec::new(),
        }
    }
}

impl Explanation {
    /// The explanation as text of several lines. `policy` is the one that made it.
    pub fn render(&self, _policy: &Policy) -> String {
        self.verdict.reason().to_string()
    }
}
