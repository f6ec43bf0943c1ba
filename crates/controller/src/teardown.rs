//! The inverse of `up`: from labels and from the journal, to the end, whatever fails on the way.
//! Not found is done.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;

use crate::credentials::SECRETS_FILE;
use crate::engine::{Engine, EngineError, Kind};
use crate::journal::{self, Journal};
use crate::labels::Owner;
use crate::paths::{StateDir, TaskDir, remove_if_there, remove_written};
use crate::policy::PRESETS;
use crate::record::{Phase, Record};
use crate::ssh_agent::SOCKET;
use crate::sync::{self, Uncommitted};
use crate::task::TaskId;
use crate::workspace::{Fate, Workspace, remove_tree};

/// What was removed and what was not.
#[derive(Debug, Default)]
pub struct Report {
    /// Removed engine objects: kind and name.
    pub removed: Vec<(Kind, String)>,
    /// One sentence for each thing that is still there.
    pub errors: Vec<String>,
    /// What became of the tree.
    pub fate: Option<Fate>,
    /// What was brought into the user's repository before anything of it was removed.
    pub saved: Option<sync::Report>,
    /// Why it could not be: then tree and git directory stay.
    pub unsaved: Option<String>,
    /// Volumes that stay because the user said so.
    pub kept_volumes: Vec<String>,
}

impl Report {
    fn keep<T>(&mut self, doing: &str, outcome: crate::error::Result<T>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(e) => {
                self.errors.push(format!("{doing}: {e}"));
                None
            }
        }
    }
}

/// What to do with a changed tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changes {
    /// It stays.
    Keep,
    /// It goes.
    Discard,
}

/// Takes a task down: engine objects first, then its files. The caller holds the task's lock.
pub async fn task<E: Engine>(
    engine: &E,
    state: &StateDir,
    id: &TaskId,
    workspace: Option<&Workspace>,
    changes: Changes,
) -> Report {
    let dir = state.task(id);
    let mut report = Report::default();
    // Whatever becomes of the rest: nobody signs with the person's keys any more.
    let socket = remove_if_there(&dir.ssh().join(SOCKET));
    report.keep("withdrawing the SSH agent", socket);
    let record = report
        .keep("reading the record", Record::read(&dir))
        .flatten();
    let spare = record
        .as_ref()
        .map(|record| record.kept_volumes.clone())
        .unwrap_or_default();
    // Its files go when what is in them is safe.
    let own = workspace.map(Workspace::volume_names).unwrap_or_default();
    let held: Vec<_> = spare.iter().chain(&own).cloned().collect();
    let entries = report.keep("reading the journal", Journal::read(&dir.journal()));
    let entries = entries.unwrap_or_default();
    let also = journal::objects(&entries);
    arrive(engine, state.id(), journal::in_flight(&entries)).await;
    objects(
        engine,
        state.id(),
        &|owner| owner.task == *id,
        &also,
        &held,
        &mut report,
    )
    .await;
    if report.errors.is_empty() && changes == Changes::Keep {
        save(engine, state, record.as_ref(), workspace, &mut report).await;
    }
    if report.errors.is_empty() {
        files(&dir, &entries, workspace, changes, &spare, &mut report).await;
    }
    if !own.is_empty() && matches!(report.fate, Some(Fate::Removed)) {
        let mine = |owner: &Owner| owner.task == *id;
        objects(engine, state.id(), &mine, &[], &spare, &mut report).await;
    }
    report.kept_volumes = spare;
    report
}

/// Commits, and what was not committed, come into the user's repository: nothing of the task runs any
/// more, so nothing is written meanwhile.
async fn save<E: Engine>(
    engine: &E,
    state: &StateDir,
    record: Option<&Record>,
    workspace: Option<&Workspace>,
    report: &mut Report,
) {
    let (Some(record), Some(workspace @ Workspace::Worktree { git, .. })) = (record, workspace)
    else {
        return;
    };
    // One that never came up has no git directory, or no image to look at it with.
    if !git.directory.exists() || record.workspace != *workspace {
        return;
    }
    match workspace.is_changed().await {
        Ok(true) => {}
        Ok(false) => return,
        Err(e) => return report.errors.push(format!("looking for changes: {e}")),
    }
    let outcome = Box::pin(sync::sync(
        engine,
        state,
        record,
        Uncommitted::Save,
        sync::LARGEST,
    ));
    match outcome.await {
        Ok(saved) => report.saved = Some(saved),
        Err(e) => report.unsaved = Some(e.to_string()),
    }
}

/// How long what a killed `up` had asked for may take: a network on a busy engine takes a second.
const ARRIVAL: Duration = Duration::from_secs(3);
/// How often it is looked for.
const INTERVAL: Duration = Duration::from_millis(50);

/// Waits until what is still on its way is there, so that it can be removed; or does not come, because
/// it was never sent or the engine refused it.
async fn arrive<E: Engine>(engine: &E, state: &str, mut expected: Vec<(Kind, String)>) {
    let end = tokio::time::Instant::now() + ARRIVAL;
    while !expected.is_empty() && tokio::time::Instant::now() < end {
        // Whoever removes asks again, and says what is wrong.
        let Ok(listed) = engine.owned(state).await else {
            return;
        };
        expected.retain(|(kind, name)| !listed.iter().any(|r| r.kind == *kind && r.name == *name));
        if !expected.is_empty() {
            tokio::time::sleep(INTERVAL).await;
        }
    }
}

/// Removes every engine object of this installation that `mine` picks, and those the journal names; not the volumes
/// in `spare`.
pub async fn objects<E: Engine>(
    engine: &E,
    state: &str,
    mine: &(dyn Fn(&Owner) -> bool + Sync),
    also: &[(Kind, String)],
    spare: &[String],
    report: &mut Report,
) {
    let listed = match engine.owned(state).await {
        Ok(listed) => listed,
        Err(e) => {
            report.errors.push(format!("listing what is ours: {e}"));
            Vec::new()
        }
    };
    let mut doomed: BTreeSet<(Kind, String, String)> = listed
        .into_iter()
        .filter(|r| Owner::read(&r.labels).is_some_and(|o| o.state == state && mine(&o)))
        .filter(|r| r.kind != Kind::Volume || !spare.contains(&r.name))
        .map(|r| (r.kind, r.id, r.name))
        .collect();
    for (kind, id) in also {
        // A volume has no id: without its label it may be somebody else's of the same name.
        if *kind != Kind::Volume && !doomed.iter().any(|(k, i, _)| k == kind && i == id) {
            doomed.insert((*kind, id.clone(), id.clone()));
        }
    }
    // What others hold comes last: it is in use while a container is there.
    let held = [Kind::Network, Kind::Volume, Kind::Image];
    for kinds in [&[Kind::Container][..], &held[..]] {
        let batch = doomed.iter().filter(|(kind, _, _)| kinds.contains(kind));
        let outcomes =
            join_all(batch.map(|(kind, id, name)| async move {
                (*kind, name, engine.remove(*kind, id).await)
            }));
        for (kind, name, outcome) in outcomes.await {
            match outcome {
                Ok(()) => report.removed.push((kind, name.clone())),
                Err(EngineError::NotFound(_)) => {}
                Err(e) => report.errors.push(format!("removing {kind} {name}: {e}")),
            }
        }
    }
}

async fn files(
    dir: &TaskDir,
    entries: &[journal::Entry],
    workspace: Option<&Workspace>,
    changes: Changes,
    spare: &[String],
    report: &mut Report,
) {
    if let Some(workspace) = workspace {
        // Everything is committed and in the user's repository: the tree holds nothing else.
        let whole = report.saved.as_ref().is_some_and(sync::Report::is_whole);
        let fate = workspace
            .dismantle(whole || changes == Changes::Discard)
            .await;
        report.fate = report.keep("removing the worktree", fate);
    }
    for path in journal::files(entries) {
        // A volume that stays knows only the password it was made with.
        if !spare.is_empty() && path == dir.passwords() {
            continue;
        }
        report.keep("removing a file", remove_written(&path));
    }
    // Whatever the journal says: secrets do not outlive their task.
    let secrets = remove_if_there(&dir.secrets().join(SECRETS_FILE));
    report.keep("removing the secrets", secrets);
    drop(fs_err::remove_dir(dir.secrets()));
    drop(fs_err::remove_dir(dir.ssh()));
    // The agent wrote there: nothing runs any more that could write again.
    report.keep("removing the spool", remove_tree(&dir.spool()));
    report.keep("removing the journal", remove_if_there(&dir.journal()));
    report.keep("removing the proof", remove_written(&dir.verify()));
    report.keep("removing its figures", remove_written(&dir.disk()));
    if spare.is_empty() {
        report.keep("removing the passwords", remove_written(&dir.passwords()));
    }
    if matches!(report.fate, Some(Fate::Kept(_))) || !spare.is_empty() {
        let record = report
            .keep("reading the record", Record::read(dir))
            .flatten();
        if let Some(mut record) = record {
            record.phase = Phase::Down;
            record.places.clear();
            report.keep("writing the record", record.write(dir));
        }
        return;
    }
    if !report.errors.is_empty() {
        return;
    }
    report.keep("removing the record", remove_written(&dir.record()));
    // Only what is empty: a file we do not know is not ours to remove.
    drop(fs_err::remove_dir(dir.policy().join(PRESETS)));
    drop(fs_err::remove_dir(dir.policy()));
    drop(fs_err::remove_dir(dir.root()));
    if let Some(project) = dir.root().parent() {
        drop(fs_err::remove_dir(project));
    }
}
