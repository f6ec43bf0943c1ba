//! The calls, each with an end, and what their failures mean.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::timeout;
use zbus::fdo::{self, DBusProxy};
use zbus::names::WellKnownName;
use zbus::{Connection, Variant};

use super::PATIENCE;
use super::daemon::Daemon;
use super::message::Message;
use super::run::SERVICE;
use crate::outlet::OutletError;

/// What the desktop shows as the sender.
const APPLICATION: &str = "agentnet";

/// The desktop entry and the icon that `agentnet-notify install` puts in place.
const ENTRY: &str = "agentnet-notify";

/// Longest wait for the bus to start a daemon; what it starts may have to be read from a disk.
const STARTS: Duration = Duration::from_secs(10);

/// The interface of the desktop's daemon: Desktop Notifications Specification 1.2.
#[zbus::proxy(
    interface = "org.freedesktop.Notifications",
    default_path = "/org/freedesktop/Notifications"
)]
pub(super) trait Notifications {
    fn get_capabilities(&self) -> zbus::Result<Vec<String>>;

    fn get_server_information(&self) -> zbus::Result<(String, String, String, String)>;

    #[allow(clippy::too_many_arguments, reason = "the specification's own")]
    fn notify(
        &self,
        app_name: &str,
        replaces_id: u32,
        app_icon: &str,
        summary: &str,
        body: &str,
        actions: &[&str],
        hints: &HashMap<&str, Variant<'_>>,
        expire_timeout: i32,
    ) -> zbus::Result<u32>;

    fn close_notification(&self, id: u32) -> zbus::Result<()>;
}

/// How a call to show something failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The daemon or the bus went away without an answer.
    Died(String),
    /// Anything else, in the bridge's words.
    Outlet(OutletError),
}

/// Shows a message; the daemon's id for it. It has no end of its own.
pub(super) async fn notify(
    daemon: Daemon,
    replaces: u32,
    message: Message,
) -> Result<u32, Failure> {
    let hints = HashMap::from([
        ("urgency", Variant::from(message.urgency)),
        ("category", Variant::from(message.category.as_str())),
        ("desktop-entry", Variant::from(ENTRY)),
    ]);
    let actions: Vec<&str> = message.actions.iter().map(String::as_str).collect();
    let call = daemon.proxy.notify(
        APPLICATION,
        replaces,
        ENTRY,
        &message.summary,
        &message.body,
        &actions,
        &hints,
        message.expires,
    );
    call.await.map_err(|error| failure(&daemon.name, &error))
}

/// Takes a notification from the screen, if it is there.
pub(super) async fn close(daemon: &Daemon, id: u32) {
    // One that is gone already is an error of the daemon's, and none of ours.
    drop(timeout(PATIENCE, daemon.proxy.close_notification(id)).await);
}

/// Asks the bus to start a daemon, as it does for anybody who calls one.
pub(super) async fn start_daemon(connection: &Connection) -> Result<(), OutletError> {
    let started = async {
        let bus = DBusProxy::new(connection).await?;
        let service = WellKnownName::try_from(SERVICE)?;
        bus.start_service_by_name(service, 0).await?;
        Ok::<_, fdo::Error>(())
    };
    let why = match timeout(STARTS, started).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", STARTS.as_secs()),
    };
    Err(OutletError::Unavailable(format!(
        "nobody on the session bus shows notifications, and the bus can start nobody: {why}"
    )))
}

/// What an error in answer to `Notify` means. What is not known to be passing is final: an alert that
/// the daemon will not have must not be offered to it for ever.
fn failure(daemon: &str, error: &zbus::Error) -> Failure {
    use fdo::Error as Known;
    let why = format!("{daemon}: {error}");
    let known = if let zbus::Error::FDO(known) = error {
        Some(&**known)
    } else {
        None
    };
    let died = matches!(error, zbus::Error::InputOutput(_))
        || matches!(known, Some(Known::NoReply(_) | Known::Disconnected(_)));
    if died {
        return Failure::Died(why);
    }
    let gone = matches!(
        known,
        Some(Known::ServiceUnknown(_) | Known::NameHasNoOwner(_))
    );
    // Desktops that limit how much one application may show have names of their own for it.
    let busy = matches!(known, Some(Known::LimitsExceeded(_) | Known::NoMemory(_)))
        || matches!(error, zbus::Error::MethodError(name, ..) if name.as_str().contains("Excess"));
    Failure::Outlet(if gone || busy {
        OutletError::Unavailable(why)
    } else {
        OutletError::Refused(why)
    })
}
