//! How much one task may say: at most so many notices in any minute, and one line for the rest.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The time that is looked back on.
const MINUTE: Duration = Duration::from_secs(60);

/// A line for the rest waits until nothing has come for so long, to count all of it.
const SETTLED: Duration = Duration::from_secs(2);

/// What one source has shown in the last minute, and what was too much.
///
/// Not a bucket that refills: one that holds ten and gains ten a minute lets twenty through in its
/// first minute.
#[derive(Debug)]
pub(crate) struct Window {
    most: usize,
    shown: VecDeque<Instant>,
    surplus: u64,
    first: Option<Instant>,
    last: Option<Instant>,
    told: Option<Instant>,
}

impl Window {
    /// Nothing shown yet; `most` a minute.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            shown: VecDeque::new(),
            surplus: 0,
            first: None,
            last: None,
            told: None,
        }
    }

    /// Whether one more may be shown now; if so it is counted.
    pub(crate) fn admit(&mut self, now: Instant) -> bool {
        while self
            .shown
            .front()
            .is_some_and(|at| now.duration_since(*at) >= MINUTE)
        {
            self.shown.pop_front();
        }
        let free = self.shown.len() < self.most;
        if free {
            self.shown.push_back(now);
        }
        free
    }

    /// Gives back what was admitted last and turned out to be nothing to show.
    pub(crate) fn give_back(&mut self) {
        self.shown.pop_back();
    }

    /// Counts what is not shown.
    pub(crate) fn fold(&mut self, count: u64, now: Instant) {
        if count > 0 {
            self.surplus = self.surplus.saturating_add(count);
            self.first.get_or_insert(now);
            self.last = Some(now);
        }
    }

    /// When the line for the rest is due; `None` where there is no rest. At most one line a minute,
    /// and none later than a minute after the first of the rest.
    pub(crate) fn due(&self) -> Option<Instant> {
        let (first, last) = (self.first?, self.last?);
        let settled = (last + SETTLED).min(first + MINUTE);
        Some(self.told.map_or(settled, |told| settled.max(told + MINUTE)))
    }

    /// Takes the count for the line, if it is due.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<u64> {
        if self.due()? > now {
            return None;
        }
        self.first = None;
        self.last = None;
        self.told = Some(now);
        Some(std::mem::take(&mut self.surplus))
    }

    /// Nothing to remember any more.
    pub(crate) fn is_idle(&self, now: Instant) -> bool {
        let old = |at: &Instant| now.duration_since(*at) >= MINUTE;
        self.surplus == 0 && self.shown.iter().all(old) && self.told.as_ref().is_none_or(old)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn in_no_minute_are_there_more_than_so_many() {
        let start = Instant::now();
        let mut window = Window::new(10);
        let admitted: Vec<u64> = (0..600)
            .filter(|second| window.admit(after(start, *second)))
            .collect();
        for from in 0..540 {
            let within = |at: &&u64| (from..from + 60).contains(*at);
            assert!(admitted.iter().filter(within).count() <= 10);
        }
        assert_eq!(admitted.len(), 100);
    }

    #[test]
    fn what_was_nothing_takes_no_place() {
        let start = Instant::now();
        let mut window = Window::new(1);
        assert!(window.admit(start));
        window.give_back();
        assert!(window.admit(start));
        assert!(!window.admit(start));
    }

    #[test]
    fn the_rest_is_told_once_it_has_settled_and_once_a_minute() {
        let start = Instant::now();
        let mut window = Window::new(10);
        assert_eq!(window.due(), None);
        window.fold(5, start);
        window.fold(7, after(start, 1));
        assert_eq!(window.take_due(after(start, 2)), None);
        assert_eq!(window.take_due(after(start, 3)), Some(12));
        window.fold(1, after(start, 4));
        assert_eq!(window.take_due(after(start, 62)), None);
        assert_eq!(window.take_due(after(start, 63)), Some(1));
        assert!(!window.is_idle(after(start, 64)));
        assert!(window.is_idle(after(start, 123)));
    }

    #[test]
    fn a_flood_that_never_settles_is_told_after_a_minute() {
        let start = Instant::now();
        let mut window = Window::new(10);
        let told: Vec<u64> = (0..180)
            .filter(|second| {
                window.fold(1000, after(start, *second));
                window.take_due(after(start, *second)).is_some()
            })
            .collect();
        assert_eq!(told, [60, 121]);
    }
}
