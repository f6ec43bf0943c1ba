//! What the host writes into `in/` when somebody has chosen.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::spool::Spool;

/// Longest answer file, in bytes.
pub const LONGEST_ANSWER: u64 = 4 * 1024;
/// Time between two looks: nothing is told of a change on the host through every engine's mounts.
const INTERVAL: Duration = Duration::from_millis(100);

/// `in/ID.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Format version.
    pub v: u8,
    /// Which of the choices, from 0.
    pub choice: usize,
    /// Its text, as the person saw it.
    pub text: String,
}

impl Answer {
    /// Reads one; `None`: it is not there, or not whole.
    fn read(path: &Path) -> Option<Self> {
        let mut text = String::new();
        let file = File::open(path).ok()?;
        file.take(LONGEST_ANSWER).read_to_string(&mut text).ok()?;
        serde_json::from_str(&text).ok()
    }
}

/// Waits for an answer; `None`: it did not come in time.
pub(super) fn wait(spool: &Spool, id: &str, most: Duration) -> Option<Answer> {
    let end = Instant::now() + most;
    let path = spool.answer(id);
    loop {
        if let Some(answer) = Answer::read(&path) {
            return Some(answer);
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        sleep(left.min(INTERVAL));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn an_answer_that_comes_meanwhile_is_found_and_none_is_none() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("in")).unwrap();
        let spool = Spool::at(dir.path());
        assert_eq!(wait(&spool, "a", Duration::ZERO), None);
        fs::write(spool.answer("torn"), "{\"v\":1,").unwrap();
        assert_eq!(wait(&spool, "torn", Duration::ZERO), None);
        let found = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| wait(&spool, "a", Duration::from_secs(60)));
            fs::write(spool.answer("a"), r#"{"v":1,"choice":1,"text":"no"}"#).unwrap();
            waiting.join().unwrap()
        });
        let expected = Answer {
            v: 1,
            choice: 1,
            text: "no".into(),
        };
        assert_eq!(found, Some(expected));
    }
}
