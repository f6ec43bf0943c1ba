//! What a listener does beside deciding.

use agentnet_policy::tinyproxy::LogLevel;

use crate::clients::Clients;
use crate::manners::Manners;
use crate::upstream::Routes;
use crate::words::Filtered;

/// Everything about a listener that is not its policy and that a reload may change. A request holds
/// the [`Active`](crate::active::Active) that it began with, so it sees one policy and the conduct
/// that belongs to it, never a mix of two loads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conduct {
    /// Who may use it.
    pub clients: Clients,
    /// How its clients are treated; `None` where nothing of that was asked for.
    pub manners: Option<Box<Manners>>,
    /// What its filter file looks at, as Tinyproxy's log names it, if it has one.
    pub filtered: Option<Filtered>,
    /// The least important lines of a log in Tinyproxy's words; `None` leaves it as it is.
    pub log_level: Option<LogLevel>,
    /// The way to what was granted.
    pub routes: Routes,
}
