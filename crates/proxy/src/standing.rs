//! What an open tunnel or exchange was granted, and whether it still would be.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};

use agentnet_policy::{Ask, Grant, Mode, Reason, Request, Target, Verdict};
use jiff::Timestamp;

use crate::active::Active;
use crate::budget::Budget;
use crate::listener::Listener;

/// A grant in use.
#[derive(Debug)]
pub struct Standing {
    target: Target,
    kind: Kind,
    purse: Option<Arc<Budget>>,
    /// Whose it is; the list of clients may change.
    client: Option<IpAddr>,
    /// When its rule ends by itself, in milliseconds of Unix time; `i64::MAX` is never.
    expires: AtomicI64,
}

/// What the request was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// CONNECT whose first bytes were checked, or are about to be.
    Tunnel,
    /// CONNECT whose bytes nobody looks at.
    Opaque,
    /// A plain request.
    Plain(Asked),
    /// A plain request whose connection became a tunnel.
    Upgraded(Asked),
}

/// What a plain request asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its method.
    pub method: http::Method,
    /// Its path and query.
    pub path: String,
}

impl Standing {
    /// What `grant` opened for `client`, paid for from `purse`.
    #[must_use]
    pub fn new(
        grant: &Grant,
        kind: Kind,
        purse: Option<Arc<Budget>>,
        client: Option<IpAddr>,
    ) -> Self {
        Self {
            target: grant.target().clone(),
            kind,
            purse,
            client,
            expires: AtomicI64::new(millis(grant.expires())),
        }
    }

    /// The purse it spends from.
    #[must_use]
    pub fn purse(&self) -> Option<&Arc<Budget>> {
        self.purse.as_ref()
    }

    /// True once its rule may have ended by itself.
    #[must_use]
    pub fn is_due(&self) -> bool {
        let expires = self.expires.load(Ordering::Relaxed);
        // Most never end: those need no look at the clock.
        expires != i64::MAX && Timestamp::now().as_millisecond() >= expires
    }

    /// Asks the policy again; false if it would not be granted today, to the address it is
    /// connected to.
    #[must_use]
    pub fn holds(&self, listener: &Listener, active: &Active, address: Option<IpAddr>) -> bool {
        let Some(grant) = self.regrant(listener, active, address) else {
            return false;
        };
        self.expires
            .store(millis(grant.expires()), Ordering::Relaxed);
        true
    }

    fn regrant(
        &self,
        listener: &Listener,
        active: &Active,
        address: Option<IpAddr>,
    ) -> Option<Grant> {
        // A list with names is asked when a connection comes in; no tunnel waits for a look-up.
        let clients = &active.conduct.clients;
        if clients.permits_at_once(self.client) == Some(false) {
            return None;
        }
        let ask = match &self.kind {
            Kind::Tunnel | Kind::Opaque => Ask::Tunnel,
            Kind::Plain(asked) | Kind::Upgraded(asked) => Ask::Http {
                method: asked.method.as_str(),
                path: &asked.path,
            },
        };
        let request = Request {
            target: self.target.clone(),
            ask,
        };
        let grant = match active.policy.judge(request, Timestamp::now()) {
            Verdict::Allow(grant) | Verdict::Report(grant, _) => grant,
            Verdict::Deny(_) => return None,
        };
        match address {
            Some(address) => {
                let around = listener.shared.surroundings.load();
                active.policy.admit(&grant, &[address], &around).ok()?;
            }
            // Where it leads is known to a parent only, which is good for names that a line allows.
            None if grant.reported() => return None,
            None => {}
        }
        let is_raw = matches!(self.kind, Kind::Upgraded(_) | Kind::Opaque);
        if is_raw && !grant.raw() && active.policy.mode() == Mode::Enforce {
            return None;
        }
        // A rule that has got a limit, or another purse: what flows here would not be charged to it.
        let same = match (listener.policy.purse(active, &grant), &self.purse) {
            (Some(new), Some(old)) => Arc::ptr_eq(&new, old),
            (Some(_), None) => false,
            (None, _) => true,
        };
        same.then_some(grant)
    }
}

fn millis(expires: Option<Timestamp>) -> i64 {
    expires.map_or(i64::MAX, Timestamp::as_millisecond)
}

/// Why something is to end, told from one task to another. Empty at first.
#[derive(Debug, Default)]
pub struct Ending(AtomicU8);

impl Ending {
    /// It is to end for this reason.
    pub fn set(&self, reason: Reason) {
        self.0.store(reason as u8 + 1, Ordering::Release);
    }

    /// Why it is to end, if it is.
    #[must_use]
    pub fn get(&self) -> Option<Reason> {
        let place = self.0.load(Ordering::Acquire).checked_sub(1)?;
        Reason::ALL.get(usize::from(place)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_every_reason_as_itself() {
        let ending = Ending::default();
        assert_eq!(ending.get(), None);
        for reason in Reason::ALL {
            ending.set(*reason);
            assert_eq!(ending.get(), Some(*reason));
        }
    }
}
