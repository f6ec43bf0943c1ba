//! The tunnels that are open, so that a tightened policy can end those it no longer allows.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use agentnet_policy::{Ask, Grant, Reason, Request, Target, Verdict};
use futures_util::task::AtomicWaker;
use jiff::Timestamp;

use crate::active::Active;
use crate::budget::Budget;
use crate::listener::Listener;

/// What one open tunnel was granted, and how to end it.
#[derive(Debug)]
pub struct Entry {
    /// Where it goes.
    pub target: Target,
    /// The address it is connected to; a tightened address rule must be able to close it.
    pub address: SocketAddr,
    /// What it was granted as.
    pub ask: Kind,
    /// The purse it spends from.
    pub purse: Option<Arc<Budget>>,
    /// When its rule ends by itself, in milliseconds of Unix time; `i64::MAX` is never.
    expires: AtomicI64,
    stop: Stop,
}

/// What the request behind a tunnel was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// CONNECT.
    Tunnel,
    /// A plain request that was upgraded.
    Http {
        /// Its method.
        method: http::Method,
        /// Its path.
        path: String,
    },
}

#[derive(Debug, Default)]
struct Stop {
    /// 0, or the position of a reason in `Reason::ALL` plus one.
    reason: AtomicU8,
    waker: AtomicWaker,
}

impl Entry {
    /// Ready once somebody has called [`Entry::stop`].
    pub fn poll_stop(&self, cx: &mut Context<'_>) -> Poll<Reason> {
        if let Some(reason) = self.stopped() {
            return Poll::Ready(reason);
        }
        self.stop.waker.register(cx.waker());
        // Again, or a stop between the look and the registration would be missed.
        self.stopped().map_or(Poll::Pending, Poll::Ready)
    }

    /// True once its rule may have ended by itself.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        now.as_millisecond() >= self.expires.load(Ordering::Relaxed)
    }

    /// Asks the policy again, and ends the tunnel if it would not be opened today.
    pub fn judge_again(&self, listener: &Listener, active: &Active) {
        match self.regrant(listener, active) {
            Some(grant) => self
                .expires
                .store(millis(grant.expires()), Ordering::Relaxed),
            None => self.stop(Reason::PolicyChanged),
        }
    }

    fn regrant(&self, listener: &Listener, active: &Active) -> Option<Grant> {
        let ask = match &self.ask {
            Kind::Tunnel => Ask::Tunnel,
            Kind::Http { method, path } => Ask::Http {
                method: method.as_str(),
                path,
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
        let around = listener.shared.surroundings.load();
        active
            .policy
            .admit(&grant, &[self.address.ip()], &around)
            .ok()?;
        if matches!(self.ask, Kind::Http { .. }) && !grant.raw() {
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

    /// Ends the tunnel; it sees this at its next poll, which is now.
    pub fn stop(&self, reason: Reason) {
        let position = Reason::ALL
            .iter()
            .position(|known| *known == reason)
            .unwrap_or_default();
        let code = u8::try_from(position + 1).unwrap_or(u8::MAX);
        self.stop.reason.store(code, Ordering::Release);
        self.stop.waker.wake();
    }

    fn stopped(&self) -> Option<Reason> {
        let code = self.stop.reason.load(Ordering::Acquire);
        Reason::ALL.get(usize::from(code).checked_sub(1)?).copied()
    }
}

/// The open tunnels of one listener.
#[derive(Clone, Default)]
pub struct Live {
    entries: Arc<Mutex<Slots>>,
}

#[derive(Default)]
struct Slots {
    used: Vec<Option<Arc<Entry>>>,
    free: Vec<usize>,
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").finish_non_exhaustive()
    }
}

impl Live {
    fn slots(&self) -> MutexGuard<'_, Slots> {
        match self.entries.lock() {
            Ok(slots) => slots,
            Err(poisoned) => poisoned.into_inner(),
        }
    }

    /// Adds a tunnel; it leaves when the membership is dropped.
    #[must_use]
    pub fn enter(
        &self,
        target: Target,
        address: SocketAddr,
        ask: Kind,
        purse: Option<Arc<Budget>>,
        expires: Option<Timestamp>,
    ) -> Member {
        let expires = AtomicI64::new(millis(expires));
        let entry = Entry {
            target,
            address,
            ask,
            purse,
            expires,
            stop: Stop::default(),
        };
        let entry = Arc::new(entry);
        let mut slots = self.slots();
        let slot = match slots.free.pop() {
            Some(slot) => slot,
            None => {
                slots.used.push(None);
                slots.used.len() - 1
            }
        };
        if let Some(place) = slots.used.get_mut(slot) {
            *place = Some(Arc::clone(&entry));
        }
        drop(slots);
        Member {
            live: self.clone(),
            slot,
            entry,
        }
    }

    /// Ends all: the proxy is going.
    pub fn stop_all(&self) {
        for entry in self.all() {
            entry.stop(Reason::Allowed);
        }
    }

    /// All that are open now. Judging happens on the copy, outside the lock.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Entry>> {
        self.slots().used.iter().flatten().cloned().collect()
    }
}

fn millis(expires: Option<Timestamp>) -> i64 {
    expires.map_or(i64::MAX, Timestamp::as_millisecond)
}

/// A tunnel's place among the open ones.
#[derive(Debug)]
pub struct Member {
    live: Live,
    slot: usize,
    entry: Arc<Entry>,
}

impl Member {
    /// The tunnel's entry.
    #[must_use]
    pub fn entry(&self) -> &Entry {
        &self.entry
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut slots = self.live.slots();
        if let Some(place) = slots.used.get_mut(self.slot) {
            *place = None;
            slots.free.push(self.slot);
        }
    }
}
