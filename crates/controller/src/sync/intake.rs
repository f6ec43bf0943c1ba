//! Objects of a task come into the user's repository: checked in a directory of their own first, where
//! nothing of the repository sees them.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use crate::error::{Error, Result};
use crate::extractor::Sink;
use crate::workspace::Repository;
use crate::workspace::command::{Git, failure, not_started};

/// Memory that `git index-pack` may have: a delta of a kilobyte can ask for gigabytes.
const MEMORY: u64 = 4 << 30;
/// Seconds of a CPU that it may burn.
const SECONDS: u64 = 1800;
/// More objects than this are no work of a task's.
const OBJECTS: u32 = 5_000_000;

/// New objects that the repository does not see yet.
#[derive(Debug)]
pub(super) struct Quarantine<'a> {
    repository: &'a Repository,
    objects: PathBuf,
    place: PathBuf,
}

impl<'a> Quarantine<'a> {
    /// An empty one. A killed one is removed by a later `git gc`, which knows the name.
    pub(super) async fn new(repository: &'a Repository) -> Result<Quarantine<'a>> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let objects = repository.objects().await?;
        let (id, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let now = jiff::Timestamp::now().as_nanosecond();
        let place = objects.join(format!("tmp_objdir-agentnet-{id}-{count}-{now}"));
        fs_err::create_dir_all(place.join("pack"))?;
        Ok(Quarantine {
            repository,
            objects,
            place,
        })
    }

    /// git with the new objects first and the repository's own behind.
    fn git(&self) -> Git {
        Git::at(self.repository.root())
            .env("GIT_OBJECT_DIRECTORY", &self.place)
            .env("GIT_ALTERNATE_OBJECT_DIRECTORIES", quoted(&self.objects))
            .env("GIT_QUARANTINE_PATH", &self.place)
    }

    /// Takes a pack in; every object is checked. `false`: there was nothing in it.
    pub(super) async fn receive(
        &self,
        from: &mut (impl AsyncRead + Unpin),
        limit: u64,
    ) -> Result<bool> {
        let mut head = [0; 12];
        if from.read_exact(&mut head).await.is_err() || !head.starts_with(b"PACK") {
            return Err(Error::Failed(
                "the task's container sent no pack of objects".into(),
            ));
        }
        let [.., a, b, c, d] = head;
        let count = u32::from_be_bytes([a, b, c, d]);
        if count == 0 {
            return Ok(false);
        }
        if count > OBJECTS {
            return Err(Error::Failed(format!(
                "the task has {count} new objects; at most {OBJECTS} are brought over"
            )));
        }
        let size = format!("--max-input-size={limit}");
        let args = [
            "index-pack",
            "--strict",
            "--fsck-objects",
            "--keep=agentnet",
            &size,
            "--stdin",
        ];
        let doing = "checking what the task has";
        let mut command = self.git().args(args).command();
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(|e| not_started(doing, &e))?;
        confine(&child, limit)?;
        let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
        let feed = async {
            if let Some(mut stdin) = stdin {
                // It may have refused already: its words are the story.
                if stdin.write_all(&head).await.is_ok() {
                    drop(tokio::io::copy(from, &mut stdin).await);
                }
            }
        };
        let mut words = Sink::new(16 << 10);
        let listen = async {
            if let Some(mut stderr) = stderr {
                drop(tokio::io::copy(&mut stderr, &mut words).await);
            }
        };
        let ((), (), status) = tokio::join!(feed, listen, child.wait());
        if status?.success() {
            return Ok(true);
        }
        Err(refused(failure(doing, &words.take())))
    }

    /// Is everything there that these lead to?
    pub(super) async fn is_connected(&self, tips: &[&str], promisor: bool) -> Result<()> {
        let mut args = vec!["rev-list", "--objects", "--stdin", "--quiet"];
        if promisor {
            args.push("--exclude-promisor-objects");
        }
        args.extend(["--not", "--all"]);
        let input: String = tips.iter().map(|tip| format!("{tip}\n")).collect();
        let doing = "checking what the task has";
        match self.git().args(args).input(input).text(doing).await {
            Ok(_) => Ok(()),
            Err(e) => Err(refused(e)),
        }
    }

    /// The types of objects, as git says them.
    pub(super) async fn types(&self, tips: &[&str]) -> Result<Vec<String>> {
        let input: String = tips.iter().map(|tip| format!("{tip}\n")).collect();
        let git = self.git().args(["cat-file", "--batch-check=%(objecttype)"]);
        let text = git.input(input).text("cat-file").await?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Moves the objects into the repository, the index last: git looks for that. They are kept from a
    /// gc until [`Admitted::release`].
    pub(super) fn admit(self) -> Result<Admitted> {
        let mut names: Vec<_> = fs_err::read_dir(self.place.join("pack"))?
            .map(|entry| entry.map(|e| e.file_name()))
            .collect::<std::io::Result<_>>()?;
        let rank = |name: &std::ffi::OsString| {
            let ending = Path::new(name).extension().and_then(|e| e.to_str());
            match ending {
                Some("keep") => 0,
                Some("pack") => 1,
                Some("idx") => 3,
                Some(_) | None => 2,
            }
        };
        names.sort_by_key(rank);
        let pack = self.objects.join("pack");
        fs_err::create_dir_all(&pack)?;
        let mut keeps = Vec::new();
        for name in names {
            let to = pack.join(&name);
            fs_err::rename(self.place.join("pack").join(&name), &to)?;
            if rank(&name) == 0 {
                keeps.push(to);
            }
        }
        Ok(Admitted { keeps })
    }
}

impl Drop for Quarantine<'_> {
    fn drop(&mut self) {
        drop(fs_err::remove_dir_all(&self.place));
    }
}

/// Objects that are in the repository and that no ref leads to yet.
#[derive(Debug)]
pub(super) struct Admitted {
    keeps: Vec<PathBuf>,
}

impl Admitted {
    /// Refs lead to them now: a gc may do with them what it does with others.
    pub(super) fn release(self) -> Result<()> {
        for keep in &self.keeps {
            crate::paths::remove_if_there(keep)?;
        }
        Ok(())
    }
}

/// A disk without room says nothing about what the task committed.
fn refused(error: Error) -> Error {
    if matches!(error, Error::Io(_)) {
        return error;
    }
    let why = error.to_string();
    let why = why.trim_start_matches("git checking what the task has: ");
    Error::Failed(format!(
        "what the task committed is refused: {why}; nothing was brought over, and the task's own \
         repository is as it was"
    ))
}

/// A list of directories with colons between: a path that holds one is quoted.
fn quoted(path: &Path) -> std::ffi::OsString {
    let text = path.to_string_lossy();
    if text.contains([':', '"', '\\']) {
        let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
        return format!("\"{escaped}\"").into();
    }
    path.as_os_str().to_owned()
}

/// Before it was given a byte: it reads only what we write.
fn confine(child: &tokio::process::Child, limit: u64) -> Result<()> {
    let pid = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw);
    let ceilings = [
        (Resource::Data, MEMORY),
        (Resource::Cpu, SECONDS),
        // Its index is smaller than the pack, or small.
        (Resource::Fsize, limit.saturating_mul(2).max(1 << 30)),
    ];
    for (resource, most) in ceilings {
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        prlimit(pid, resource, limit).map_err(std::io::Error::from)?;
    }
    Ok(())
}
