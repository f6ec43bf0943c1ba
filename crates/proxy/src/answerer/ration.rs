//! How much is told of what the agent asks: it chooses the names, and how many there are.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long the same question is not told again.
const AGAIN: Duration = Duration::from_secs(10);
/// Questions told at once, and the time after which one more may be.
const BURST: u32 = 20;
const REFILL: Duration = Duration::from_millis(500);

/// What may be told of one listener's refused questions. Holds at most what it told in ten seconds: 40
/// numbers, whatever is asked.
#[derive(Debug)]
pub struct Ration {
    state: Mutex<State>,
    /// Keyed by the process, so that nobody outside finds two questions that look the same.
    hasher: RandomState,
}

#[derive(Debug)]
struct State {
    told: HashMap<u64, Instant>,
    left: u32,
    filled: Instant,
    untold: u64,
}

impl Ration {
    /// A full one.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            state: Mutex::new(State {
                told: HashMap::new(),
                left: BURST,
                filled: now,
                untold: 0,
            }),
            hasher: RandomState::new(),
        }
    }

    /// Whether this question may be told now; if so it counts as told.
    pub fn may_tell(&self, name: impl Hash, kind: impl Hash, now: Instant) -> bool {
        let question = self.hasher.hash_one((name, kind));
        let mut state = self.state();
        let is_recent = |told: &Instant| now.saturating_duration_since(*told) < AGAIN;
        if state.told.get(&question).is_some_and(is_recent) {
            return false;
        }
        state.refill(now);
        let Some(left) = state.left.checked_sub(1) else {
            state.untold = state.untold.saturating_add(1);
            return false;
        };
        state.left = left;
        state.told.retain(|_, told| is_recent(told));
        state.told.insert(question, now);
        true
    }

    /// How many questions were not told because there were too many, since this was asked last.
    pub fn take_untold(&self) -> u64 {
        std::mem::take(&mut self.state().untold)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn refill(&mut self, now: Instant) {
        let waited = now.saturating_duration_since(self.filled);
        let more = waited.as_millis() / REFILL.as_millis();
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        if more > 0 {
            self.left = self.left.saturating_add(more).min(BURST);
            self.filled = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_question_is_told_once_in_a_while() {
        let start = Instant::now();
        let ration = Ration::new(start);
        assert!(ration.may_tell("a", 1, start));
        assert!(!ration.may_tell("a", 1, start + Duration::from_secs(9)));
        assert!(ration.may_tell("a", 28, start + Duration::from_secs(9)));
        assert!(ration.may_tell("a", 1, start + Duration::from_secs(10)));
        assert_eq!(ration.take_untold(), 0);
    }

    #[test]
    fn a_flood_of_names_is_summed_up_and_remembered_in_little_room() {
        let start = Instant::now();
        let ration = Ration::new(start);
        let mut told = 0;
        for number in 0..100_000_u64 {
            let now = start + Duration::from_micros(number * 100);
            told += u64::from(ration.may_tell(number, 1, now));
        }
        // Ten seconds: 20 at once and two a second.
        assert!((39..=41).contains(&told), "{told}");
        assert_eq!(ration.take_untold(), 100_000 - told);
        assert_eq!(ration.take_untold(), 0);
        assert!(ration.state().told.len() <= 41);
    }
}
