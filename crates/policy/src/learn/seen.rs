//! What was seen of one target.

use std::net::IpAddr;

use super::evidence::Evidence;
use super::paths::Paths;
use crate::address::{AddressClass, classify};
use crate::event::{Event, Moment, Protocol};
use crate::reason::Reason;

/// What an event says about whether its target may be proposed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Manner {
    /// It went ahead and something was reached.
    Passed,
    /// It was refused, and refusals are wanted.
    RefusedAndWanted,
    /// It was refused.
    Refused,
    /// It was allowed and reached nothing.
    Failed,
}

/// A request as a policy is asked for it: `None` is a tunnel, else method and path.
pub(super) type Ask = Option<(String, String)>;

/// Everything about one target.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Seen {
    /// What a line is proposed for.
    pub(super) wanted: Evidence,
    /// How many of those were refused.
    pub(super) wanted_refused: u64,
    pub(super) tunnel: bool,
    /// What was wrong with a tunnel's first bytes, the first time.
    pub(super) greeting: Option<Reason>,
    pub(super) paths: Paths,
    pub(super) refused: Evidence,
    pub(super) failed: Evidence,
    /// The first of those: a line that allows it was of use, although nobody answered.
    pub(super) failed_ask: Option<Ask>,
    /// Why, the first time.
    pub(super) why: Option<Reason>,
    /// An address that was dialled and that is not public.
    pub(super) inside: Option<IpAddr>,
}

impl Seen {
    pub(super) fn take(&mut self, event: &Event, manner: Manner) {
        let inside = |ip: &IpAddr| classify(*ip) != AddressClass::Public;
        self.inside = self.inside.or(event.address.filter(inside));
        match manner {
            Manner::Passed => self.want(event),
            Manner::RefusedAndWanted => {
                self.wanted_refused = self.wanted_refused.saturating_add(1);
                self.want(event);
            }
            Manner::Refused => {
                self.refused.note(event);
                self.why = self.why.or(Some(event.reason));
            }
            Manner::Failed => {
                self.failed.note(event);
                self.failed_ask.get_or_insert_with(|| match event.protocol {
                    Protocol::Connect | Protocol::Tls | Protocol::Dns | Protocol::Raw => None,
                    Protocol::Http => {
                        let path = event.path.as_ref().map_or("", |path| path.as_str());
                        Some((event.method.to_string(), path.to_owned()))
                    }
                });
                self.why = self.why.or(Some(event.reason));
            }
        }
    }

    fn want(&mut self, event: &Event) {
        self.wanted.note(event);
        match event.protocol {
            Protocol::Connect | Protocol::Tls | Protocol::Dns | Protocol::Raw => {
                self.tunnel = true;
                let wrong = event.reason.is_of_greeting().then_some(event.reason);
                self.greeting = self.greeting.or(wrong);
            }
            Protocol::Http => {
                // The end of a request says the same path again, unless the log began after its decision.
                let again = event.event == Moment::Closed && self.wanted.has_decisions();
                let path = event.path.as_ref().map_or("", |path| path.as_str());
                self.paths.see(event.method.as_str(), path, again);
            }
        }
    }
}
