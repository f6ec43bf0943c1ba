//! Desktop notifications: `org.freedesktop.Notifications` on the session bus.
//!
//! [`Desktop::run`] keeps a connection and knows who shows notifications now: it reads what that
//! daemon can do when it appears, passes its signals on, and says [`Feedback::Lost`](crate::outlet::Feedback::Lost) when another
//! one takes its place. [`Desktop::show`] talks to the daemon whose abilities it has read, by that
//! daemon's own bus name: a text that was escaped for one is never shown by another.
//!
//! No call is waited for longer than `PATIENCE`, so a daemon that hangs holds up this outlet and nothing
//! else; an answer that comes later still makes the buttons of what it shows good. Signals are never
//! waited with: what comes before the id that it is about is kept for it.

mod call;
mod daemon;
mod late;
mod message;
mod run;
mod shown;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::notice::{Notice, NoticeId};
use crate::outlet::{FeedbackSender, Handle, Outlet, OutletError};
use daemon::{Daemon, Link};
use late::{Late, Waiting};
use message::Message;
use shown::Shown;

pub use daemon::Bus;

/// Longest wait for an answer of the bus or of the daemon.
const PATIENCE: Duration = Duration::from_secs(3);

/// Longest wait for a daemon that the bus has just started to say what it can do.
const APPEARS: Duration = Duration::from_secs(2);

/// The outlet `desktop`.
#[derive(Debug)]
pub struct Desktop {
    bus: Bus,
    feedback: FeedbackSender,
    link: watch::Sender<Link>,
    shown: Mutex<Shown>,
    late: Late,
}

impl Desktop {
    /// An outlet that is not connected: nothing is shown before [`Self::run`] is polled.
    #[must_use]
    pub fn new(bus: Bus, feedback: FeedbackSender) -> Self {
        Self {
            bus,
            feedback,
            link: watch::Sender::new(Link::Unknown),
            shown: Mutex::default(),
            late: Late::default(),
        }
    }

    /// What is on the screen. Never held while anything is waited for.
    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who shows notifications now, in one line for `status`; or why nobody does.
    #[must_use]
    pub fn state(&self) -> String {
        self.link.borrow().to_string()
    }

    /// The daemon that is there, started by the bus if it can be.
    async fn daemon(&self) -> Result<Daemon, OutletError> {
        let mut changes = self.link.subscribe();
        // The first look takes milliseconds, and an alert that waited for a bridge waits for it.
        let looked = changes.wait_for(|link| !matches!(link, Link::Unknown));
        drop(timeout(APPEARS, looked).await);
        let link = self.link.borrow().clone();
        let connection = match link {
            Link::Present(daemon) => return Ok(daemon),
            Link::Unknown | Link::Away(_) => {
                return Err(OutletError::Unavailable(link.to_string()));
            }
            Link::Alone(connection) => connection,
        };
        call::start_daemon(&connection).await?;
        let present = changes.wait_for(|link| matches!(link, Link::Present(_)));
        if let Ok(Ok(link)) = timeout(APPEARS, present).await
            && let Link::Present(daemon) = &*link
        {
            return Ok(daemon.clone());
        }
        Err(OutletError::Unavailable(
            "the notification daemon that was started says nothing".to_owned(),
        ))
    }

    async fn show_now(
        &self,
        notice: &Notice,
        earlier: Option<Handle>,
    ) -> Result<Option<Handle>, OutletError> {
        let daemon = self.daemon().await?;
        let message = Message::of(notice, daemon.capabilities, SystemTime::now());
        let in_place_of = earlier.and_then(|handle| daemon.life.id(handle));
        // From here on a click may come before the id that it is about.
        let call = self.shown().call(notice, in_place_of);
        let mut answer = Box::pin(call::notify(
            daemon.clone(),
            in_place_of.unwrap_or(0),
            message,
        ));
        match timeout(PATIENCE, &mut answer).await {
            Ok(answer) => self.answered(&daemon, call, answer).await,
            Err(_) => {
                let waiting = Waiting {
                    daemon: daemon.clone(),
                    call,
                    answer,
                };
                self.late.put(waiting, &mut self.shown());
                Err(OutletError::Unknown(format!(
                    "{} did not answer within {} s",
                    daemon.name,
                    PATIENCE.as_secs()
                )))
            }
        }
    }

    /// What the daemon said to a call, in time or late.
    async fn answered(
        &self,
        daemon: &Daemon,
        call: shown::Call,
        answer: Result<u32, call::Failure>,
    ) -> Result<Option<Handle>, OutletError> {
        let notice = call.notice.clone();
        let (result, early) = match answer {
            Ok(id) => {
                let early = self.shown().answered(call, id);
                (Ok(Some(daemon.life.handle(id))), early)
            }
            Err(failure) => {
                let mut shown = self.shown();
                shown.give_up(call);
                let error = match failure {
                    call::Failure::Died(why) => shown.died(&notice, why),
                    call::Failure::Outlet(error) => error,
                };
                (Err(error), None)
            }
        };
        if let Some(feedback) = early {
            self.tell(feedback).await;
        }
        result
    }

    async fn withdraw_now(&self, id: &NoticeId, handle: Option<Handle>) {
        let Link::Present(daemon) = self.link.borrow().clone() else {
            return;
        };
        // Forgotten first: that it closes is no answer of the person's.
        let known = self.shown().remove(id);
        let Some(id) = known.or_else(|| daemon.life.id(handle?)) else {
            return;
        };
        call::close(&daemon, id).await;
    }
}

impl Outlet for Desktop {
    fn name(&self) -> &str {
        run::NAME
    }

    fn takes_clicks(&self) -> bool {
        true
    }

    fn show<'a>(
        &'a self,
        notice: &'a Notice,
        earlier: Option<Handle>,
    ) -> BoxFuture<'a, Result<Option<Handle>, OutletError>> {
        Box::pin(self.show_now(notice, earlier))
    }

    fn withdraw<'a>(&'a self, id: &'a NoticeId, handle: Option<Handle>) -> BoxFuture<'a, ()> {
        Box::pin(self.withdraw_now(id, handle))
    }
}
