//! A file that an archive is kept in. What stops it is remembered: the engine only says that nobody reads.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use fs_err::os::unix::fs::OpenOptionsExt;
use tokio::io::AsyncWrite;

use crate::error::{Error, Result};

/// Why it stopped.
#[derive(Debug, Clone, Default)]
pub(super) struct Trouble(Arc<Mutex<Option<Error>>>);

impl Trouble {
    /// The reason, if there is one, instead of what followed from it.
    pub(super) fn over<T>(&self, outcome: Result<T>) -> Result<T> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(error),
            None => outcome,
        }
    }

    fn set(&self, error: Error) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(error);
    }
}

/// A new file for its owner alone, of at most so many bytes.
#[derive(Debug)]
pub(super) struct Kept {
    file: tokio::fs::File,
    left: u64,
    most: u64,
    what: String,
    trouble: Trouble,
}

impl Kept {
    pub(super) fn new(path: &Path, most: u64, what: String) -> Result<Kept> {
        let mut options = fs_err::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        Ok(Kept {
            file: tokio::fs::File::from_std(options.open(path)?.into()),
            left: most,
            most,
            what,
            trouble: Trouble::default(),
        })
    }

    pub(super) fn trouble(&self) -> Trouble {
        self.trouble.clone()
    }

    fn noted<T>(&self, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(e)) = &poll {
            let error = io::Error::new(e.kind(), format!("storing {}: {e}", self.what));
            self.trouble.set(Error::Io(error));
        }
        poll
    }
}

impl AsyncWrite for Kept {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if bytes.len() as u64 > self.left {
            self.trouble.set(Error::Failed(format!(
                "{} are more than {}; --exclude leaves something out, --max-size takes more",
                self.what,
                crate::ceiling::binary(self.most)
            )));
            return Poll::Ready(Err(io::Error::other("the limit is passed")));
        }
        let poll = Pin::new(&mut self.file).poll_write(cx, bytes);
        if let Poll::Ready(Ok(written)) = poll {
            self.left = self.left.saturating_sub(written as u64);
        }
        self.noted(poll)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.file).poll_flush(cx);
        self.noted(poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.file).poll_shutdown(cx);
        self.noted(poll)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::exit::Exit;

    #[tokio::test]
    async fn more_than_the_limit_is_said_with_what_helps() {
        let dir = tempfile::tempdir().unwrap();
        let mut kept = Kept::new(&dir.path().join("a"), 3, "the files of task t".into()).unwrap();
        let trouble = kept.trouble();
        kept.write_all(b"abc").await.unwrap();
        trouble.over(Ok(())).unwrap();
        kept.write_all(b"d").await.unwrap_err();
        let error = trouble.over(Ok(())).unwrap_err().to_string();
        assert!(
            error.starts_with("the files of task t are more than 3 bytes;"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_full_disk_is_the_reason_and_not_that_nobody_reads() {
        // The kernel's own full disk.
        let full = std::fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let mut kept = Kept {
            file: tokio::fs::File::from_std(full),
            left: 1 << 20,
            most: 1 << 20,
            what: "x".into(),
            trouble: Trouble::default(),
        };
        let trouble = kept.trouble();
        let written = kept.write_all(&[0; 4096]).await;
        written.and(kept.flush().await).unwrap_err();
        let broken: Result<()> = Err(Error::Failed("nobody reads".into()));
        let error = trouble.over(broken).unwrap_err();
        assert_eq!(error.exit(), Exit::Exhausted, "{error}");
    }
}
