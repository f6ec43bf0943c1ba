//! The life of the connection: who is on the bus, and what they signal.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::{sleep, timeout};
use zbus::connection::Builder;
use zbus::fdo::{DBusProxy, NameOwnerChangedStream};
use zbus::names::{MemberName, OwnedUniqueName, WellKnownName};
use zbus::{Connection, Message, Proxy};

use super::call::NotificationsProxy;
use super::daemon::{Capabilities, Daemon, Life, Link};
use super::late::Answered;
use super::shown::Signal;
use super::{Desktop, PATIENCE};
use crate::outlet::Feedback;

/// The name in configuration, logs and metrics.
pub(super) const NAME: &str = "desktop";

/// Who shows notifications on a bus.
pub(super) const SERVICE: &str = "org.freedesktop.Notifications";

/// The first and the longest pause between two attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Messages that may wait for us. A daemon that tells everybody of everything it closes sends more
/// than zbus' own 64 while one call is under way.
const QUEUE: std::num::NonZeroUsize = std::num::NonZeroUsize::new(1024).unwrap();

/// Which daemons this process has met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Met {
    /// One that lives, or none was looked for yet.
    Present,
    /// Nobody was there, or who was there is gone: the next one shows an empty screen.
    Gone,
}

impl Desktop {
    /// Keeps the connection for ever: through a bus that is not there yet, that goes and comes back,
    /// and through daemons that do. Dropping the future disconnects.
    pub async fn run(&self) {
        let mut met = Met::Present;
        let mut pause = FIRST_PAUSE;
        loop {
            let why = match self.connect().await {
                Ok(connection) => {
                    pause = FIRST_PAUSE;
                    let ended = self.follow(&connection, &mut met).await;
                    ended.err().map_or_else(
                        || "the session bus went away".to_owned(),
                        |error| format!("the session bus: {error}"),
                    )
                }
                Err(why) => format!("no session bus: {why}"),
            };
            self.link.send_replace(Link::Away(why));
            self.late.clear();
            self.shown().clear();
            met = Met::Gone;
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn connect(&self) -> Result<Connection, String> {
        let address = self.bus.address().map_err(|error| error.to_string())?;
        let building = Builder::address(address).max_queued(QUEUE).build();
        match timeout(PATIENCE, building).await {
            Ok(built) => built.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        }
    }

    /// One connection, until it ends.
    async fn follow(&self, connection: &Connection, met: &mut Met) -> zbus::Result<()> {
        let bus = DBusProxy::new(connection).await?;
        // Before the first question, so that no change falls between.
        let mut changes = bus
            .receive_name_owner_changed_with_args(&[(0, SERVICE)])
            .await?;
        let service = WellKnownName::try_from(SERVICE)?;
        let mut owner = bus.get_name_owner(service.into()).await.ok();
        loop {
            let next = if let Some(name) = owner.take() {
                self.meet(connection, name, &mut changes, met).await?
            } else {
                *met = Met::Gone;
                self.link.send_replace(Link::Alone(connection.clone()));
                change(connection, &mut changes).await?
            };
            match next {
                Some(next) => owner = next,
                None => return Ok(()),
            }
        }
    }

    /// One daemon, until another one or none has its place (`Some`), or the bus is gone (`None`).
    async fn meet(
        &self,
        connection: &Connection,
        owner: OwnedUniqueName,
        changes: &mut NameOwnerChangedStream,
        met: &mut Met,
    ) -> zbus::Result<Option<Option<OwnedUniqueName>>> {
        self.link.send_replace(Link::Unknown);
        let proxy = NotificationsProxy::builder(connection)
            .destination(owner.clone())
            .build()
            .await?;
        let life = Life::of(connection.server_guid().as_str(), owner.as_str());
        // Before anything is shown: the signals of what is shown come through here, in their order.
        let mut signals = Proxy::new(connection, owner, "/org/freedesktop/Notifications", SERVICE)
            .await?
            .receive_all_signals()
            .await?;
        let daemon = tokio::select! {
            daemon = ask(proxy, life) => daemon,
            next = change(connection, changes) => return next,
        };
        self.link.send_replace(Link::Present(daemon));
        if *met == Met::Gone {
            *met = Met::Present;
            self.tell(Feedback::Lost(NAME.to_owned())).await;
        }
        let next = loop {
            tokio::select! {
                biased;
                signal = signals.next() => match signal {
                    Some(signal) => self.heard(&signal).await,
                    None => break None,
                },
                late = self.late.next() => self.came_late(late).await,
                next = change(connection, changes) => break next?,
            }
        };
        *met = Met::Gone;
        self.late.clear();
        self.shown().clear();
        Ok(next)
    }

    /// One signal of the daemon's. Anybody's notifications may be in it.
    async fn heard(&self, signal: &Message) {
        let header = signal.header();
        let body = signal.body();
        let feedback = match header.member().map(MemberName::as_str) {
            Some("ActionInvoked") => {
                let Ok((id, action)) = body.deserialize::<(u32, &str)>() else {
                    return;
                };
                self.shown().heard(id, Signal::Clicked(action.to_owned()))
            }
            Some("NotificationClosed") => {
                let Ok((id, _reason)) = body.deserialize::<(u32, u32)>() else {
                    return;
                };
                self.shown().heard(id, Signal::Closed)
            }
            _ => None,
        };
        if let Some(feedback) = feedback {
            self.tell(feedback).await;
        }
    }

    /// A daemon that hung has shown it after all: now its buttons are good, and it can be taken away.
    async fn came_late(&self, late: Answered) {
        let Answered {
            daemon,
            call,
            answer,
        } = late;
        let (notice, asks) = (call.notice.clone(), call.asks());
        if let Ok(Some(handle)) = self.answered(&daemon, call, answer).await
            && asks
        {
            let outlet = NAME.to_owned();
            self.tell(Feedback::Placed {
                notice,
                outlet,
                handle,
            })
            .await;
        }
    }

    pub(super) async fn tell(&self, feedback: Feedback) {
        // Nobody listens only while the bridge ends.
        drop(self.feedback.send(feedback).await);
    }
}

/// Who has the service's name next, if the connection lives to hear it.
async fn change(
    connection: &Connection,
    changes: &mut NameOwnerChangedStream,
) -> zbus::Result<Option<Option<OwnedUniqueName>>> {
    tokio::select! {
        biased;
        change = changes.next() => match change {
            Some(change) => {
                let args = change.args()?;
                Ok(Some(args.new_owner().as_ref().map(|name| name.to_owned().into())))
            }
            None => Ok(None),
        },
        () = connection.closed() => Ok(None),
    }
}

/// What a daemon can do: asked until it answers. Until then nothing is shown, because its text could
/// be neither escaped nor left alone.
async fn ask(proxy: NotificationsProxy<'static>, life: Life) -> Daemon {
    let mut pause = FIRST_PAUSE;
    loop {
        let answer: Result<zbus::Result<Vec<String>>, _> =
            timeout(PATIENCE, proxy.get_capabilities()).await;
        if let Ok(Ok(words)) = answer {
            let named = timeout(PATIENCE, proxy.get_server_information()).await;
            let name = match named {
                Ok(Ok((name, _, version, _))) => format!("{name} {version}"),
                _ => "the notification daemon".to_owned(),
            };
            return Daemon {
                proxy,
                name: crate::text::line(&name, 60).to_string(),
                life,
                capabilities: Capabilities::of(&words),
            };
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
