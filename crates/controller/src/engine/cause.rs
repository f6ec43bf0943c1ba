//! Why an engine call failed.

use crate::facts::Version;

/// Why an engine call failed, as far as anybody here acts on it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// Nothing answers there.
    #[error("no container engine answers at {endpoint}: {why}")]
    Unreachable {
        /// Where we looked.
        endpoint: String,
        /// The system's words.
        why: String,
    },
    /// It speaks only older APIs.
    #[error("{name} speaks API {api}, and agentnet needs {floor} or newer (Docker 20.10)")]
    TooOld {
        /// Product and version.
        name: String,
        /// What it speaks.
        api: Version,
        /// What we need.
        floor: Version,
    },
    /// There is no such object.
    #[error("not found: {0}")]
    NotFound(String),
    /// The name is taken.
    #[error("the name is in use: {0}")]
    NameInUse(String),
    /// The address block is taken.
    #[error("the address block is taken: {0}")]
    Overlap(String),
    /// The address is taken inside its network.
    #[error("the address is taken: {0}")]
    AddressTaken(String),
    /// The engine's disk is full.
    #[error("the engine's disk is full: {0}")]
    DiskFull(String),
    /// The command exists but cannot be executed.
    #[error("cannot execute: {0}")]
    NotExecutable(String),
    /// The command does not exist in the container.
    #[error("command not found: {0}")]
    CommandNotFound(String),
    /// Whoever read what came from a container went away.
    #[error("nobody reads the output any more")]
    ReaderGone,
    /// Any other answer.
    #[error("the engine answered {status}: {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Its words.
        message: String,
    },
    /// The conversation broke or made no sense.
    #[error("talking to the engine failed: {0}")]
    Broken(String),
}

impl EngineError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            EngineError::Unreachable { .. } => Some(
                "start Docker, or name another engine with --engine unix:///path/to.sock or \
                 DOCKER_HOST; agentnet doctor shows what was tried"
                    .into(),
            ),
            EngineError::TooOld { .. } => {
                Some("install Docker 28 or newer (20.10 at least)".into())
            }
            EngineError::NameInUse(_) => {
                Some("choose another task name, or remove the object that has the name".into())
            }
            EngineError::DiskFull(_) => Some("docker system df shows what uses the space".into()),
            EngineError::NotFound(_)
            | EngineError::Overlap(_)
            | EngineError::AddressTaken(_)
            | EngineError::NotExecutable(_)
            | EngineError::CommandNotFound(_)
            | EngineError::ReaderGone
            | EngineError::Refused { .. }
            | EngineError::Broken(_) => None,
        }
    }
}

/// An engine call's result.
pub type EngineResult<T> = Result<T, EngineError>;
