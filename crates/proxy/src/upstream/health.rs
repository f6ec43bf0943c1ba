//! A short memory of a parent that is down.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long a parent that failed is asked only after the others. Then one request tries it again.
const MEMORY: Duration = Duration::from_secs(10);

/// Whether a parent failed a moment ago. Clones share what they know.
#[derive(Clone, Debug, Default)]
pub(super) struct Health(Arc<Mutex<Option<Instant>>>);

impl Health {
    fn until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether to ask it in its turn. When its time is over, one caller is told yes and the others
    /// wait for what that one finds.
    pub(super) fn in_turn(&self) -> bool {
        let mut until = self.until();
        match *until {
            None => true,
            Some(moment) if Instant::now() >= moment => {
                *until = Some(Instant::now() + MEMORY);
                true
            }
            Some(_) => false,
        }
    }

    pub(super) fn failed(&self) {
        *self.until() = Some(Instant::now() + MEMORY);
    }

    pub(super) fn worked(&self) {
        *self.until() = None;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn forgets_after_a_while_and_lets_one_try() {
        let health = Health::default();
        assert!(health.in_turn());
        health.failed();
        assert!(!health.in_turn());
        advance(MEMORY).await;
        assert!(health.in_turn(), "one tries again");
        assert!(!health.in_turn(), "the others wait");
        health.worked();
        assert!(health.in_turn());
    }
}
