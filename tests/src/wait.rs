//! Waiting for something to become true: polled, bounded, and loud when it does not.

use std::thread;
use std::time::{Duration, Instant};

/// Polls until `check` gives a value. Panics after `patience`, naming `what`.
#[track_caller]
pub fn until<T>(what: &str, patience: Duration, mut check: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(value) = check() {
            return value;
        }
        assert!(
            Instant::now() < deadline,
            "gave up after {patience:?} waiting for {what}"
        );
        thread::sleep(Duration::from_millis(50));
    }
}
