//! Many names of one owner: data that leaves in the names themselves, told in one sentence.

use std::collections::{BTreeMap, HashMap};

use super::MAX_BELOW;
use super::evidence::Evidence;
use super::seen::Seen;
use crate::host::Name;
use crate::rule::owner;
use crate::target::Target;

/// More names below one owner's than this, each asked for once or twice, are not proposed: a name
/// is a message to whoever answers for it.
const MANY_ONCE: usize = 16;
/// More names below one owner's than this are not proposed however often they were asked for.
const MANY: usize = 64;
/// What "once or twice" is.
const ONCE: u64 = 2;

/// Owners below whose name too many were asked for.
pub(super) struct Folds(pub(super) BTreeMap<String, Fold>);

#[derive(Default)]
pub(super) struct Fold {
    once: usize,
    all: usize,
    /// More than are remembered.
    more: bool,
    evidence: Evidence,
    examples: Vec<String>,
}

impl Folds {
    pub(super) fn new(targets: &BTreeMap<Target, Seen>, below: &HashMap<String, usize>) -> Self {
        let mut folds: BTreeMap<String, Fold> = BTreeMap::new();
        for (target, seen) in targets {
            let Some(name) = target.host().name() else {
                continue;
            };
            // One that was refused was not looked up, so it told nobody anything; one that could
            // not be reached did.
            if seen.wanted.is_empty() && seen.failed.is_empty() {
                continue;
            }
            let owner = owner(name.as_str());
            let fold = folds.entry(owner.to_owned()).or_default();
            fold.more = below.get(owner).is_some_and(|count| *count >= MAX_BELOW);
            fold.all += 1;
            let often = seen.wanted.requests() > ONCE;
            if !often {
                fold.once += 1;
                if fold.examples.len() < 3 {
                    fold.examples.push(shortened(name.as_str()));
                }
            }
            fold.evidence.add(&seen.wanted);
            fold.evidence.add(&seen.failed);
        }
        folds.retain(|_, fold| fold.all > MANY || fold.once > MANY_ONCE);
        Self(folds)
    }

    pub(super) fn has(&self, name: &Name, seen: &Seen) -> bool {
        self.0.get(owner(name.as_str())).is_some_and(|fold| {
            fold.all > MANY || (fold.once > MANY_ONCE && seen.wanted.requests() <= ONCE)
        })
    }
}

impl Fold {
    pub(super) fn words(&self, owner: &str) -> String {
        let least = if self.more { "at least " } else { "" };
        let (all, once) = (self.all, self.once);
        let examples = self.examples.join(", ");
        let such = if examples.is_empty() {
            String::new()
        } else {
            format!(", as {examples}")
        };
        format!(
            "{least}{all} targets below {owner}, {once} of them asked for at most twice ({}){such}: not proposed, because a name is a message to whoever answers for it",
            self.evidence
        )
    }
}

/// Names that carry data are long.
fn shortened(name: &str) -> String {
    const ENOUGH: usize = 48;
    match name.get(..ENOUGH).filter(|_| name.len() > ENOUGH + 3) {
        Some(start) => format!("{start}..."),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_and_short_ones_are_not() {
        assert_eq!(shortened("a.example"), "a.example");
        assert_eq!(shortened(&"x".repeat(200)).len(), 51);
    }
}
