//! What may be sent under a line of the whitelist, and what has been.
//!
//! The purse belongs to what the rule says beside its limit, not to its line or to one load of the
//! file: neither a reload nor another limit may refill it. With a state directory it survives the
//! process as well: bytes are reserved in the [`Ledger`] before they may flow, a chunk at a time and
//! ahead of need, so that a crash loses what is left of a chunk and never gives anything back.

mod book;
mod key;
mod ledger;
mod purses;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;
use tokio::time::timeout;

pub use self::key::Key;
pub use self::ledger::Ledger;
pub use self::purses::{PurseSettings, Purses, State};

/// A purse reserves this part of its limit at a time: what a crash can lose.
const PARTS: u64 = 64;

/// And never less than this, where the limit has it: a reservation is a write to the disk.
const LEAST: u64 = 4096;

/// How often a ledger that failed, or that had nothing left, is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// How long a request waits for the ledger's first answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What became of bytes that are to be paid for.
#[derive(Debug)]
pub enum Charge {
    /// So many may go; at least one where any were asked for.
    Taken(usize),
    /// They may not.
    Spent,
    /// The ledger is being asked: ask again after this.
    Wait(OwnedNotified),
}

/// The bytes of one rule.
#[derive(Debug)]
pub struct Budget {
    key: Key,
    ledger: Option<Arc<Ledger>>,
    account: Mutex<Account>,
    changed: Arc<Notify>,
}

#[derive(Debug)]
struct Account {
    limit: u64,
    /// By this process.
    spent: u64,
    /// Reserved by others: processes before this one and beside it, with what crashes lost.
    elsewhere: u64,
    /// Reserved by this process and not spent; `None` where nothing is reserved.
    held: Option<u64>,
    /// The most that one charge waits for.
    needed: u64,
    /// Bytes have been asked for.
    used: bool,
    /// The ledger has been asked and has not answered.
    asked: bool,
    answered: Option<Instant>,
    /// The last answer was that nothing can be recorded.
    failed: bool,
}

impl Account {
    /// What is left of the limit, as far as is known here.
    fn left(&self) -> u64 {
        let gone = self.elsewhere.saturating_add(self.spent);
        self.limit.saturating_sub(gone)
    }

    /// What may go without asking anybody.
    fn ready(&self) -> u64 {
        self.held.map_or(self.left(), |held| held.min(self.left()))
    }

    fn chunk(&self) -> u64 {
        (self.limit / PARTS).max(LEAST)
    }

    /// What was spent before is known.
    fn is_known(&self) -> bool {
        self.held.is_none() || self.answered.is_some()
    }

    fn is_stale(&self) -> bool {
        self.answered.is_none_or(|then| then.elapsed() >= AGAIN)
    }
}

impl Budget {
    fn new(key: Key, limit: u64, ledger: Option<Arc<Ledger>>) -> Arc<Self> {
        let budget = Arc::new(Self {
            key,
            account: Mutex::new(Account {
                limit,
                spent: 0,
                elsewhere: 0,
                held: ledger.is_some().then_some(0),
                needed: 0,
                used: false,
                asked: false,
                answered: None,
                failed: false,
            }),
            ledger,
            changed: Arc::default(),
        });
        // What was spent before is to be seen before anything is sent.
        budget.ask(&mut budget.account());
        budget
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(self: &Arc<Self>, account: &mut Account) {
        if let Some(ledger) = self.ledger.as_ref().filter(|_| !account.asked) {
            account.asked = ledger.ask(Arc::clone(self));
        }
    }

    /// Takes up to `wanted` bytes, and at least one.
    pub fn charge(self: &Arc<Self>, wanted: usize) -> Charge {
        self.take(wanted, 1)
    }

    /// Takes `wanted` bytes or none.
    pub fn charge_all(self: &Arc<Self>, wanted: usize) -> Charge {
        self.take(wanted, wanted)
    }

    fn take(self: &Arc<Self>, wanted: usize, least: usize) -> Charge {
        // Made before the look, so that an answer in between is not missed.
        let changed = || Arc::clone(&self.changed).notified_owned();
        let mut account = self.account();
        account.used = true;
        let ready = usize::try_from(account.ready()).unwrap_or(usize::MAX);
        if ready >= least.min(wanted) {
            let taken = ready.min(wanted);
            account.spent += taken as u64;
            if let Some(held) = &mut account.held {
                *held -= taken as u64;
            }
            let low = account.chunk() / 2;
            let runs_low = account
                .held
                .is_some_and(|held| held < low && held < account.left());
            if runs_low && !account.failed {
                self.ask(&mut account);
            }
            return Charge::Taken(taken);
        }
        if account.left() < least as u64 || account.failed {
            self.look_again(&mut account);
            return Charge::Spent;
        }
        account.needed = account.needed.max(least as u64);
        let wait = changed();
        self.ask(&mut account);
        if account.asked {
            Charge::Wait(wait)
        } else {
            // The ledger is closed: the process is ending.
            Charge::Spent
        }
    }

    /// Gives back bytes that were taken and never sent.
    pub fn refund(&self, bytes: usize) {
        let mut account = self.account();
        account.spent = account.spent.saturating_sub(bytes as u64);
        if let Some(held) = &mut account.held {
            *held += bytes as u64;
        }
    }

    /// Waits until it is known what was spent before this process, for some seconds at most.
    pub async fn known(&self) {
        let known = async {
            loop {
                let changed = Arc::clone(&self.changed).notified_owned();
                if self.is_known() {
                    return;
                }
                changed.await;
            }
        };
        // A disk that does not answer: `is_spent` says that nothing may go.
        timeout(PATIENCE, known).await.ok();
    }

    fn is_known(&self) -> bool {
        self.account().is_known()
    }

    /// True when nothing may be sent any more, or nobody knows whether anything may.
    pub fn is_spent(self: &Arc<Self>) -> bool {
        let mut account = self.account();
        let dry = account.failed && account.ready() == 0;
        if account.left() == 0 || dry {
            self.look_again(&mut account);
        }
        account.left() == 0 || dry || !account.is_known()
    }

    /// Space may have been made, or another process may have given bytes back.
    fn look_again(self: &Arc<Self>, account: &mut Account) {
        if account.is_stale() {
            self.ask(account);
        }
    }

    /// What is wrong with the ledger, for whoever was refused because of it.
    #[must_use]
    pub fn trouble(&self) -> Option<&'static str> {
        let account = self.account();
        (account.failed || !account.is_known())
            .then_some("what is sent cannot be recorded at the moment")
    }

    /// Bytes sent, with those that are lost, and bytes allowed.
    #[must_use]
    pub fn state(&self) -> State {
        let account = self.account();
        State {
            spent: account.elsewhere.saturating_add(account.spent),
            limit: account.limit,
        }
    }

    fn set_limit(&self, limit: u64) {
        self.account().limit = limit;
    }

    /// For the ledger: the limit, and how much more to reserve.
    fn wish(&self) -> (u64, u64) {
        let account = self.account();
        let held = account.held.unwrap_or_default();
        let chunk = if account.used { account.chunk() } else { 0 };
        let wanted = chunk.max(account.needed).saturating_sub(held);
        (account.limit, wanted)
    }

    /// The ledger's answer: `granted` is reserved for this process, `total` by all together.
    fn answer(&self, granted: u64, total: u64) {
        let mut account = self.account();
        let held = account.held.unwrap_or_default().saturating_add(granted);
        account.held = Some(held);
        let own = account.spent.saturating_add(held);
        account.elsewhere = total.saturating_sub(own);
        account.needed = 0;
        self.settle(account, false);
    }

    /// The ledger's answer: nothing can be recorded.
    fn fail(&self) {
        self.settle(self.account(), true);
    }

    fn settle(&self, mut account: MutexGuard<'_, Account>, failed: bool) {
        account.asked = false;
        account.answered = Some(Instant::now());
        account.failed = failed;
        drop(account);
        self.changed.notify_waiters();
    }

    /// Takes out what is reserved and unspent, to give it back. From now on nothing goes.
    fn surrender(&self) -> u64 {
        let mut account = self.account();
        account.failed = true;
        account.held.replace(0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
