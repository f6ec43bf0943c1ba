//! What a listener does beside deciding.

use std::net::IpAddr;

use agentnet_policy::tinyproxy::LogLevel;

use crate::clients::Clients;
use crate::manners::Manners;
use crate::upstream::Routes;
use crate::words::Filtered;

/// The own addresses that hosts and parents are dialled from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bind {
    /// In this order, of those of the right family; none leaves it to the system.
    pub addresses: Vec<IpAddr>,
    /// Before them the one that the client came to.
    pub same: bool,
}

impl Bind {
    /// The addresses for a client that came to `local`.
    #[must_use]
    pub fn of(&self, local: Option<IpAddr>) -> Vec<IpAddr> {
        let same = local.filter(|_| self.same);
        same.into_iter()
            .chain(self.addresses.iter().copied())
            .collect()
    }
}

/// Everything about a listener that is not its policy and that a reload may change. A request holds
/// the [`Active`](crate::active::Active) that it began with, so it sees one policy and the conduct
/// that belongs to it, never a mix of two loads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conduct {
    /// Who may use it.
    pub clients: Clients,
    /// How its clients are treated; `None` where nothing of that was asked for.
    pub manners: Option<Box<Manners>>,
    /// The own addresses that it dials from.
    pub bind: Bind,
    /// What its filter file looks at, as Tinyproxy's log names it, if it has one.
    pub filtered: Option<Filtered>,
    /// The least important lines of a log in Tinyproxy's words; `None` leaves it as it is.
    pub log_level: Option<LogLevel>,
    /// The way to what was granted.
    pub routes: Routes,
}
