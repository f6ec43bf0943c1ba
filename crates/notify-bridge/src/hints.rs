//! "Look now": the kernel says that a directory got a new name. Only ever a hint; scanning is the
//! truth, and finds everything by itself a little later.
//!
//! Straight on inotify and not over a crate for it: the watch is put on the directory that is held,
//! so nothing can be swapped under it; only two kinds of events are asked for, so that our own
//! reading and removing wake nobody; and there is no thread, no queue and no path in memory for an
//! agent to fill. A queue that overflows in the kernel (`IN_Q_OVERFLOW`) means: look everywhere.

use std::collections::HashMap;
use std::hash::Hash;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;

/// Events of one reading. The kernel's queue holds 16,384; the rest is read next time.
const MOST: usize = 4096;

/// A new name, whole: made or moved in. Nothing that our own work does.
const WATCHED: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::ONLYDIR);

/// What was heard.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard<K> {
    /// In these directories, each named once.
    In(Vec<K>),
    /// Too much to say where.
    Everywhere,
}

/// Watches on directories, each with what its owner calls it.
#[derive(Debug)]
pub(crate) struct Hints<K> {
    inotify: AsyncFd<OwnedFd>,
    watched: HashMap<i32, K>,
}

impl<K: Clone + Eq + Hash + Ord> Hints<K> {
    /// Nothing watched yet. Needs a runtime.
    ///
    /// # Errors
    /// Where the user's inotify instances are used up.
    pub(crate) fn new() -> io::Result<Self> {
        let inotify = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        #[expect(
            deprecated,
            reason = "unsound only for types whose descriptor changes under it, which an OwnedFd does not; its successor is an unsafe function"
        )]
        let inotify = AsyncFd::new(inotify)?;
        Ok(Self {
            inotify,
            watched: HashMap::new(),
        })
    }

    /// Watches a directory that is held open. Twice is once.
    ///
    /// # Errors
    /// Where the user's watches are used up, or there is no `/proc`.
    pub(crate) fn watch(&mut self, directory: impl AsFd, key: K) -> io::Result<()> {
        let held = format!("/proc/self/fd/{}", directory.as_fd().as_raw_fd());
        let watch = add_watch(self.inotify.get_ref(), held, WATCHED)?;
        self.watched.insert(watch, key);
        Ok(())
    }

    /// Waits until there is something to hear. Cancel safe.
    ///
    /// # Errors
    /// Never in practice.
    pub(crate) async fn heard(&mut self) -> io::Result<Heard<K>> {
        loop {
            let mut guard = self.inotify.readable().await?;
            let mut buffer = [MaybeUninit::<u8>::uninit(); 4096];
            let mut reader = Reader::new(self.inotify.get_ref(), &mut buffer);
            let (mut keys, mut everywhere, mut gone) = (Vec::new(), false, Vec::new());
            for _ in 0..MOST {
                match reader.next() {
                    Ok(event) => {
                        everywhere |= event.events().contains(ReadFlags::QUEUE_OVERFLOW);
                        if event.events().contains(ReadFlags::IGNORED) {
                            // The directory is gone, and perhaps another one is in its place.
                            everywhere = true;
                            gone.push(event.wd());
                        }
                        keys.extend(self.watched.get(&event.wd()));
                    }
                    Err(Errno::AGAIN) => {
                        guard.clear_ready();
                        break;
                    }
                    Err(Errno::INTR) => {}
                    Err(e) => return Err(e.into()),
                }
                // Thousands of events are about a few directories.
                if keys.len() >= 64 {
                    keys.sort_unstable();
                    keys.dedup();
                }
            }
            drop(guard);
            keys.sort_unstable();
            keys.dedup();
            let keys: Vec<K> = keys.into_iter().cloned().collect();
            for watch in gone {
                self.watched.remove(&watch);
            }
            if everywhere {
                return Ok(Heard::Everywhere);
            }
            if !keys.is_empty() {
                return Ok(Heard::In(keys));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool_file::hold;
    use std::fs;

    #[tokio::test]
    async fn new_names_are_heard_by_directory_and_our_own_work_is_not() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(one.path().join("old"), "x").unwrap();
        let mut hints = Hints::new().unwrap();
        for (dir, key) in [(&one, 1), (&two, 2)] {
            hints.watch(hold(dir.path()).unwrap(), key).unwrap();
            hints.watch(hold(dir.path()).unwrap(), key).unwrap();
        }
        fs::read(one.path().join("old")).unwrap();
        fs::remove_file(one.path().join("old")).unwrap();
        fs::write(two.path().join("a.tmp"), "x").unwrap();
        fs::rename(two.path().join("a.tmp"), two.path().join("a")).unwrap();
        assert_eq!(hints.heard().await.unwrap(), Heard::In(vec![2]));
        fs::create_dir(one.path().join("b")).unwrap();
        assert_eq!(hints.heard().await.unwrap(), Heard::In(vec![1]));
    }

    #[tokio::test]
    async fn a_directory_that_is_gone_is_forgotten() {
        let (parent, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let child = parent.path().join("child");
        fs::create_dir(&child).unwrap();
        let mut hints = Hints::new().unwrap();
        hints.watch(hold(&child).unwrap(), 1).unwrap();
        hints.watch(hold(other.path()).unwrap(), 2).unwrap();
        fs::remove_dir(&child).unwrap();
        fs::write(other.path().join("a"), "x").unwrap();
        assert_eq!(hints.heard().await.unwrap(), Heard::Everywhere);
        assert_eq!(hints.watched.len(), 1);
    }

    #[tokio::test]
    async fn w124_an_overflowing_queue_means_everywhere() {
        let most = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
        let most: usize = most.trim().parse().unwrap();
        if most > 200_000 {
            // What would be shown takes too many events here.
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let mut hints = Hints::new().unwrap();
        hints.watch(hold(dir.path()).unwrap(), 1).unwrap();
        let names = [dir.path().join("a"), dir.path().join("b")];
        fs::write(&names[0], "x").unwrap();
        for turn in 0..=most {
            fs::rename(&names[turn % 2], &names[(turn + 1) % 2]).unwrap();
        }
        let mut heard = hints.heard().await.unwrap();
        for _ in 0..most {
            if heard == Heard::Everywhere {
                break;
            }
            heard = hints.heard().await.unwrap();
        }
        assert_eq!(heard, Heard::Everywhere);
    }
}
