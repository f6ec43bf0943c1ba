//! What every command starts from.

use std::path::Path;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Global;
use crate::disk::watcher;
use crate::engine::bollard::BollardEngine;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::lock::TaskLock;
use crate::output::Output;
use crate::paths::StateDir;
use crate::record::{Phase, Record};
use crate::task::{Slug, TaskId};

/// State, engine address and output of this run.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) output: Output,
    pub(super) state: StateDir,
    pub(super) project: Option<Slug>,
    pub(super) tracker: TaskTracker,
    endpoint: Option<String>,
}

/// Where engines listen when nobody says otherwise.
const SOCKETS: [&str; 2] = ["/var/run/docker.sock", "/run/podman/podman.sock"];

pub(super) fn connect(endpoint: &str, state: &StateDir) -> Result<BollardEngine> {
    let engine = BollardEngine::new(endpoint).map_err(Error::engine("connecting to the engine"))?;
    Ok(engine.keeping_filters_in(state.filters()))
}

impl Context {
    pub(super) fn new(global: Global, output: Output) -> Result<Context> {
        Ok(Context {
            output,
            state: StateDir::open(global.state_dir.as_deref())?,
            project: global.project,
            tracker: TaskTracker::new(),
            endpoint: global.engine,
        })
    }

    /// The engine's address: the flag, DOCKER_HOST, the first usual socket that exists. Two ways of
    /// writing one socket are one engine.
    pub(super) fn endpoint(&self) -> String {
        let endpoint = self.named_endpoint();
        let path = endpoint.strip_prefix("unix://");
        let path = path.and_then(|path| fs_err::canonicalize(path).ok());
        match path.as_deref().and_then(Path::to_str) {
            Some(path) => format!("unix://{path}"),
            None => endpoint,
        }
    }

    fn named_endpoint(&self) -> String {
        if let Some(endpoint) = &self.endpoint {
            return endpoint.clone();
        }
        if let Some(host) = std::env::var("DOCKER_HOST")
            .ok()
            .filter(|host| !host.is_empty())
        {
            return host;
        }
        let own = std::env::var("XDG_RUNTIME_DIR").ok();
        let own = own.iter().flat_map(|dir| {
            [
                format!("{dir}/docker.sock"),
                format!("{dir}/podman/podman.sock"),
            ]
        });
        let usual = SOCKETS.map(str::to_owned);
        let found = usual
            .into_iter()
            .chain(own)
            .find(|path| Path::new(path).exists());
        format!("unix://{}", found.unwrap_or_else(|| SOCKETS[0].to_owned()))
    }

    /// The engine for what is new.
    pub(super) fn engine(&self) -> Result<BollardEngine> {
        connect(&self.endpoint(), &self.state)
    }

    /// The engine that a task is on, whatever the flag and the environment say by now.
    pub(super) fn engine_of(&self, record: &Record) -> Result<BollardEngine> {
        connect(&record.engine, &self.state)
    }

    /// Ctrl-C and SIGTERM from here on.
    pub(super) fn interrupts(&self) -> Result<CancellationToken> {
        interrupt::watch(&self.tracker)
    }

    /// The task of that name: in the project that was given, or the only one, or the one of the
    /// checkout we are in.
    pub(super) fn find(&self, task: &Slug) -> Result<(TaskId, Record)> {
        let mut found = Vec::new();
        for id in self.state.tasks()? {
            let wanted = self
                .project
                .as_ref()
                .is_none_or(|project| *project == id.project);
            if id.task == *task
                && wanted
                && let Some(record) = Record::read(&self.state.task(&id))?
            {
                found.push((id, record));
            }
        }
        if found.len() > 1 {
            let here = std::env::current_dir()?;
            let is_here = |(_, record): &(TaskId, Record)| match &record.workspace {
                crate::workspace::Workspace::Worktree { checkout, .. } => {
                    here.starts_with(checkout)
                }
                crate::workspace::Workspace::Directory { path, .. } => here.starts_with(path),
            };
            if found.iter().filter(|f| is_here(f)).count() == 1 {
                found.retain(is_here);
            }
        }
        let names: Vec<_> = found.iter().map(|(id, _)| id.project.to_string()).collect();
        match (found.pop(), found.is_empty()) {
            (Some(one), true) => Ok(one),
            (Some(_), false) => Err(Error::Usage(format!(
                "several projects have a task {task}: {}; say which with --project",
                names.join(", ")
            ))),
            (None, _) => Err(self.none(task)),
        }
    }

    /// Sees to it that somebody watches what these tasks write. Without it they work as well: it is only told.
    pub(super) fn watch_disks(&self, records: &[&Record]) {
        if records.iter().all(|record| record.phase != Phase::Up) {
            return;
        }
        let started = std::env::current_exe()
            .map_err(Error::from)
            .and_then(|program| watcher::ensure(&self.state, &program));
        if let Err(e) = started {
            self.output.warn(&format!(
                "nobody watches what the task writes to the disk: {e}"
            ));
        }
    }

    /// A task that is up, for commands that need its containers.
    pub(super) fn find_up(&self, task: &Slug) -> Result<(TaskId, Record)> {
        let (id, record) = self.find(task)?;
        self.is_up(&id, &record)?;
        Ok((id, record))
    }

    fn is_up(&self, id: &TaskId, record: &Record) -> Result<()> {
        let task = &id.task;
        if let Some(name) = crate::snapshot::unfinished(&self.state.task(id)) {
            return Err(Error::Failed(format!(
                "a restore of snapshot {name} into task {task} did not end; agentnet snapshot restore {task} {name} ends it"
            )));
        }
        if record.phase.is_up() {
            self.watch_disks(&[record]);
            return Ok(());
        }
        Err(Error::Failed(format!(
            "task {task} is not up; agentnet up {task} brings it up"
        )))
    }

    /// A task whose lock is ours, as it is then: whoever was waited for may have changed it, or ended it.
    pub(super) async fn hold(&self, task: &Slug) -> Result<(TaskLock, TaskId, Record)> {
        let (id, _) = self.find(task)?;
        let lock = TaskLock::take(&self.state, &id).await?;
        match Record::read(&self.state.task(&id))? {
            Some(record) => Ok((lock, id, record)),
            None => Err(self.none(task)),
        }
    }

    /// The same of one that is up.
    pub(super) async fn hold_up(&self, task: &Slug) -> Result<(TaskLock, TaskId, Record)> {
        // What is wrong from the start is said at once.
        self.find_up(task)?;
        let (lock, id, record) = self.hold(task).await?;
        self.is_up(&id, &record)?;
        Ok((lock, id, record))
    }

    fn none(&self, task: &Slug) -> Error {
        let project = self.project.as_ref();
        Error::NoTask {
            task: task.to_string(),
            scope: project
                .map(|project| format!(" in project {project}"))
                .unwrap_or_default(),
        }
    }

    /// Whose snapshots a task's name means: the task may be gone.
    pub(super) fn find_shelf(&self, task: &Slug) -> Result<TaskId> {
        let wanted = |id: &TaskId| self.project.as_ref().is_none_or(|p| *p == id.project);
        let all = self.state.snapshot_tasks()?.into_iter();
        let mut found: Vec<_> = all.filter(|id| id.task == *task && wanted(id)).collect();
        match (found.pop(), found.is_empty()) {
            (Some(one), true) => Ok(one),
            // The one of the checkout we are in, if its task is there.
            (Some(_), false) => self.find(task).map(|(id, _)| id),
            (None, _) => match self.find(task) {
                Ok((id, _)) => Ok(id),
                Err(Error::NoTask { .. }) => Err(Error::NoSnapshot {
                    task: task.to_string(),
                    name: String::new(),
                }),
                Err(e) => Err(e),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Talk;
    use crate::record::made;

    fn context() -> (tempfile::TempDir, Context) {
        let directory = tempfile::tempdir().unwrap();
        let context = Context {
            output: Output {
                talk: Talk::Quiet,
                json: false,
                color: false,
            },
            state: StateDir::open(Some(directory.path())).unwrap(),
            project: None,
            tracker: TaskTracker::new(),
            endpoint: None,
        };
        (directory, context)
    }

    #[tokio::test(start_paused = true)]
    async fn who_waited_for_another_command_sees_what_it_left() {
        let (_directory, context) = context();
        let mut record = made();
        let dir = context.state.task(&record.task);
        fs_err::create_dir_all(dir.root()).unwrap();
        record.write(&dir).unwrap();
        let task = record.task.task.clone();
        let lock = TaskLock::take(&context.state, &record.task).await.unwrap();
        // The command looks the task up and waits; then the other one changes it and ends.
        let ends = async {
            record.secrets.push("NEW".to_owned());
            record.write(&dir).unwrap();
            drop(lock);
        };
        let (held, ()) = tokio::join!(context.hold(&task), ends);
        let (lock, _, seen) = held.unwrap();
        assert_eq!(seen.secrets, ["NEW"]);
        let ends = async {
            fs_err::remove_file(dir.record()).unwrap();
            drop(lock);
        };
        let (held, ()) = tokio::join!(context.hold(&task), ends);
        let gone = held.unwrap_err();
        assert!(matches!(gone, Error::NoTask { .. }), "{gone}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_taken_down_meanwhile_is_not_up() {
        let (_directory, context) = context();
        let mut record = Record {
            phase: Phase::Run,
            ..made()
        };
        let dir = context.state.task(&record.task);
        fs_err::create_dir_all(dir.root()).unwrap();
        record.write(&dir).unwrap();
        let lock = TaskLock::take(&context.state, &record.task).await.unwrap();
        let task = record.task.task.clone();
        let ends = async {
            record.phase = Phase::Down;
            record.write(&dir).unwrap();
            drop(lock);
        };
        let (held, ()) = tokio::join!(context.hold_up(&task), ends);
        let error = held.unwrap_err().to_string();
        assert!(error.contains("is not up"), "{error}");
    }
}
