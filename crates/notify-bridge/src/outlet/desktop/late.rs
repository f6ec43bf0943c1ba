//! Calls that a daemon has not answered in time. It may still show what it was told, and then the id is
//! all that makes a click on it good.

use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Notify;

use super::call::Failure;
use super::daemon::Daemon;
use super::shown::{Call, Shown};

/// Calls that are waited for, at most.
const MOST: usize = 32;

/// A call under way.
pub(super) struct Waiting {
    pub(super) daemon: Daemon,
    pub(super) call: Call,
    pub(super) answer: BoxFuture<'static, Result<u32, Failure>>,
}

/// One that has come to its end.
pub(super) struct Answered {
    pub(super) daemon: Daemon,
    pub(super) call: Call,
    pub(super) answer: Result<u32, Failure>,
}

/// All of them.
#[derive(Default)]
pub(super) struct Late {
    calls: Mutex<FuturesUnordered<BoxFuture<'static, Answered>>>,
    more: Notify,
}

impl std::fmt::Debug for Late {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Late")
            .field("calls", &self.calls().len())
            .finish()
    }
}

impl Late {
    fn calls(&self) -> MutexGuard<'_, FuturesUnordered<BoxFuture<'static, Answered>>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on waiting for one, unless there are too many.
    pub(super) fn put(&self, waiting: Waiting, shown: &mut Shown) {
        let calls = self.calls();
        if calls.len() >= MOST {
            return shown.give_up(waiting.call);
        }
        calls.push(Box::pin(async move {
            let Waiting {
                daemon,
                call,
                answer,
            } = waiting;
            let answer = answer.await;
            Answered {
                daemon,
                call,
                answer,
            }
        }));
        drop(calls);
        self.more.notify_one();
    }

    /// The next one that ends. Cancel safe.
    pub(super) async fn next(&self) -> Answered {
        loop {
            let next = std::future::poll_fn(|context| self.calls().poll_next_unpin(context));
            tokio::select! {
                Some(answered) = next => return answered,
                () = self.more.notified() => {}
            }
        }
    }

    /// Who was asked is gone.
    pub(super) fn clear(&self) {
        self.calls().clear();
    }
}
