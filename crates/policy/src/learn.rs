//! From what was seen to what would have been enough: events in, a whitelist to review out.
//!
//! Pure. The events were made by requests, and the requests by whoever is fenced in: every name in
//! them goes through the one parser, nothing is proposed but exact names with their port, and the
//! memory for them is bounded. What cannot be proposed is told in a comment.

mod diff;
mod evidence;
mod fold;
mod notes;
mod paths;
mod proposal;
mod render;
mod seen;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::num::NonZeroU16;

pub use self::diff::Current;
use self::evidence::Evidence;
pub use self::proposal::Proposal;
use self::seen::{Manner, Seen};
use crate::event::{Event, Moment, Protocol, Text, Word};
use crate::host::Host;
use crate::reason::Reason;
use crate::rule::owner;
use crate::target::Target;

/// The most targets that are remembered; what comes after them is counted.
pub const MAX_TARGETS: usize = 10_000;
/// The most of them below one owner's name.
pub const MAX_BELOW: usize = 256;
/// The most listeners that are named.
const MAX_LISTENERS: usize = 16;

/// What to take as seen.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Options {
    /// Propose what was refused, too.
    pub include_refused: bool,
    /// Only the events of this listener.
    pub listener: Option<String>,
}

/// Takes in events.
#[derive(Debug, Default)]
pub struct Learner {
    options: Options,
    targets: BTreeMap<Target, Seen>,
    /// How many targets there are below an owner's name.
    below: HashMap<String, usize>,
    listeners: BTreeSet<Text>,
    tally: Tally,
}

/// Counts of what is told in sums only.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Tally {
    events: u64,
    /// Of another listener.
    elsewhere: u64,
    /// Requests whose host is not one, or whose port is none.
    no_target: u64,
    /// Events whose target found no room.
    no_room: u64,
    all: Evidence,
}

impl Learner {
    /// Nothing seen yet.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            ..Self::default()
        }
    }

    /// How many events were taken in, those of other listeners included.
    pub fn events(&self) -> u64 {
        self.tally.events
    }

    /// Takes in one event.
    pub fn see(&mut self, event: &Event) {
        let tally = &mut self.tally;
        tally.events += 1;
        if self.listeners.len() < MAX_LISTENERS {
            self.listeners.insert(event.listener.clone());
        }
        if let Some(wanted) = &self.options.listener
            && event.listener != Text::new(wanted)
        {
            tally.elsewhere += 1;
            return;
        }
        // A question that was answered is followed by the request that it was asked for.
        if event.protocol == Protocol::Dns && event.verdict != Word::Deny {
            return;
        }
        tally.all.note(event);
        let Some(target) = target(event) else {
            tally.no_target += u64::from(event.event == Moment::Decision);
            return;
        };
        if !self.targets.contains_key(&target) {
            let owner = target.host().name().map(|name| owner(name.as_str()));
            let below = self.below.entry(owner.unwrap_or_default().to_owned());
            let below = below.or_default();
            if self.targets.len() >= MAX_TARGETS || *below >= MAX_BELOW {
                tally.no_room += 1;
                return;
            }
            *below += 1;
        }
        let manner = self.manner(event);
        self.targets.entry(target).or_default().take(event, manner);
    }

    /// What the event says about whether the target may be proposed.
    fn manner(&self, event: &Event) -> Manner {
        match (event.event, event.verdict) {
            (_, Word::Deny) if self.options.include_refused && was_not_listed(event.reason) => {
                Manner::RefusedAndWanted
            }
            (_, Word::Deny) => Manner::Refused,
            // It went ahead, and only because nothing is enforced: an allowing line would not help.
            (Moment::Decision, Word::Report) if event.reason == Reason::RuleDenied => {
                Manner::Refused
            }
            (Moment::Closed, Word::Allow | Word::Report) => Manner::Passed,
            (Moment::Decision, Word::Allow | Word::Report) => {
                // Told without a status: the client had gone before anything was reached.
                let gone =
                    event.status.is_none() && event.address.is_none() && event.route.is_none();
                let failed = gone
                    || matches!(
                        event.reason,
                        Reason::ResolveFailed
                            | Reason::ConnectFailed
                            | Reason::UpstreamFailed
                            | Reason::TimedOut
                    );
                if failed {
                    Manner::Failed
                } else {
                    Manner::Passed
                }
            }
        }
    }

    /// What would have been enough for it.
    pub fn propose(self) -> Proposal {
        Proposal::new(self.targets, &self.below, self.listeners, self.tally)
    }
}

/// Whether an allowing line is what was missing.
fn was_not_listed(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::NotListed | Reason::PortNotListed | Reason::MethodNotListed | Reason::PathNotListed
    )
}

/// The target of an event, if its text is canonical to the letter: the proxy writes no other, so
/// everything else was written by somebody else.
fn target(event: &Event) -> Option<Target> {
    let text = event.host.as_str();
    // Events have IPv6 addresses without brackets.
    let host = match text.parse::<IpAddr>() {
        Ok(ip) => Host::Ip(ip),
        Err(_) => Host::parse(text).ok()?,
    };
    let port = NonZeroU16::new(event.port)?;
    (host.to_string() == text).then(|| Target::new(host, port))
}
