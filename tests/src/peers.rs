//! Other people's programs: what `tests/peers/peers.sh` unpacks, and the proxy of this checkout beside them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::bed::root;
use crate::command::run_with;

/// The root directory of an unpacked peer (`bin/PROGRAM` below it is what runs), or one sentence that says why there is
/// none. Unpacking happens once, and takes seconds.
pub fn peer(name: &'static str) -> Result<PathBuf, String> {
    static FOUND: Mutex<BTreeMap<&str, Result<PathBuf, String>>> = Mutex::new(BTreeMap::new());
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    found.entry(name).or_insert_with(|| unpack(name)).clone()
}

fn unpack(name: &str) -> Result<PathBuf, String> {
    let mut script = Command::new(root().join("tests/peers/peers.sh"));
    let outcome = run_with(script.args(["path", name]), "", Duration::from_secs(600));
    if outcome.ok() {
        return Ok(PathBuf::from(outcome.expect()));
    }
    let last = outcome.stderr.lines().last().unwrap_or("no word why");
    Err(format!("{name}: {}", last.trim_start_matches("peers: ")))
}
