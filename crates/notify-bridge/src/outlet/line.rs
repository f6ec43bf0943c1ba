//! A line a notice: for people on a terminal, for programs in a file.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use futures_util::future::BoxFuture;
use serde::Serialize;

use crate::desk::unix_now;
use crate::notice::{Notice, NoticeId};
use crate::outlet::{Handle, Outlet, OutletError};

/// Prints to standard output.
#[derive(Debug)]
pub(crate) struct Terminal {
    name: String,
}

/// Appends JSON lines to a file.
#[derive(Debug)]
pub(crate) struct LogFile {
    name: String,
    path: PathBuf,
    file: Mutex<File>,
}

/// One line of a log, and what a webhook says of a notice.
#[derive(Debug, Serialize)]
pub(crate) struct Record<'a> {
    pub(crate) v: u8,
    /// RFC 3339, UTC.
    pub(crate) time: String,
    pub(crate) id: &'a str,
    pub(crate) project: &'a str,
    pub(crate) task: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) urgency: &'a str,
    pub(crate) title: &'a str,
    pub(crate) text: &'a str,
}

impl<'a> Record<'a> {
    /// Of a notice, now.
    pub(crate) fn of(notice: &'a Notice) -> Self {
        let seconds = i64::try_from(unix_now()).unwrap_or(0);
        let time = jiff::Timestamp::from_second(seconds).unwrap_or_default();
        Self {
            v: 1,
            time: time.to_string(),
            id: &notice.id.0,
            project: &notice.task.project,
            task: &notice.task.task,
            kind: notice.kind.as_str(),
            urgency: notice.urgency.as_str(),
            title: notice.title.as_str(),
            text: notice.body.as_str(),
        }
    }
}

impl Terminal {
    /// Under this name.
    pub(crate) fn new(name: String) -> Self {
        Self { name }
    }

    fn print(notice: &Notice, out: &mut dyn Write) -> io::Result<()> {
        let time = jiff::Zoned::now().strftime("%H:%M:%S").to_string();
        let body = notice.body.as_str().replace('\n', "\n         ");
        writeln!(out, "{time} {}: {body}", notice.title)?;
        out.flush()
    }
}

impl Outlet for Terminal {
    fn name(&self) -> &str {
        &self.name
    }

    fn show<'a>(
        &'a self,
        notice: &'a Notice,
        _: Option<Handle>,
    ) -> BoxFuture<'a, Result<Option<Handle>, OutletError>> {
        let printed = Self::print(notice, &mut io::stdout().lock());
        let failed = |e: io::Error| OutletError::Unknown(format!("standard output: {e}"));
        Box::pin(async move { printed.map(|()| None).map_err(failed) })
    }

    fn withdraw<'a>(&'a self, _: &'a NoticeId, _: Option<Handle>) -> BoxFuture<'a, ()> {
        Box::pin(async {})
    }
}

impl LogFile {
    /// Opens the file; mode 0600 where it is new.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(crate) fn new(name: String, path: &Path) -> Result<Self, String> {
        let file = Self::open(path).map_err(|e| format!("file {}: {e}", path.display()))?;
        Ok(Self {
            name,
            path: path.to_owned(),
            file: Mutex::new(file),
        })
    }

    fn open(path: &Path) -> io::Result<File> {
        OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)
    }

    fn write(&self, notice: &Notice) -> io::Result<()> {
        use std::os::unix::fs::MetadataExt;
        let mut bytes = serde_json::to_vec(&Record::of(notice))?;
        bytes.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // Turned over by its keeper: the name is another file's now, or nobody's.
        let ours = file.metadata()?.ino();
        if std::fs::metadata(&self.path).map_or(true, |meta| meta.ino() != ours) {
            *file = Self::open(&self.path)?;
        }
        file.write_all(&bytes)
    }
}

impl Outlet for LogFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn show<'a>(
        &'a self,
        notice: &'a Notice,
        _: Option<Handle>,
    ) -> BoxFuture<'a, Result<Option<Handle>, OutletError>> {
        let failed =
            |e: io::Error| OutletError::Unavailable(format!("{}: {e}", self.path.display()));
        let written = self.write(notice).map(|()| None).map_err(failed);
        Box::pin(async move { written })
    }

    fn withdraw<'a>(&'a self, _: &'a NoticeId, _: Option<Handle>) -> BoxFuture<'a, ()> {
        Box::pin(async {})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notice::{NoticeKind, TaskName};
    use std::fs;

    fn notice(body: &str) -> Notice {
        let task = TaskName::new("shop", "fix-42").unwrap();
        Notice::new(NoticeId("a".into()), task, NoticeKind::Complete, body)
    }

    #[test]
    fn a_terminal_gets_the_task_first_and_no_escape() {
        let mut out = Vec::new();
        Terminal::print(&notice("one\u{1b}[2J\ntwo"), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.ends_with("fix-42: done: one[2J\n         two\n"),
            "{text:?}"
        );
    }

    #[tokio::test]
    async fn a_log_has_a_json_line_a_notice_also_after_it_was_turned_over() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("log");
        let log = LogFile::new("log".into(), &file).unwrap();
        log.show(&notice("a\nb"), None).await.unwrap();
        fs::rename(&file, dir.path().join("log.1")).unwrap();
        log.show(&notice("c"), None).await.unwrap();
        for (name, text) in [("log.1", "a\nb"), ("log", "c")] {
            let line = fs::read_to_string(dir.path().join(name)).unwrap();
            let record: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(
                (&record["text"], &record["title"]),
                (&text.into(), &"fix-42: done".into())
            );
            assert_eq!(line.lines().count(), 1);
        }
    }

    #[test]
    fn a_log_that_cannot_be_opened_says_where() {
        let error = LogFile::new("log".into(), Path::new("/nonexistent/log")).unwrap_err();
        assert!(error.contains("/nonexistent/log"), "{error}");
    }
}
