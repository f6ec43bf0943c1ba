//! The budgets of one listener: which purse a grant spends from, and what is shown of them.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU64;
use std::sync::Arc;

use agentnet_policy::{Grant, Rule};

use super::{Active, PolicyStore};
use crate::budget::{Budget, State};
use crate::metrics::{MAX_RULES, OTHER};

/// The purse, and the label, of what passes without a line that allows it.
const NO_LINE: &str = "(no line)";

impl PolicyStore {
    /// The purse of a grant, if its rule or the listener has a limit. It outlives the policy that
    /// made the grant. What no line allows and passes all the same has one purse together.
    #[must_use]
    pub fn purse(&self, active: &Active, grant: &Grant) -> Option<Arc<Budget>> {
        let default = self.default_up.map(NonZeroU64::get);
        let limit = grant.budget().or(default)?;
        let rule = grant.rule().and_then(|id| active.policy.rule(id));
        let words = rule.map_or(NO_LINE, Rule::text);
        Some(self.purses().purse(words, limit))
    }

    /// What is gone of a rule's budget, once its purse has been opened.
    #[must_use]
    pub fn budget(&self, rule: &str) -> Option<State> {
        self.purses().state(rule)
    }

    /// True where anything is limited.
    #[must_use]
    pub fn has_budgets(&self) -> bool {
        let active = self.now();
        let limited = active.policy.rules().any(|rule| rule.budget().is_some());
        limited || self.default_up.is_some()
    }

    /// Opens the purses that have a metric of their own, to be seen before they are used.
    pub(super) fn open_purses(&self, active: &Active) {
        let default = self.default_up.map(NonZeroU64::get);
        let mut limits: HashMap<&str, u64> = HashMap::new();
        for rule in active.policy.rules().take(MAX_RULES) {
            let default = || default.filter(|_| !rule.is_deny());
            if let Some(limit) = rule.budget().or_else(default) {
                let known = limits.entry(rule.text()).or_default();
                *known = limit.max(*known);
            }
        }
        let mut purses = self.purses();
        for (rule, limit) in limits {
            purses.purse(rule, limit);
        }
        if let Some(limit) = default {
            purses.purse(NO_LINE, limit);
        }
    }

    /// Puts the state of the budgets into the metrics.
    pub fn show_budgets(&self) {
        let active = self.now();
        let purses = self.purses();
        let mut seen = HashSet::new();
        let rules = active.policy.rules().take(MAX_RULES).map(Rule::text);
        for rule in rules.chain([NO_LINE]) {
            if let Some(state) = purses.state(rule) {
                seen.insert(purses.key(rule));
                self.metrics.budget(&self.listener, rule, state);
            }
        }
        if active.policy.rules().len() > MAX_RULES {
            let rest = purses.rest(&seen);
            self.metrics.budget(&self.listener, OTHER, rest);
        }
    }

    /// Gives back what the purses hold and have not spent. Nothing goes under a budget afterwards.
    pub async fn close_purses(&self) {
        let (ledger, purses) = {
            let purses = self.purses();
            (purses.ledger(), purses.all())
        };
        if let Some(ledger) = ledger {
            ledger.close(purses).await;
        }
    }
}
