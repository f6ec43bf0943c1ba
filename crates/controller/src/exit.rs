//! Exit codes of `agentnet`. They are part of the interface: `docs/controller.md` lists them.

use std::process::ExitCode;

/// Why the program ended, as the number a script sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// It failed, for a reason that has no number of its own.
    Failed = 1,
    /// The command line is wrong (clap uses the same number).
    Usage = 2,
    /// The container engine cannot be reached, is too old or lacks something that is needed.
    Engine = 3,
    /// `agentnet.toml`, a whitelist or the workspace is not valid.
    Config = 4,
    /// It ended, but something is left behind that could not be removed: `agentnet gc`.
    LeftBehind = 5,
    /// The fence has a way out. Nothing is left running.
    Leak = 6,
    /// There is no such task.
    NoTask = 7,
    /// The name is in use, or another agentnet works on this task.
    Busy = 8,
    /// No address is left in the pool, or no space on the disk.
    Exhausted = 9,
    /// `run` and `exec`: the failure is ours, not the command's (as `docker run` has it).
    Ours = 125,
    /// `run` and `exec`: the command was found but cannot be executed.
    NotExecutable = 126,
    /// `run` and `exec`: the command was not found.
    NotFound = 127,
    /// `run` and `exec`: whoever read the output went away (as of SIGPIPE).
    ReaderGone = 141,
    /// Ended by Ctrl-C or SIGTERM; everything was undone.
    Interrupted = 130,
}

impl Exit {
    /// The number.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}
