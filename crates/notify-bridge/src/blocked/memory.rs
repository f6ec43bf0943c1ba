//! What was told of blocked hosts, over the bridge's own death: so that the next one neither tells it
//! again nor begins its counts anew.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agentnet_policy::Host;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::refusal::Target;
use super::tracker::QUIET;
use crate::notice::TaskName;

/// Longer is not what a bridge wrote, in bytes.
const LONGEST: u64 = 1 << 20;
/// Hosts that are kept. A task has at most fifteen in the time that counts.
const MOST: usize = 4096;
/// What was told is written down so much later: what is open then is in the journal, and is not shown twice.
const SOON: Duration = Duration::from_secs(1);
/// The same where only time went by.
const LATER: Duration = Duration::from_secs(5);

/// The file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Document {
    /// The newest decision that was looked at, in unix seconds.
    newest: Option<u64>,
    /// What was told alone, oldest first.
    told: VecDeque<Line>,
}

/// One host that a person was told of.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    at: u64,
    task: TaskName,
    host: String,
    port: u16,
}

/// What is in the file, or will be.
#[derive(Debug)]
pub(super) struct Memory {
    path: PathBuf,
    document: Document,
    due: Option<Instant>,
}

impl Memory {
    /// Reads the file. One that is not there or is none is as if nothing had been told.
    pub(super) fn open(path: PathBuf, now: u64) -> Self {
        let mut document = read(&path).unwrap_or_default();
        // Of a clock that was ahead: nothing would be told until then.
        document.newest = document.newest.map(|at| at.min(now));
        Self {
            path,
            document,
            due: None,
        }
    }

    /// The newest decision that an earlier bridge looked at.
    pub(super) fn newest(&self) -> Option<u64> {
        self.document.newest
    }

    /// What was told, and when.
    pub(super) fn told(&self) -> Vec<(TaskName, Target, u64)> {
        let told = self.document.told.iter().filter_map(|line| {
            let host = Host::parse(&line.host).ok()?;
            let task = TaskName::new(&line.task.project, &line.task.task)?;
            Some((task, Target::new(host, line.port), line.at))
        });
        told.collect()
    }

    /// A decision was looked at.
    pub(super) fn saw(&mut self, at: u64) {
        if self.document.newest.is_none_or(|newest| newest < at) {
            self.document.newest = Some(at);
            self.write_within(LATER);
        }
    }

    /// A person is told of a host.
    pub(super) fn told_of(&mut self, task: TaskName, target: &Target, now: u64) {
        let (host, port) = target.parts();
        let line = Line {
            at: now,
            task,
            host,
            port,
        };
        if self.document.told.len() >= MOST {
            self.document.told.pop_front();
        }
        self.document.told.push_back(line);
        self.write_within(SOON);
    }

    fn write_within(&mut self, time: Duration) {
        let at = Instant::now() + time;
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// Waits until there is something to write.
    pub(super) async fn due(&self) {
        match self.due {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// Writes it, without what does not count any more. Torn or lost, it is as if nothing had been told.
    pub(super) fn write(&mut self, now: u64) {
        self.due = None;
        let counts = |line: &Line| now < line.at.saturating_add(QUIET);
        self.document.told.retain(counts);
        let temporary = self.path.with_extension("tmp");
        let written = serde_json::to_vec(&self.document)
            .map_err(std::io::Error::from)
            .and_then(|bytes| std::fs::write(&temporary, bytes));
        if written.is_ok() {
            drop(std::fs::rename(&temporary, &self.path));
        }
    }
}

fn read(path: &Path) -> Option<Document> {
    use std::io::Read;
    let mut text = Vec::new();
    let file = std::fs::File::open(path).ok()?;
    file.take(LONGEST).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn target(host: &str) -> Target {
        Target::new(Host::parse(host).unwrap(), 443)
    }

    fn task() -> TaskName {
        TaskName::new("shop", "fix-42").unwrap()
    }

    #[test]
    fn what_was_told_is_there_afterwards_until_it_does_not_count_any_more() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("blocked");
        let mut memory = Memory::open(path.clone(), NOW);
        assert_eq!((memory.newest(), memory.told().len()), (None, 0));
        memory.saw(NOW - 3);
        memory.told_of(task(), &target("old.example"), NOW - QUIET);
        for host in ["pypi.org", "[2001:db8::1]"] {
            memory.told_of(task(), &target(host), NOW);
        }
        memory.write(NOW);
        let memory = Memory::open(path, NOW);
        assert_eq!(memory.newest(), Some(NOW - 3));
        let expected = ["pypi.org", "[2001:db8::1]"].map(|host| (task(), target(host), NOW));
        assert_eq!(memory.told(), expected);
    }

    #[test]
    fn a_time_that_is_still_to_come_is_not_believed_and_no_file_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("blocked");
        std::fs::write(&path, format!("{{\"newest\":{},\"told\":[]}}", NOW * 2)).unwrap();
        assert_eq!(Memory::open(path.clone(), NOW).newest(), Some(NOW));
        for none in ["", "5\n", "{\"newest\":-1}", "[1,2]"] {
            std::fs::write(&path, none).unwrap();
            assert_eq!(Memory::open(path.clone(), NOW).newest(), None, "{none}");
        }
    }

    #[test]
    fn a_place_that_cannot_be_written_is_no_trouble() {
        let mut memory = Memory::open("/nonexistent/blocked".into(), NOW);
        memory.told_of(task(), &target("pypi.org"), NOW);
        memory.write(NOW);
        assert_eq!(memory.told().len(), 1);
    }
}
