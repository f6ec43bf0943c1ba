//! What comes into the bridge from our own side, besides the files.

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use crate::notice::{Notice, NoticeId};

/// From a source that the agent cannot write to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// Tell the person. One with choices stays open until it is answered, dismissed, withdrawn or
    /// past its `until`, and is shown again in place after a restart.
    Show(Box<Notice>),
    /// It is settled elsewhere (allowed in `agentnet watch`, the task is gone): take it away.
    Withdraw(NoticeId),
}

/// Where a source sends them. It is bounded: a source waits, it never piles up.
pub type IncomingSender = mpsc::Sender<Incoming>;

/// Who acts on a click: one for each kind that can carry choices.
pub trait Answerer: Send + Sync {
    /// Does what the person picked; `choice` is one of the notice's own keys. The text is told to the
    /// person in the notice's place: what was done, or why it was not.
    fn answer<'a>(
        &'a self,
        notice: &'a Notice,
        choice: &'a str,
    ) -> BoxFuture<'a, Result<String, String>>;
}
