//! Who shows notifications: the bus, the daemon on it, what it can do, and which life of it this is.

use std::fmt;

use zbus::Connection;
use zbus::address::Address;

use super::call::NotificationsProxy;
use crate::outlet::Handle;

/// Which bus to talk to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bus {
    /// The person's: `DBUS_SESSION_BUS_ADDRESS`, else `bus` in the runtime directory.
    Session,
    /// This one, in D-Bus notation: `unix:path=/run/user/1000/bus`.
    At(String),
}

impl Bus {
    /// Where it is.
    ///
    /// # Errors
    /// An address that no bus can have.
    pub(super) fn address(&self) -> zbus::Result<Address> {
        let named = match self {
            Self::Session => Address::session(),
            Self::At(text) => text.parse(),
        }?;
        // Without the id of the bus that wrote it: a bus that was restarted has another one.
        Ok(Address::new(named.transport().clone()))
    }
}

/// What there is on the other side.
#[derive(Clone, Debug)]
pub(super) enum Link {
    /// Nobody has looked yet, or who is there has not said what it can do.
    Unknown,
    /// No bus, and why.
    Away(String),
    /// A bus, and nobody on it who shows notifications.
    Alone(Connection),
    /// A daemon that has said what it can do.
    Present(Daemon),
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("the notification daemon has not answered yet"),
            Self::Away(why) => f.write_str(why),
            Self::Alone(_) => f.write_str("nobody on the session bus shows notifications"),
            Self::Present(daemon) => {
                let Capabilities {
                    markup, actions, ..
                } = daemon.capabilities;
                let has = |it: bool| if it { "" } else { "no " };
                let (markup, actions) = (has(markup), has(actions));
                write!(f, "{} ({markup}markup, {actions}buttons)", daemon.name)
            }
        }
    }
}

/// A notification daemon that is alive.
#[derive(Clone, Debug)]
pub(super) struct Daemon {
    /// Calls to exactly this one.
    pub(super) proxy: NotificationsProxy<'static>,
    /// What it calls itself, for people.
    pub(super) name: String,
    /// Which of all the daemons of this session it is.
    pub(super) life: Life,
    /// What it said that it can do.
    pub(super) capabilities: Capabilities,
}

/// What matters to us of a daemon's abilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Capabilities {
    /// Shows a body, not only a title.
    pub(super) body: bool,
    /// Reads the body as markup, so that it has to be escaped.
    pub(super) markup: bool,
    /// Has buttons.
    pub(super) actions: bool,
}

impl Capabilities {
    /// Out of the words of `GetCapabilities`.
    pub(super) fn of(words: &[String]) -> Self {
        let has = |word: &str| words.iter().any(|said| said == word);
        Self {
            body: has("body"),
            markup: has("body-markup"),
            actions: has("actions"),
        }
    }
}

/// One life of one daemon. Ids count from the start in each life, so an id of another life may be
/// somebody else's notification: it is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life(u32);

impl Life {
    /// Of the daemon that has this unique name on the bus with this id; neither is ever used twice.
    pub(super) fn of(bus: &str, owner: &str) -> Self {
        // FNV-1a: a name for the record, nothing that anybody attacks.
        let bytes = bus.bytes().chain([0]).chain(owner.bytes());
        Self(bytes.fold(0x811c_9dc5, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        }))
    }

    /// What the bridge keeps for a notification of this life.
    pub(super) fn handle(self, id: u32) -> Handle {
        Handle(u64::from(self.0) << 32 | u64::from(id))
    }

    /// The id of a handle, if it is of this life.
    pub(super) fn id(self, handle: Handle) -> Option<u32> {
        let id = u32::try_from(handle.0 & u64::from(u32::MAX)).ok()?;
        (handle == self.handle(id)).then_some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_good_for_its_own_life_only() {
        let life = Life::of("4a5b", ":1.7");
        assert_eq!(life.id(life.handle(3)), Some(3));
        for other in [Life::of("4a5b", ":1.8"), Life::of("4a5c", ":1.7")] {
            assert_eq!(other.id(life.handle(3)), None);
        }
        assert_eq!(life.id(Handle(3)), None);
    }

    #[test]
    fn a_daemon_can_what_it_says_and_nothing_else() {
        let words = |said: &[&str]| said.iter().map(ToString::to_string).collect::<Vec<_>>();
        let all = Capabilities::of(&words(&["actions", "body", "body-markup", "sound"]));
        assert!(all.actions && all.body && all.markup);
        let none = Capabilities::of(&words(&["body-hyperlinks", "action-icons", "Body"]));
        assert_eq!(none, Capabilities::default());
    }

    #[test]
    fn an_address_is_used_without_the_id_of_the_bus_that_wrote_it() {
        let id = "0123456789abcdef0123456789abcdef";
        let bus = Bus::At(format!("unix:path=/run/x/bus,guid={id}"));
        let address = bus.address().unwrap().to_string();
        assert!(!address.contains(id), "{address}");
        assert!(Bus::At("nonsense".to_owned()).address().is_err());
    }
}
