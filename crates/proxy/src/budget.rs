//! What a rule's `up=` has let through so far.
//!
//! The purse belongs to what the rule says beside its limit, not to its line or to one load of the
//! file: neither a reload nor another limit may refill it. It lives in memory; what was spent does not yet survive a restart of the process.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The bytes of one rule.
#[derive(Debug)]
pub struct Budget {
    limit: AtomicU64,
    spent: AtomicU64,
}

impl Budget {
    fn new(limit: u64) -> Self {
        Self {
            limit: AtomicU64::new(limit),
            spent: AtomicU64::new(0),
        }
    }

    /// Takes up to `wanted` bytes; returns how many were left to take.
    pub fn charge(&self, wanted: usize) -> usize {
        let limit = self.limit.load(Ordering::Relaxed);
        let wanted_64 = wanted as u64;
        let before = self.spent.fetch_add(wanted_64, Ordering::Relaxed);
        let left = limit.saturating_sub(before);
        if left >= wanted_64 {
            return wanted;
        }
        self.spent.fetch_sub(wanted_64 - left, Ordering::Relaxed);
        usize::try_from(left).unwrap_or(wanted).min(wanted)
    }

    /// Gives back bytes that were taken and never sent.
    pub fn refund(&self, bytes: usize) {
        self.spent.fetch_sub(bytes as u64, Ordering::Relaxed);
    }

    /// True when nothing may be sent any more.
    pub fn is_spent(&self) -> bool {
        self.spent.load(Ordering::Relaxed) >= self.limit.load(Ordering::Relaxed)
    }

    /// Bytes sent and bytes allowed.
    pub fn state(&self) -> (u64, u64) {
        (
            self.spent.load(Ordering::Relaxed),
            self.limit.load(Ordering::Relaxed),
        )
    }
}

/// The purses of one listener, by the words of their rules without `up=`.
#[derive(Debug, Default)]
pub struct Purses {
    by_rule: HashMap<String, Arc<Budget>>,
}

impl Purses {
    /// The purse of a rule; a new limit in the file applies to what was spent before.
    pub fn purse(&mut self, rule: &str, limit: u64) -> Arc<Budget> {
        let purse = self.by_rule.entry(key(rule));
        let purse = purse.or_insert_with(|| Arc::new(Budget::new(limit)));
        purse.limit.store(limit, Ordering::Relaxed);
        Arc::clone(purse)
    }

    /// Bytes sent and allowed by a rule, once its purse has been opened.
    #[must_use]
    pub fn state(&self, rule: &str) -> Option<(u64, u64)> {
        self.by_rule.get(&key(rule)).map(|budget| budget.state())
    }
}

fn key(rule: &str) -> String {
    let words = rule.split([' ', '\t']).filter(|word| !word.is_empty());
    let kept: Vec<&str> = words.filter(|word| !word.starts_with("up=")).collect();
    kept.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lets_exactly_the_limit_through() {
        let mut purses = Purses::default();
        let purse = purses.purse("cdn.example.net up=10B", 10);
        assert_eq!(purse.charge(4), 4);
        assert_eq!(purse.charge(9), 6);
        assert!(purse.is_spent());
        assert_eq!(purse.charge(1), 0);
        purse.refund(3);
        assert_eq!(purse.charge(5), 3);
        assert_eq!(purse.state(), (10, 10));
    }

    #[test]
    fn keeps_what_was_spent_when_the_same_rule_comes_again() {
        let mut purses = Purses::default();
        assert_eq!(purses.purse("a", 10).charge(8), 8);
        assert_eq!(purses.purse("a", 10).charge(8), 2);
        assert_eq!(purses.purse("b", 10).charge(8), 8);
    }

    #[test]
    fn applies_a_new_limit_to_what_was_spent_before() {
        let mut purses = Purses::default();
        assert_eq!(purses.purse("a.example up=10B raw", 10).charge(8), 8);
        let raised = purses.purse("a.example  raw up=12B", 12);
        assert_eq!(raised.charge(8), 4);
        assert!(purses.purse("a.example up=5B raw", 5).is_spent());
        assert_eq!(purses.state("a.example raw"), Some((12, 5)));
        assert_eq!(purses.state("b.example"), None);
    }
}
