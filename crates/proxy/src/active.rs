//! The policy in force at one listener, and how a new one takes its place.

mod budgets;
mod files;
mod source;

use std::collections::HashSet;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use agentnet_policy::event::RuleLine;
use agentnet_policy::{Policy, Problem, Rule, RuleId};
use arc_swap::{ArcSwap, Guard};
use prometheus::IntCounter;
use tokio::sync::watch;

pub use self::files::{compile_files, is_whitelist, presets_of, sources};
use self::files::{fingerprint, fingerprint_of};
use self::source::Compiled;
use crate::budget::{PurseSettings, Purses};
use crate::conduct::Conduct;
use crate::metrics::{MAX_RULES, Metrics};
use crate::settings::PolicySource;

/// A policy and what belongs to this load of it.
#[derive(Debug)]
pub struct Active {
    /// The policy.
    pub policy: Policy,
    /// The conduct that was loaded with it.
    pub conduct: Arc<Conduct>,
    /// Grows with each policy that comes into force.
    pub generation: u64,
    /// By the rule's place; beyond the bound they share the last.
    hits: Vec<IntCounter>,
}

impl Active {
    fn new(
        (policy, conduct): (Policy, Arc<Conduct>),
        generation: u64,
        metrics: &Metrics,
        listener: &str,
    ) -> Self {
        for parent in conduct.routes.parents() {
            let route = parent.label().as_str();
            metrics.know_route(route);
        }
        let rules = policy.rules().enumerate().take(MAX_RULES + 1);
        let hits = rules
            .map(|(place, rule)| metrics.rule_hits(listener, place, rule.text()))
            .collect();
        Self {
            policy,
            conduct,
            generation,
            hits,
        }
    }

    /// Counts that a rule decided.
    pub fn hit(&self, rule: RuleId) {
        if let Some(hits) = self.hits.get(rule.index().min(MAX_RULES)) {
            hits.inc();
        }
    }

    /// A rule as it stands in events.
    #[must_use]
    pub fn rule_line(&self, id: Option<RuleId>) -> Option<RuleLine> {
        self.policy.rule(id?).map(RuleLine::from)
    }
}

/// What a reload did.
#[derive(Debug)]
pub enum Reloaded {
    /// The files say what they said before.
    Unchanged,
    /// A new policy is in force.
    Changed {
        /// What is odd about it.
        warnings: Vec<Problem>,
    },
}

/// Reads the policy of one listener, and its conduct, and holds those in force.
#[derive(Debug)]
pub struct PolicyStore {
    listener: String,
    source: PolicySource,
    metrics: Metrics,
    active: ArcSwap<Active>,
    generation: watch::Sender<u64>,
    purses: Mutex<Purses>,
    default_up: Option<NonZeroU64>,
    /// The hash of the text in force, and of the last text that was refused.
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    good: u64,
    bad: Option<u64>,
}

impl PolicyStore {
    /// Loads the policy for the first time.
    ///
    /// # Errors
    /// With everything that is wrong with the files; there is no last good policy to keep.
    pub fn open(
        listener: &str,
        source: PolicySource,
        purses: &PurseSettings,
        metrics: &Metrics,
    ) -> Result<(Self, Vec<Problem>), Vec<Problem>> {
        let texts = source.read()?;
        let good = fingerprint(&texts);
        let Compiled {
            policy,
            conduct,
            warnings,
        } = source.compile(&texts)?;
        let active = Active::new((policy, conduct), 1, metrics, listener);
        metrics.last_reload.set(unix_now());
        metrics.last_reload_successful(listener).set(1);
        let store = Self {
            listener: listener.to_owned(),
            source,
            metrics: metrics.clone(),
            active: ArcSwap::from_pointee(active),
            generation: watch::Sender::new(1),
            purses: Mutex::new(Purses::new(listener, purses.ledger.clone())),
            default_up: purses.default_up,
            seen: Mutex::new(Seen { good, bad: None }),
        };
        store.open_purses(&store.now());
        Ok((store, warnings))
    }

    /// The policy in force; cheap, without a lock.
    pub fn now(&self) -> Guard<Arc<Active>> {
        self.active.load()
    }

    /// The policy in force, to keep over an await.
    #[must_use]
    pub fn now_full(&self) -> Arc<Active> {
        self.active.load_full()
    }

    /// The number of the policy in force, and a way to wait for the next.
    #[must_use]
    pub fn generation(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// The files it is read from.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        self.source.files()
    }

    /// The directories to watch for changes of what it is read from.
    #[must_use]
    pub fn directories(&self) -> Vec<PathBuf> {
        self.source.directories()
    }

    fn purses(&self) -> MutexGuard<'_, Purses> {
        self.purses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A hash of what the files say now; unreadable ones count as such.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        match self.source.read() {
            Ok(texts) => fingerprint(&texts),
            Err(problems) => fingerprint_of(&problems),
        }
    }

    /// True if a text with this hash is in force, or was refused last.
    #[must_use]
    pub fn knows(&self, fingerprint: u64) -> bool {
        let seen = self.seen();
        fingerprint == seen.good && seen.bad.is_none() || seen.bad == Some(fingerprint)
    }

    /// Reads the files and puts a changed policy in force. With `even_if_known`, a text that was
    /// refused before is refused again, with its problems, instead of passed over.
    ///
    /// # Errors
    /// With everything that is wrong; the last good policy stays in force.
    pub fn reload(&self, even_if_known: bool) -> Result<Reloaded, Vec<Problem>> {
        let mut seen = self.seen();
        let result = self.source.read().inspect_err(|problems| {
            seen.bad = Some(fingerprint_of(problems));
        });
        let result = result.and_then(|texts| {
            let found = fingerprint(&texts);
            if found == seen.good {
                seen.bad = None;
                return Ok(None);
            }
            if seen.bad == Some(found) && !even_if_known {
                return Ok(None);
            }
            // Remembered as bad until it has proved good.
            seen.bad = Some(found);
            let compiled = self.source.compile(&texts)?;
            seen.good = found;
            seen.bad = None;
            Ok(Some(compiled))
        });
        let successful = self.metrics.last_reload_successful(&self.listener);
        successful.set(i64::from(seen.bad.is_none()));
        match result? {
            None => Ok(Reloaded::Unchanged),
            Some(Compiled {
                policy,
                conduct,
                warnings,
            }) => {
                self.put(policy, conduct);
                Ok(Reloaded::Changed { warnings })
            }
        }
    }

    fn put(&self, policy: Policy, conduct: Arc<Conduct>) {
        let before = self.active.load_full();
        let generation = before.generation + 1;
        let loaded = (policy, conduct);
        let after = Active::new(loaded, generation, &self.metrics, &self.listener);
        let kept: HashSet<&str> = after
            .policy
            .rules()
            .take(MAX_RULES)
            .map(Rule::text)
            .collect();
        for rule in before.policy.rules().take(MAX_RULES) {
            if !kept.contains(rule.text()) {
                self.metrics.forget_rule(&self.listener, rule.text());
            }
        }
        drop(kept);
        self.open_purses(&after);
        self.active.store(Arc::new(after));
        self.generation.send_replace(generation);
        self.metrics.last_reload.set(unix_now());
    }
}

fn unix_now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}
