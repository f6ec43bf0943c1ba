//! Everything that runs beside the accept loops: tracked, so that a drain can wait for it, and
//! fenced, so that a panic ends the one task it happened in and is counted.

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use prometheus::IntCounter;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::diagnostic;

/// A handle to the app's tasks; clones are the same handle.
#[derive(Clone)]
pub struct Tasks {
    tracker: TaskTracker,
    drain: CancellationToken,
    stop: CancellationToken,
    panics: IntCounter,
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks")
            .field("running", &self.tracker.len())
            .finish_non_exhaustive()
    }
}

impl Tasks {
    /// An empty set; panics are counted in `panics`.
    #[must_use]
    pub fn new(panics: IntCounter) -> Self {
        Self {
            tracker: TaskTracker::new(),
            drain: CancellationToken::new(),
            stop: CancellationToken::new(),
            panics,
        }
    }

    /// Runs `task`; `name` is what a panic is reported under.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let panics = self.panics.clone();
        // Combinators and not an async block: that would hold the task twice, as what it captured
        // and as what it awaits, and an idle tunnel is mostly its task.
        self.tracker
            .spawn(AssertUnwindSafe(task).catch_unwind().map(move |ended| {
                if ended.is_err() {
                    panics.inc();
                    diagnostic::error(format_args!("a {name} task panicked; only that one ended"));
                }
            }));
    }

    /// Cancelled when no new work is to begin.
    #[must_use]
    pub fn drain(&self) -> &CancellationToken {
        &self.drain
    }

    /// Cancelled when work that is still running must end.
    #[must_use]
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Resolves when the last task has ended.
    pub async fn finished(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn counts_a_panic_and_goes_on() {
        let panics = IntCounter::new("panics", "panics").unwrap();
        let tasks = Tasks::new(panics.clone());
        let (tell, told) = tokio::sync::oneshot::channel();
        tasks.spawn("broken", async { panic!("as told") });
        tasks.spawn("sound", async move { tell.send(()).unwrap() });
        told.await.unwrap();
        tasks.finished().await;
        assert_eq!(panics.get(), 1);
    }
}
