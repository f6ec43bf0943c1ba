//! A plain request and its response while their bodies flow: counted, charged, and judged again when
//! the policy has changed under them.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use agentnet_policy::{Ask, Reason, Request, Target, Verdict};
use jiff::Timestamp;

use crate::budget::Budget;
use crate::endpoint::Link;
use crate::listener::Session;
use crate::record::Record;
use crate::tunnel::Direction;

/// What both bodies of an exchange share. The last of them to go tells the journal.
#[derive(Debug)]
pub struct Exchange {
    session: Arc<Session>,
    target: Target,
    method: http::Method,
    path: String,
    generation: AtomicU64,
    purse: Option<Arc<Budget>>,
    up: AtomicU64,
    down: AtomicU64,
    /// The upstream connection that carries this exchange.
    upstream: Mutex<Link>,
    /// 0, or the position of the reason it broke off for in `Reason::ALL` plus one.
    broken: AtomicU8,
    /// Set once it was let through.
    record: OnceLock<Record>,
}

impl Exchange {
    /// Begins with what was granted in `generation`.
    #[must_use]
    pub fn begin(
        session: &Arc<Session>,
        target: Target,
        parts: &http::request::Parts,
        generation: u64,
        purse: Option<Arc<Budget>>,
    ) -> Self {
        Self {
            session: Arc::clone(session),
            target,
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
            generation: AtomicU64::new(generation),
            purse,
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
            upstream: Mutex::default(),
            broken: AtomicU8::new(0),
            record: OnceLock::new(),
        }
    }

    /// It is now carried by this connection.
    pub fn set_upstream(&self, link: &Link) {
        match self.upstream.lock() {
            Ok(mut upstream) => *upstream = link.clone(),
            Err(poisoned) => *poisoned.into_inner() = link.clone(),
        }
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

    /// Counts bytes; for those that go up, takes them from the purse first.
    ///
    /// # Errors
    /// When the purse does not hold them: none of them may go.
    pub fn pass(&self, direction: Direction, bytes: usize) -> Result<(), Reason> {
        let counter = match direction {
            Direction::Down => &self.down,
            Direction::Up => {
                if let Some(purse) = &self.purse {
                    let charged = purse.charge(bytes);
                    if charged < bytes {
                        purse.refund(charged);
                        return Err(Reason::BudgetSpent);
                    }
                }
                &self.up
            }
        };
        counter.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Asks the policy again if it has changed. A body looks here before each piece, so that a
    /// tightened policy stops the flow at the next byte.
    ///
    /// # Errors
    /// When the request would be refused today.
    pub fn check(&self) -> Result<(), Reason> {
        let active = self.session.listener.policy.now();
        if active.generation == self.generation.load(Ordering::Relaxed) {
            return Ok(());
        }
        let ask = Ask::Http {
            method: self.method.as_str(),
            path: &self.path,
        };
        let request = Request {
            target: self.target.clone(),
            ask,
        };
        match active.policy.judge(request, Timestamp::now()) {
            Verdict::Allow(_) | Verdict::Report(..) => {
                self.generation.store(active.generation, Ordering::Relaxed);
                Ok(())
            }
            Verdict::Deny(_) => Err(Reason::PolicyChanged),
        }
    }

    /// It broke off: neither side may take what it got for the whole.
    pub fn break_off(&self, reason: Reason) {
        let position = Reason::ALL
            .iter()
            .position(|known| *known == reason)
            .unwrap_or_default();
        let code = u8::try_from(position + 1).unwrap_or(u8::MAX);
        self.broken.store(code, Ordering::Relaxed);
        match self.upstream.lock() {
            Ok(upstream) => upstream.abort(),
            Err(poisoned) => poisoned.into_inner().abort(),
        }
    }

    /// Why it broke off, if it did.
    #[must_use]
    pub fn broken(&self) -> Option<Reason> {
        let code = self.broken.load(Ordering::Relaxed);
        Reason::ALL.get(usize::from(code).checked_sub(1)?).copied()
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(record) = self.record.take() {
            let (up, down) = self.moved();
            record.closed(self.broken().unwrap_or(Reason::Allowed), up, down);
        }
    }
}
