//! What can go wrong, in one sentence each: what, on what, why. `hint()` says what to do.

use std::path::PathBuf;

use crate::engine::EngineError;
use crate::exit::Exit;

/// Every failure of the controller.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A container engine call failed.
    #[error("{doing}: {source}")]
    Engine {
        /// What we were about to do, as a participle: "creating network x".
        doing: String,
        /// The engine's answer.
        source: EngineError,
    },
    /// The engine works but cannot do what the task needs.
    #[error("{0}")]
    Unfit(String),
    /// `agentnet.toml`, flags or a whitelist are wrong. The text names file, line and fix.
    #[error("{0}")]
    Config(String),
    /// The whitelist has problems, one line each.
    #[error("the whitelist has errors:\n{0}")]
    Whitelist(String),
    /// The command line cannot be meant.
    #[error("{0}")]
    Usage(String),
    /// There is no such task.
    #[error("there is no task {task}{scope}")]
    NoTask {
        /// What was asked for.
        task: String,
        /// " in project x", or nothing.
        scope: String,
    },
    /// There is no such snapshot.
    #[error("task {task} has no snapshot{}{name}", if name.is_empty() { "" } else { " " })]
    NoSnapshot {
        /// The task.
        task: String,
        /// What was asked for; empty: any.
        name: String,
    },
    /// Another process works on this task.
    #[error("another agentnet process works on task {task}")]
    Locked {
        /// The task.
        task: String,
    },
    /// The name is taken by something that is not this task's.
    #[error("{0}")]
    InUse(String),
    /// Every block of the pool is taken.
    #[error("no free block is left in the address pool {pool}: all {blocks} are taken")]
    PoolFull {
        /// The pool as configured.
        pool: String,
        /// How many blocks it has.
        blocks: usize,
    },
    /// The fence has a way out. The text is the gate's or ours.
    #[error("{0}")]
    Leak(String),
    /// A file operation failed; fs-err's text names the path.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// git failed.
    #[error("git {doing}: {why}")]
    Git {
        /// What git was asked to do.
        doing: String,
        /// Its own last words.
        why: String,
    },
    /// The directory is not in a git repository.
    #[error("{0} is not inside a git repository")]
    NotARepository(PathBuf),
    /// Ctrl-C or SIGTERM.
    #[error("interrupted")]
    Interrupted,
    /// Something could not be removed.
    #[error("some resources could not be removed:\n{0}")]
    LeftBehind(String),
    /// Anything else, said in a sentence.
    #[error("{0}")]
    Failed(String),
    /// An error while undoing another: the first is what matters, the rest is said too.
    #[error("{first}\nalso, while undoing: {undo}")]
    AndUndo {
        /// Why it failed.
        first: Box<Error>,
        /// What could not be undone.
        undo: String,
    },
}

impl Error {
    /// Wraps an engine error with what was being done.
    pub fn engine(doing: impl Into<String>) -> impl FnOnce(EngineError) -> Error {
        let doing = doing.into();
        move |source| Error::Engine { doing, source }
    }

    /// The exit code; total on purpose.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Error::Engine { source, .. } => match source {
                EngineError::NameInUse(_) => Exit::Busy,
                EngineError::DiskFull(_) => Exit::Exhausted,
                EngineError::Unreachable { .. } | EngineError::TooOld { .. } => Exit::Engine,
                EngineError::NotFound(_)
                | EngineError::Overlap(_)
                | EngineError::AddressTaken(_)
                | EngineError::NotExecutable(_)
                | EngineError::CommandNotFound(_)
                | EngineError::ReaderGone
                | EngineError::Refused { .. }
                | EngineError::Broken(_) => Exit::Failed,
            },
            Error::Unfit(_) => Exit::Engine,
            Error::Config(_) | Error::Whitelist(_) | Error::NotARepository(_) => Exit::Config,
            Error::Usage(_) => Exit::Usage,
            Error::NoTask { .. } | Error::NoSnapshot { .. } => Exit::NoTask,
            Error::Locked { .. } | Error::InUse(_) => Exit::Busy,
            Error::PoolFull { .. } => Exit::Exhausted,
            Error::Leak(_) => Exit::Leak,
            Error::Io(e) if is_disk_full(e) => Exit::Exhausted,
            Error::Io(_) => Exit::Failed,
            Error::Git { .. } | Error::Failed(_) => Exit::Failed,
            Error::Interrupted => Exit::Interrupted,
            Error::LeftBehind(_) | Error::AndUndo { .. } => Exit::LeftBehind,
        }
    }

    /// What the person can do about it, if we know.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Engine { source, .. } => source.hint(),
            Error::NoTask { .. } => Some("agentnet ls shows the tasks that exist".into()),
            Error::NoSnapshot { .. } => {
                Some("agentnet snapshot ls shows the ones that exist".into())
            }
            Error::Locked { .. } => {
                Some("wait for it to end; if it was killed, agentnet gc cleans up".into())
            }
            Error::PoolFull { .. } => Some(
                "agentnet ls shows what is up, agentnet gc removes leftovers; \
                 [network] pool in agentnet.toml names a bigger pool"
                    .into(),
            ),
            Error::NotARepository(_) => Some(
                "run it inside a git repository, or give the files to work on with --workspace DIR"
                    .into(),
            ),
            Error::Io(e) if is_disk_full(e) => {
                Some("free some space on that disk and try again".into())
            }
            Error::LeftBehind(_) | Error::AndUndo { .. } => {
                Some("agentnet gc tries again and removes only what is ours".into())
            }
            Error::Unfit(_)
            | Error::Config(_)
            | Error::Whitelist(_)
            | Error::Usage(_)
            | Error::InUse(_)
            | Error::Leak(_)
            | Error::Io(_)
            | Error::Git { .. }
            | Error::Interrupted
            | Error::Failed(_) => None,
        }
    }
}

fn is_disk_full(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}

/// The controller's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;
