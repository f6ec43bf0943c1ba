//! The tunnels that are open, so that a tightened policy can end those it no longer allows.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use agentnet_policy::Reason;
use futures_util::task::AtomicWaker;

use crate::active::Active;
use crate::listener::Listener;
use crate::standing::{Ending, Standing};

/// One open tunnel, and how to end it.
#[derive(Debug)]
pub struct Entry {
    /// What it was granted.
    pub standing: Standing,
    /// The address it is connected to; a tightened address rule must be able to close it. `None`
    /// where a parent resolved the name.
    pub address: Option<IpAddr>,
    ending: Ending,
    waker: AtomicWaker,
}

impl Entry {
    /// Ready once somebody has called [`Entry::stop`].
    pub fn poll_stop(&self, cx: &mut Context<'_>) -> Poll<Reason> {
        if let Some(reason) = self.ending.get() {
            return Poll::Ready(reason);
        }
        self.waker.register(cx.waker());
        // Again, or a stop between the look and the registration would be missed.
        self.ending.get().map_or(Poll::Pending, Poll::Ready)
    }

    /// Asks the policy again, and ends the tunnel if it would not be opened today.
    pub fn judge_again(&self, listener: &Listener, active: &Active) {
        if !self.standing.holds(listener, active, self.address) {
            self.stop(Reason::PolicyChanged);
        }
    }

    /// Ends the tunnel; it sees this at its next poll, which is now.
    pub fn stop(&self, reason: Reason) {
        self.ending.set(reason);
        self.waker.wake();
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
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a tunnel; it leaves when the membership is dropped.
    #[must_use]
    pub fn enter(&self, standing: Standing, address: Option<IpAddr>) -> Member {
        let entry = Arc::new(Entry {
            standing,
            address,
            ending: Ending::default(),
            waker: AtomicWaker::new(),
        });
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
