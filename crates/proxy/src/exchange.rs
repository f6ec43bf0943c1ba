//! A plain request and its response while their bodies flow: counted, charged, and judged again when
//! the policy has changed under them.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use agentnet_policy::Reason;

use crate::budget::Charge;
use crate::endpoint::Link;
use crate::listener::Session;
use crate::record::Record;
use crate::standing::{Ending, Standing};
use crate::tunnel::Direction;

/// What both bodies of an exchange share. The last of them to go tells the journal.
#[derive(Debug)]
pub struct Exchange {
    session: Arc<Session>,
    standing: Standing,
    /// Of the policy that last allowed it.
    generation: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
    upstream: Mutex<Option<Upstream>>,
    /// Why it broke off.
    broken: Ending,
    /// Set once it was let through.
    record: OnceLock<Record>,
}

/// The upstream connection that carries an exchange.
#[derive(Debug)]
struct Upstream {
    link: Link,
    address: Option<IpAddr>,
}

impl Exchange {
    /// Begins with what was granted in `generation`.
    #[must_use]
    pub fn begin(session: &Arc<Session>, standing: Standing, generation: u64) -> Self {
        Self {
            session: Arc::clone(session),
            standing,
            generation: AtomicU64::new(generation),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
            upstream: Mutex::default(),
            broken: Ending::default(),
            record: OnceLock::new(),
        }
    }

    fn upstream(&self) -> MutexGuard<'_, Option<Upstream>> {
        self.upstream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It is now carried by this connection.
    pub fn set_upstream(&self, link: &Link, address: Option<IpAddr>) {
        let link = link.clone();
        *self.upstream() = Some(Upstream { link, address });
    }

    /// It was let through: from here on the end is recorded as well.
    pub fn passed(&self, record: Record) {
        // Only one response can come.
        self.record.set(record).ok();
    }

    /// Whose exchange it is.
    #[must_use]
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Bytes that went up and down so far.
    #[must_use]
    pub fn moved(&self) -> (u64, u64) {
        (
            self.up.load(Ordering::Relaxed),
            self.down.load(Ordering::Relaxed),
        )
    }

    /// Counts bytes; takes those that go up from the purse first, all of them or none.
    #[must_use]
    pub fn pass(&self, direction: Direction, bytes: usize) -> Charge {
        let (counter, purse) = match direction {
            Direction::Down => (&self.down, None),
            Direction::Up => (&self.up, self.standing.purse()),
        };
        let charge = match purse {
            Some(purse) => purse.charge_all(bytes),
            None => Charge::Taken(bytes),
        };
        if let Charge::Taken(bytes) = charge {
            counter.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        charge
    }

    /// The same, and waits for the purse to know.
    ///
    /// # Errors
    /// When the purse does not hold them: none of them may go.
    pub async fn passes(&self, direction: Direction, bytes: usize) -> Result<(), Reason> {
        loop {
            match self.pass(direction, bytes) {
                Charge::Taken(_) => return Ok(()),
                Charge::Spent => return Err(Reason::BudgetSpent),
                Charge::Wait(changed) => changed.await,
            }
        }
    }

    /// Nothing of what was paid for has left.
    pub fn unsent(&self) {
        let bytes = self.up.swap(0, Ordering::Relaxed);
        if let Some(purse) = self.standing.purse() {
            purse.refund(usize::try_from(bytes).unwrap_or(usize::MAX));
        }
    }

    /// Asks the policy again if it has changed, or the rule may have ended. A body looks here before
    /// each piece, so that the flow stops at the next byte.
    ///
    /// # Errors
    /// When the request would be refused today.
    pub fn check(&self) -> Result<(), Reason> {
        let listener = &self.session.listener;
        let active = listener.policy.now();
        let judged = self.generation.load(Ordering::Relaxed);
        if active.generation == judged && !self.standing.is_due() {
            return Ok(());
        }
        let address = self
            .upstream()
            .as_ref()
            .and_then(|upstream| upstream.address);
        if !self.standing.holds(listener, &active, address) {
            return Err(Reason::PolicyChanged);
        }
        self.generation.store(active.generation, Ordering::Relaxed);
        Ok(())
    }

    /// It broke off: neither side may take what it got for the whole.
    pub fn break_off(&self, reason: Reason) {
        self.broken.set(reason);
        if let Some(upstream) = self.upstream().as_ref() {
            upstream.link.abort();
        }
    }

    /// Why it broke off, if it did.
    #[must_use]
    pub fn broken(&self) -> Option<Reason> {
        self.broken.get()
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let (up, down) = self.moved();
        let metrics = &self.session.listener.metrics;
        metrics.http_up.inc_by(up);
        metrics.http_down.inc_by(down);
        if let Some(record) = self.record.take() {
            record.closed(self.broken().unwrap_or(Reason::Allowed), up, down);
        }
    }
}
