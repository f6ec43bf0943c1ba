//! Who watches the tasks of `agentnet up`, what they write and whether their fences are still closed: one process for all of an
//! installation. `up` starts it, and so does whoever finds it gone; it ends with the last task. Killed, it leaves tasks that
//! nobody watches until somebody looks at them.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use agentnet_gate::notify::Kind;
use futures_util::future::join_all;
use jiff::Timestamp;

use super::{INTERVAL, Ledger, SHARE, look};
use crate::engine::Engine;
use crate::error::Result;
use crate::labels::Role;
use crate::lock::TaskLock;
use crate::notices;
use crate::paths::{StateDir, TaskDir};
use crate::record::{Phase, Record};
use crate::task::TaskId;
use crate::verify;

/// What the process is called on the command line.
pub const COMMAND: &str = "watch-disks";
/// How often tasks that came or went are looked for.
const STEP: Duration = Duration::from_secs(1);
/// An engine that does not answer is asked again later.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts the process if it does not run; it runs on after us.
///
/// # Errors
/// When it cannot be started, or the state directory cannot be written.
pub fn ensure(state: &StateDir, program: &Path) -> Result<()> {
    if TaskLock::try_take(&state.watcher_lock())?.is_none() {
        return Ok(());
    }
    // Without our environment and directory: it lives long, and has no use for them.
    tokio::process::Command::new(program)
        .arg("--state-dir")
        .arg(state.root())
        .arg(COMMAND)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok(())
}

/// Watches until no task is there to be watched; returns at once where another process does.
///
/// # Errors
/// When the state directory cannot be read or written.
pub async fn watch<E: Engine, B: Borrow<E>>(
    state: &StateDir,
    engine_of: impl Fn(&Record) -> Result<B>,
) -> Result<()> {
    // Once more without the lock: who came up meanwhile saw it held, and started nobody.
    while !watched(state)?.is_empty() {
        let Some(_lock) = TaskLock::try_take(&state.watcher_lock())? else {
            return Ok(());
        };
        // Beside each other: a tree may take a minute to be walked, and a fence may not wait for it.
        futures_util::try_join!(
            rounds::<E, B>(state, &engine_of, Watched::Disk),
            rounds::<E, B>(state, &engine_of, Watched::Fence),
        )?;
    }
    Ok(())
}

/// What is looked at.
#[derive(Debug, Clone, Copy)]
enum Watched {
    Disk,
    Fence,
}

async fn rounds<E: Engine, B: Borrow<E>>(
    state: &StateDir,
    engine_of: &impl Fn(&Record) -> Result<B>,
    what: Watched,
) -> Result<()> {
    let mut due: BTreeMap<(TaskId, Timestamp), Instant> = BTreeMap::new();
    loop {
        let records = watched(state)?;
        if records.is_empty() {
            return Ok(());
        }
        let share = SHARE * u32::try_from(records.len()).unwrap_or(u32::MAX);
        due.retain(|(task, since), _| {
            let is = |record: &Record| record.task == *task && record.since == *since;
            records.iter().any(is)
        });
        for record in &records {
            let key = (record.task.clone(), record.since);
            let begun = Instant::now();
            if due.get(&key).is_some_and(|next| *next > begun) {
                continue;
            }
            if let Ok(engine) = engine_of(record) {
                let engine = engine.borrow();
                let look = async {
                    match what {
                        Watched::Disk => disk(engine, state, record).await,
                        Watched::Fence => fence(engine, state, record).await,
                    }
                };
                tokio::time::timeout(PATIENCE, look).await.ok();
            }
            // All of them together take a share of the time, so that thirty cost what one does.
            due.insert(
                key,
                Instant::now() + INTERVAL.max(begun.elapsed().saturating_mul(share)),
            );
        }
        tokio::time::sleep(STEP).await;
    }
}

/// Looks at what one task wrote, and ends its agent and services if it is too much.
async fn disk<E: Engine>(engine: &E, state: &StateDir, record: &Record) {
    let ledger = look(engine, record, &state.task(&record.task)).await;
    if ledger.stopped.is_some() {
        end(engine, state, record, ledger).await;
    }
}

/// Looks at one task's fence from outside, and ends its agent and services if it was opened: a network that somebody attached
/// later is a way out at once, and their gates prove the fence at a start only (THREATS W7).
async fn fence<E: Engine>(engine: &E, state: &StateDir, record: &Record) {
    let Some(why) = verify::opened(engine, record).await else {
        return;
    };
    let dir = state.task(&record.task);
    let ledger = Ledger::read(&dir).filter(|ledger| ledger.since == record.since);
    let ledger = match ledger {
        Some(ledger) => ledger,
        None => look(engine, record, &dir).await,
    };
    let stopped = Some(why);
    end(engine, state, record, Ledger { stopped, ..ledger }).await;
}

/// Ends a task's agent and services, and says why.
async fn end<E: Engine>(engine: &E, state: &StateDir, record: &Record, ledger: Ledger) {
    let dir = state.task(&record.task);
    let Some(why) = ledger.stopped.as_ref().filter(|_| is_watched(&dir, record)) else {
        return;
    };
    let tenants = record.places.iter();
    let tenants = tenants.filter(|place| matches!(place.role, Role::Agent | Role::Service));
    let ended = join_all(tenants.map(|place| engine.kill(&place.container))).await;
    if ended.iter().any(Result::is_err) {
        // The next look tries again.
        return;
    }
    ledger.write(&dir).ok();
    let text = format!(
        "the task was stopped: {why}; agentnet down {} saves its work and removes it",
        record.task.task
    );
    notices::leave(state, &record.task, Kind::Error, &text).ok();
}

/// Tasks of `agentnet up` that nobody stopped.
fn watched(state: &StateDir) -> Result<Vec<Record>> {
    let mut found = Vec::new();
    for id in state.tasks()? {
        let dir = state.task(&id);
        // A record that cannot be read is for the commands to tell.
        let Ok(Some(record)) = Record::read(&dir) else {
            continue;
        };
        let ledger = Ledger::read(&dir).filter(|ledger| ledger.since == record.since);
        let stopped = ledger.is_some_and(|ledger| ledger.stopped.is_some());
        if record.phase == Phase::Up && !stopped {
            found.push(record);
        }
    }
    Ok(found)
}

/// Is it still the same, and up?
fn is_watched(dir: &TaskDir, record: &Record) -> bool {
    let now = Record::read(dir).ok().flatten();
    now.is_some_and(|now| now.since == record.since && now.phase == Phase::Up)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Running;
    use crate::engine::fake::FakeEngine;
    use crate::record::made;
    use crate::spec::Attachment;

    /// A task that is up with this ceiling, and an engine that has its containers.
    fn task(disk: u64) -> (tempfile::TempDir, StateDir, Record, FakeEngine) {
        let home = tempfile::tempdir().unwrap();
        let state = StateDir::open(Some(home.path())).unwrap();
        let record = Record {
            disk: Some(disk),
            ..made()
        };
        let dir = state.task(&record.task);
        fs_err::create_dir_all(dir.root()).unwrap();
        record.write(&dir).unwrap();
        let engine = FakeEngine::new(FakeEngine::docker28());
        for place in &record.places {
            engine.add_running(&place.container);
        }
        (home, state, record, engine)
    }

    async fn agent(engine: &FakeEngine, record: &Record) -> Running {
        let agent = record.task.resource(Role::Agent);
        engine.inspect_container(&agent).await.unwrap().running
    }

    #[tokio::test]
    async fn a_task_that_wrote_too_much_is_ended_once_and_its_work_is_left() {
        let (_home, state, record, engine) = task(1 << 20);
        engine.write(2 << 20);
        let all = engine.everything();
        watch::<FakeEngine, _>(&state, |_| Ok(&engine))
            .await
            .unwrap();
        assert_eq!(agent(&engine, &record).await, Running::Exited(137));
        assert_eq!(engine.everything(), all, "nothing is removed");
        let ledger = Ledger::read(&state.task(&record.task)).unwrap();
        let why = "it wrote 2 MiB to the disk, and its ceiling is 1 MiB; disk = in [agent] of agentnet.toml raises it";
        assert_eq!(ledger.stopped.as_deref(), Some(why));
        assert_eq!(ledger.figure(), "2.0M/1.0M");
        assert_eq!(fs_err::read_dir(state.notices()).unwrap().count(), 1);
        assert!(watched(&state).unwrap().is_empty(), "nobody is told twice");
    }

    #[tokio::test]
    async fn a_task_within_its_ceiling_runs_on_and_has_a_figure() {
        let (_home, state, record, engine) = task(1 << 30);
        engine.write(2 << 20);
        disk(&engine, &state, &record).await;
        assert_eq!(agent(&engine, &record).await, Running::Running);
        let ledger = Ledger::read(&state.task(&record.task)).unwrap();
        assert_eq!((ledger.written, ledger.stopped), (2 << 20, None));
        assert_eq!(watched(&state).unwrap(), [record]);
    }

    #[tokio::test]
    async fn a_task_that_came_up_anew_meanwhile_is_not_ended_for_the_earlier_one() {
        let (_home, state, record, engine) = task(1 << 20);
        engine.write(2 << 20);
        let now = Record {
            since: record.since + jiff::SignedDuration::from_secs(1),
            ..record.clone()
        };
        now.write(&state.task(&record.task)).unwrap();
        disk(&engine, &state, &record).await;
        assert_eq!(agent(&engine, &record).await, Running::Running);
    }

    /// Somebody attaches a container of the task to a network of theirs.
    async fn attach(engine: &FakeEngine, container: &str) {
        let attachment = Attachment {
            network: "bridge".into(),
            v4: None,
            v6: None,
            aliases: Vec::new(),
        };
        engine.connect(container, &attachment).await.unwrap();
    }

    #[tokio::test]
    async fn a_task_whose_fence_was_opened_is_ended_and_says_by_what() {
        let (_home, state, record, engine) = task(1 << 30);
        fence(&engine, &state, &record).await;
        assert_eq!(agent(&engine, &record).await, Running::Running);
        attach(&engine, &record.task.resource(Role::Proxy)).await;
        fence(&engine, &state, &record).await;
        assert_eq!(agent(&engine, &record).await, Running::Running);
        attach(&engine, &record.task.resource(Role::Agent)).await;
        watch::<FakeEngine, _>(&state, |_| Ok(&engine))
            .await
            .unwrap();
        assert_eq!(agent(&engine, &record).await, Running::Exited(137));
        let ledger = Ledger::read(&state.task(&record.task)).unwrap();
        let why = "its fence was opened: agentnet-shop-t-agent is on bridge, not on no network";
        assert_eq!(ledger.stopped.as_deref(), Some(why));
        assert_eq!(fs_err::read_dir(state.notices()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn one_process_watches_and_a_second_leaves_it_to_that() {
        let (_home, state, record, engine) = task(1 << 20);
        engine.write(2 << 20);
        let lock = TaskLock::try_take(&state.watcher_lock()).unwrap();
        watch::<FakeEngine, _>(&state, |_| Ok(&engine))
            .await
            .unwrap();
        assert_eq!(agent(&engine, &record).await, Running::Running);
        drop(lock);
    }
}
