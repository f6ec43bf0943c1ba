//! Going into the background, as Tinyproxy does without `-d`.
//!
//! Not by fork: this program has threads, and no unsafe code. It starts itself once more, in a session
//! of its own, and waits for the word that every port is bound. So the command ends with success
//! only if there is a proxy, and otherwise the reason is on the terminal.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// The flag of the process in the background. Nobody types it.
pub const FLAG: &str = "--in-background";

/// What the process in the background says on its stdout once it serves.
const READY: &[u8] = b"serving\n";

/// How the process in the background began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    /// It serves.
    Serving,
    /// It ended with this status, and has said why.
    Failed(u8),
}

/// Starts this program again with the arguments it was given (without its name), under `name`.
///
/// # Errors
/// When it cannot be started.
pub fn detach(name: &OsStr, arguments: &[OsString]) -> io::Result<Started> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg0(name)
        .arg(FLAG)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut said = Vec::new();
    if let Some(output) = child.stdout.take() {
        output.take(READY.len() as u64).read_to_end(&mut said)?;
    }
    if said == READY {
        return Ok(Started::Serving);
    }
    let code = child
        .wait()?
        .code()
        .and_then(|code| u8::try_from(code).ok());
    // Killed, or gone with success before it served: neither is a proxy.
    Ok(Started::Failed(code.filter(|code| *code != 0).unwrap_or(1)))
}

/// Called first in the process in the background: leaves the terminal's session.
///
/// # Errors
/// The system's.
pub fn settle() -> io::Result<()> {
    rustix::process::setsid()?;
    Ok(())
}

/// Called once it serves: tells whoever started it, and lets go of the terminal.
///
/// # Errors
/// When there is no `/dev/null`.
pub fn serve() -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    // Whoever started it may be gone; the proxy is here all the same.
    io::stdout().write_all(READY).ok();
    io::stdout().flush().ok();
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(())
}
