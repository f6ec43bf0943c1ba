//! A changed whitelist takes its place in the running proxy.
//!
//! Watching is a hint, reading is the truth: inotify is silent on some mounts, so the files are read
//! again every few seconds whatever the watcher says. A file that cannot be read or understood
//! changes nothing but a counter and a line on stderr: the last good policy stays.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agentnet_policy::Problem;
use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecursiveMode, Watcher};
use serde::Serialize;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::active::Reloaded;
use crate::diagnostic;
use crate::listener::Listener;
use crate::metrics::{Metrics, ReloadOutcome};

/// A changed file is taken once it has said the same for this long: editors that write in place
/// show an empty file first, which would close every tunnel.
const SETTLE: Duration = Duration::from_millis(100);

/// How often tunnels whose rule ends by itself are looked for.
const EXPIRY_TICK: Duration = Duration::from_millis(500);

/// Who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The watcher or the clock.
    Scan,
    /// A person: a signal or the admin listener. Says what is wrong even if it was said before.
    Asked,
}

/// What one reload did to one listener.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The listener.
    pub listener: String,
    /// What happened.
    pub outcome: Outcome,
    /// Errors, or warnings about what was loaded.
    pub problems: Vec<Problem>,
}

/// What happened to a listener's policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A new policy is in force.
    Changed,
    /// The files say what they said.
    Unchanged,
    /// The last good policy stays in force.
    Failed,
}

/// Reloads the policies of all listeners.
#[derive(Clone, Debug)]
pub struct Reloader {
    listeners: Arc<[Arc<Listener>]>,
    metrics: Metrics,
    hint: Arc<Notify>,
    unlinked: Arc<Mutex<HashSet<PathBuf>>>,
}

impl Reloader {
    /// For these listeners.
    #[must_use]
    pub fn new(listeners: Arc<[Arc<Listener>]>, metrics: Metrics) -> Self {
        Self {
            listeners,
            metrics,
            hint: Arc::default(),
            unlinked: Arc::default(),
        }
    }

    /// Reads all files and puts what changed in force.
    pub async fn reload(&self, trigger: Trigger) -> Vec<Report> {
        let this = self.clone();
        // Reading and compiling 100,000 rules takes long enough to be felt on a serving thread.
        let work = move || {
            this.listeners
                .iter()
                .map(|listener| this.reload_one(listener, trigger))
                .collect()
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(reports) => reports,
            Err(error) => {
                self.metrics.panics.inc();
                diagnostic::error(format_args!("the reload broke off: {error}"));
                Vec::new()
            }
        }
    }

    fn reload_one(&self, listener: &Listener, trigger: Trigger) -> Report {
        let name = listener.name.as_str();
        let report = |outcome, problems| Report {
            listener: name.to_owned(),
            outcome,
            problems,
        };
        self.warn_of_unlinked(listener);
        match listener.policy.reload(trigger == Trigger::Asked) {
            Ok(Reloaded::Unchanged) => {
                if trigger == Trigger::Asked {
                    self.metrics.reloads(ReloadOutcome::Success).inc();
                }
                report(Outcome::Unchanged, Vec::new())
            }
            Ok(Reloaded::Changed { warnings }) => {
                self.metrics.reloads(ReloadOutcome::Success).inc();
                if let Some(level) = listener.policy.now().conduct.log_level {
                    listener.shared.journal.set_level(level);
                }
                let rules = listener.policy.now().policy.rules().len();
                let plural = if rules == 1 { "" } else { "s" };
                diagnostic::note(format_args!(
                    "listener {name}: new policy in force, {rules} rule{plural}"
                ));
                warnings.iter().for_each(diagnostic::problem);
                report(Outcome::Changed, warnings)
            }
            Err(problems) => {
                self.metrics.reloads(ReloadOutcome::Failure).inc();
                diagnostic::error(format_args!(
                    "listener {name}: the new policy is not usable, the last good one stays in force"
                ));
                problems.iter().for_each(diagnostic::problem);
                report(Outcome::Failed, problems)
            }
        }
    }

    /// A file that was mounted alone is the old one for ever once an editor has replaced it: then
    /// nothing links to it any more, and no edit will ever be seen.
    fn warn_of_unlinked(&self, listener: &Listener) {
        for file in listener.policy.files() {
            let Ok(meta) = std::fs::metadata(&file) else {
                continue;
            };
            let mut unlinked = self.unlinked.lock().unwrap_or_else(PoisonError::into_inner);
            if meta.nlink() > 0 {
                unlinked.remove(&file);
            } else if unlinked.insert(file.clone()) {
                diagnostic::warn(format_args!(
                    "{}: the file was replaced outside and this is the old one; edits will not be \
                     seen: mount its directory instead",
                    file.display()
                ));
            }
        }
    }

    /// Scans when the watcher hints or the clock says, until cancelled.
    pub async fn scan(self, every: Duration) {
        let _watcher = self.watch();
        let mut clock = interval(every);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.hint.notified() => {}
                _ = clock.tick() => {}
            }
            let seen = self.fingerprints().await;
            if self
                .listeners
                .iter()
                .zip(&seen)
                .all(|(listener, seen)| listener.policy.knows(*seen))
            {
                continue;
            }
            sleep(SETTLE).await;
            if self.fingerprints().await == seen {
                self.reload(Trigger::Scan).await;
            } else {
                // Still being written: look again at once.
                self.hint.notify_one();
            }
        }
    }

    async fn fingerprints(&self) -> Vec<u64> {
        let listeners = Arc::clone(&self.listeners);
        let read = move || {
            listeners
                .iter()
                .map(|listener| listener.policy.fingerprint())
                .collect()
        };
        // An error is a panic in there, which the next scan will meet again.
        tokio::task::spawn_blocking(read).await.unwrap_or_default()
    }

    fn watch(&self) -> Option<notify::RecommendedWatcher> {
        let hint = Arc::clone(&self.hint);
        let tell = move |seen: notify::Result<notify::Event>| {
            // An error is a watcher that has missed something.
            if seen.is_err() || seen.is_ok_and(|event| is_change(&event)) {
                hint.notify_one();
            }
        };
        let mut watcher = match notify::recommended_watcher(tell) {
            Ok(watcher) => watcher,
            Err(error) => {
                diagnostic::warn(format_args!(
                    "whitelists are not watched, only re-read: {error}"
                ));
                return None;
            }
        };
        let directories: Vec<PathBuf> = self
            .listeners
            .iter()
            .flat_map(|listener| listener.policy.directories())
            .collect();
        let directories: HashSet<&Path> = directories
            .iter()
            .map(|directory| current_if_empty(directory))
            .collect();
        for directory in directories {
            // The directory, not the file: an editor's rename replaces the file. One that cannot be
            // watched is still read again by the clock.
            if let Err(error) = watcher.watch(directory, RecursiveMode::NonRecursive) {
                diagnostic::warn(format_args!(
                    "{}: not watched, only re-read: {error}",
                    directory.display()
                ));
            }
        }
        Some(watcher)
    }
}

/// Whether files may say something else now. Opening and reading one does not change it, and our own
/// scan does both: taking that for a hint would be a loop that never rests.
fn is_change(event: &notify::Event) -> bool {
    match event.kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
    }
}

fn current_if_empty(path: &Path) -> &Path {
    if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    }
}

/// Ends what a listener's new policy no longer allows, and what has expired, until cancelled.
pub async fn review(listener: Arc<Listener>) {
    let mut generation = listener.policy.generation();
    let mut clock = interval(EXPIRY_TICK);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let changed = tokio::select! {
            changed = generation.changed() => changed.is_ok(),
            _ = clock.tick() => false,
        };
        let active = listener.policy.now_full();
        for entry in listener.live.all() {
            if changed || entry.standing.is_due() {
                entry.judge_again(&listener, &active);
            }
        }
        listener.pool.sweep(active.generation);
    }
}
