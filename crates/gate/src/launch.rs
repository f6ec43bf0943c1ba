//! Becoming the real entrypoint.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The exit codes of a launch that did not happen, as `docker run` has them.
pub(crate) const REFUSED: u8 = 125;
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

/// Replaces this process by the command, found through `PATH`, its arguments untouched and the
/// environment as it is but for `more`. Comes back only with what went wrong.
pub(crate) fn launch(command: &[OsString], more: Vec<(OsString, OsString)>) -> (u8, String) {
    let Some((program, arguments)) = command.split_first() else {
        return (REFUSED, "there is no command to start".to_owned());
    };
    let error = Command::new(program).args(arguments).envs(more).exec();
    let missing = error.kind() == io::ErrorKind::NotFound;
    let code = if missing { NOT_FOUND } else { NOT_EXECUTABLE };
    (
        code,
        format!("cannot start {}: {error}", program.to_string_lossy()),
    )
}
