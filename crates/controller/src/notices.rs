//! What agentnet itself tells whoever notifies people: the end of a run, a proxy that died.
//!
//! One file each in `STATE/notify/out`, which no container ever sees, in the format of an agent's
//! alert and with the task's name. Nobody has to read them: the newest [`MOST`] stay.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use agentnet_gate::notify::Kind;
use serde::Serialize;

use crate::engine::{Engine, EngineError, Running};
use crate::error::Result;
use crate::labels::Role;
use crate::output::printable;
use crate::paths::{StateDir, remove_if_there};
use crate::record::Record;
use crate::results::Ended;
use crate::stats::figures::span;
use crate::task::TaskId;

/// Notices that are kept where nobody reads them.
pub const MOST: usize = 100;
/// What is kept of a text, in characters.
const LONGEST: usize = 1_000;
/// How often a run looks whether its proxy is there.
const INTERVAL: Duration = Duration::from_secs(2);

/// One file.
#[derive(Serialize)]
struct Document<'a> {
    v: u8,
    kind: &'static str,
    text: String,
    project: &'a str,
    task: &'a str,
}

/// Leaves a notice.
///
/// # Errors
/// When the directory cannot be written: whoever tells it goes on without.
pub fn leave(state: &StateDir, task: &TaskId, kind: Kind, text: &str) -> Result<()> {
    let directory = state.notices();
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&directory)?;
    make_room(&directory)?;
    let document = Document {
        v: 1,
        kind: kind.as_str(),
        text: printable(text).chars().take(LONGEST).collect(),
        project: task.project.as_str(),
        task: task.task.as_str(),
    };
    let bytes = serde_json::to_vec(&document).map_err(std::io::Error::from)?;
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    // Sorts by time; two runs can end at once.
    let stem = format!("{:016x}-{}", since.as_nanos(), std::process::id());
    let temporary = directory.join(format!("{stem}.tmp"));
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    let written = file
        .write_all(&bytes)
        .and_then(|()| std::fs::rename(&temporary, directory.join(format!("{stem}.json"))));
    if written.is_err() {
        remove_if_there(&temporary)?;
    }
    Ok(written?)
}

/// Removes the oldest, so that one more is not too many.
fn make_room(directory: &Path) -> Result<()> {
    let mut there: Vec<PathBuf> = fs_err::read_dir(directory)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    there.sort();
    let surplus = (there.len() + 1).saturating_sub(MOST);
    for path in there.iter().take(surplus) {
        remove_if_there(path)?;
    }
    Ok(())
}

/// What to tell of a run's end; nothing of one that the person ended. `why`: what was wrong, besides
/// the command's own status.
#[must_use]
pub fn of_run(
    ended: Ended,
    code: Option<u8>,
    seconds: u64,
    why: &[String],
) -> Option<(Kind, String)> {
    let after = span(i64::try_from(seconds).unwrap_or(i64::MAX));
    let (kind, first) = match (ended, code) {
        (Ended::Interrupted, _) => return None,
        (Ended::Exited, Some(0)) => (Kind::Complete, format!("the run is done after {after}")),
        (Ended::Exited, Some(code)) => (
            Kind::Error,
            format!("the run ended with exit status {code} after {after}"),
        ),
        (Ended::TimedOut, _) => (
            Kind::Error,
            format!("the run was stopped after {after}: longer than --timeout allows"),
        ),
        (Ended::Exited, None) | (Ended::Failed, _) => {
            (Kind::Error, format!("the run failed after {after}"))
        }
    };
    let mut sentences = vec![first];
    sentences.extend_from_slice(why);
    Some((kind, sentences.join("; ")))
}

/// Waits until the task's proxy is not there any more, and says so; for ever where there is none.
pub async fn proxy_ended<E: Engine>(engine: &E, record: &Record) -> String {
    let Some(proxy) = record.container(Role::Proxy) else {
        return std::future::pending().await;
    };
    loop {
        let how = match engine.inspect_container(proxy).await {
            Ok(state) => match state.running {
                Running::Exited(_) if state.oom_killed => Some("ran out of memory".to_owned()),
                Running::Exited(code) => Some(format!("ended with {code}")),
                Running::Created | Running::Running | Running::Other(_) => None,
            },
            Err(EngineError::NotFound(_)) => Some("is gone".to_owned()),
            // An engine that does not answer for a moment says nothing of the proxy.
            Err(_) => None,
        };
        if let Some(how) = how {
            return format!("its proxy {how}: nothing of it gets out any more");
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::fake::FakeEngine;
    use crate::record::made;
    use std::os::unix::fs::PermissionsExt;

    fn read(state: &StateDir) -> Vec<serde_json::Value> {
        let mut files: Vec<_> = fs_err::read_dir(state.notices())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        let text = |path: &PathBuf| fs_err::read(path).unwrap();
        files
            .iter()
            .map(|path| serde_json::from_slice(&text(path)).unwrap())
            .collect()
    }

    #[test]
    fn a_notice_names_its_task_and_only_we_may_look() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(Some(dir.path())).unwrap();
        leave(&state, &made().task, Kind::Error, "a\u{1b}b").unwrap();
        let expected = serde_json::json!({
            "v": 1, "kind": "error", "text": "a\\u{1b}b", "project": "shop", "task": "t"
        });
        assert_eq!(read(&state), [expected]);
        let meta = fs_err::metadata(state.notices()).unwrap();
        assert_eq!(meta.permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn the_newest_hundred_stay_where_nobody_reads_them() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(Some(dir.path())).unwrap();
        for number in 0..MOST + 5 {
            leave(&state, &made().task, Kind::Info, &number.to_string()).unwrap();
        }
        let left = read(&state);
        assert_eq!(left.len(), MOST);
        assert_eq!(
            (&left[0]["text"], &left[MOST - 1]["text"]),
            (&"5".into(), &"104".into())
        );
    }

    #[test]
    fn the_end_of_a_run_is_told_with_its_status_time_and_what_was_wrong() {
        let of = |ended, code, why: &[&str]| {
            let why: Vec<String> = why.iter().map(|w| (*w).to_owned()).collect();
            of_run(ended, code, 200, &why).map(|(kind, text)| format!("{kind}: {text}"))
        };
        let memory = "the agent ran out of memory";
        for (told, expected) in [
            (
                of(Ended::Exited, Some(0), &[]),
                "complete: the run is done after 3m",
            ),
            (
                of(Ended::Exited, Some(137), &[memory]),
                "error: the run ended with exit status 137 after 3m; the agent ran out of memory",
            ),
            (
                of(Ended::TimedOut, Some(124), &[]),
                "error: the run was stopped after 3m: longer than --timeout allows",
            ),
            (
                of(Ended::Failed, None, &["its container is gone"]),
                "error: the run failed after 3m; its container is gone",
            ),
        ] {
            assert_eq!(told.as_deref(), Some(expected));
        }
        assert_eq!(of(Ended::Interrupted, None, &[]), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_proxy_that_dies_is_noticed_and_one_that_runs_is_not() {
        let engine = FakeEngine::new(FakeEngine::docker28());
        let record = made();
        let proxy = record.container(Role::Proxy).unwrap().to_owned();
        engine.add_running(&proxy);
        let patience = Duration::from_secs(600);
        let watched = tokio::time::timeout(patience, proxy_ended(&engine, &record));
        assert!(watched.await.is_err());
        engine.run_out_of_memory(&proxy);
        let told = proxy_ended(&engine, &record).await;
        assert_eq!(
            told,
            "its proxy ran out of memory: nothing of it gets out any more"
        );
        let engine = FakeEngine::new(FakeEngine::docker28());
        let told = proxy_ended(&engine, &record).await;
        assert_eq!(told, "its proxy is gone: nothing of it gets out any more");
    }
}
