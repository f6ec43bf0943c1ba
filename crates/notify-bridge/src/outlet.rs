//! Where notices go, and how answers come back.

pub(crate) mod command;
pub mod desktop;
pub(crate) mod line;
pub(crate) mod mount;
pub(crate) mod webhook;

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use crate::notice::{Notice, NoticeId};

/// What an outlet calls a notice that it has shown (on D-Bus: the server's id). Kept over restarts
/// of the bridge, so that an open one can be shown again in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Handle(pub u64);

/// Why a notice was not shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutletError {
    /// Certainly not shown, and a later attempt may succeed: no daemon, no network.
    #[error("{0}")]
    Unavailable(String),
    /// Certainly not shown, and never will be.
    #[error("{0}")]
    Refused(String),
    /// Perhaps shown: it is not tried again, because nothing is shown twice.
    #[error("{0}")]
    Unknown(String),
}

/// One place that shows notices. The bridge calls `show` for one notice at a time and asks again after
/// [`OutletError::Unavailable`], at growing intervals; an outlet needs no queue and no retry.
pub trait Outlet: Send + Sync {
    /// Its name in configuration, logs and metrics.
    fn name(&self) -> &str;

    /// Shows a notice. `earlier` is what it was called here when it, or the one that it replaces, was
    /// shown before, perhaps by an earlier process: it is then shown in that place.
    fn show<'a>(
        &'a self,
        notice: &'a Notice,
        earlier: Option<Handle>,
    ) -> BoxFuture<'a, Result<Option<Handle>, OutletError>>;

    /// Whether a person can click on what it shows. What waits for a click is shown there again after a
    /// restart, because a click reaches only who sent it.
    fn takes_clicks(&self) -> bool {
        false
    }

    /// How many notices may be on their way at once. More than one only where order does not matter.
    fn at_once(&self) -> usize {
        1
    }

    /// Takes a notice away that is answered or too old. What cannot be taken back stays.
    fn withdraw<'a>(&'a self, id: &'a NoticeId, handle: Option<Handle>) -> BoxFuture<'a, ()>;
}

/// A click.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// On which notice.
    pub notice: NoticeId,
    /// The key of the choice.
    pub choice: String,
}

/// What an outlet tells the bridge on its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Feedback {
    /// The person picked something.
    Answered(Answered),
    /// The person closed it, or the daemon did: it is not shown again.
    Dismissed(NoticeId),
    /// What an outlet calls a notice of which it said that nobody knows whether it was shown.
    Placed {
        /// Which one.
        notice: NoticeId,
        /// Whose.
        outlet: String,
        /// Its place.
        handle: Handle,
    },
    /// Whatever was on the screen of this outlet is gone (the daemon restarted): open notices are
    /// shown again there.
    Lost(String),
}

/// Where an outlet sends its [`Feedback`].
pub type FeedbackSender = mpsc::Sender<Feedback>;
