//! The purses of one listener.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU64;
use std::sync::Arc;

use super::{Budget, Key, Ledger};

/// What the purses of a listener are made with.
#[derive(Clone, Debug, Default)]
pub struct PurseSettings {
    /// Where they survive the process; without one they are forgotten when it ends.
    pub ledger: Option<Arc<Ledger>>,
    /// The bytes that may be sent under a line that says no `up=`.
    pub default_up: Option<NonZeroU64>,
}

/// How much of a purse is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Bytes sent; with those that a crash lost.
    pub spent: u64,
    /// Bytes allowed.
    pub limit: u64,
}

/// The purses of one listener, by the words of their rules without `up=`.
#[derive(Debug)]
pub struct Purses {
    listener: String,
    ledger: Option<Arc<Ledger>>,
    by_rule: HashMap<Key, Arc<Budget>>,
}

impl Purses {
    /// The purses of `listener`. Without a ledger they are forgotten when the process ends.
    #[must_use]
    pub fn new(listener: &str, ledger: Option<Arc<Ledger>>) -> Self {
        Self {
            listener: listener.to_owned(),
            ledger,
            by_rule: HashMap::new(),
        }
    }

    /// The purse of a rule; a new limit in the file applies to what was spent before.
    pub fn purse(&mut self, rule: &str, limit: u64) -> Arc<Budget> {
        let key = Key::new(&self.listener, rule);
        if let Some(purse) = self.by_rule.get(&key) {
            purse.set_limit(limit);
            return Arc::clone(purse);
        }
        let purse = Budget::new(key.clone(), limit, self.ledger.clone());
        self.by_rule.insert(key, Arc::clone(&purse));
        purse
    }

    /// What is gone of a rule's purse, once it has been opened.
    #[must_use]
    pub fn state(&self, rule: &str) -> Option<State> {
        let purse = self.by_rule.get(&Key::new(&self.listener, rule))?;
        Some(purse.state())
    }

    /// What the purse of a rule is known by.
    #[must_use]
    pub fn key(&self, rule: &str) -> Key {
        Key::new(&self.listener, rule)
    }

    /// The sum of all but these.
    #[must_use]
    pub fn rest(&self, but: &HashSet<Key>) -> State {
        let rest = self.by_rule.iter().filter(|(key, _)| !but.contains(*key));
        rest.fold(State::default(), |sum, (_, purse)| {
            let State { spent, limit } = purse.state();
            State {
                spent: sum.spent.saturating_add(spent),
                limit: sum.limit.saturating_add(limit),
            }
        })
    }

    /// All that were opened.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Budget>> {
        self.by_rule.values().cloned().collect()
    }

    /// Where they survive the process.
    #[must_use]
    pub fn ledger(&self) -> Option<Arc<Ledger>> {
        self.ledger.clone()
    }
}
