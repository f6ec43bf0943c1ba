//! Ctrl-C and SIGTERM as a token: work that has begun ends in order.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::Result;
use crate::output::tell;

/// Watches for both signals from now on. A second one changes nothing: undoing is what makes the
/// first one safe.
pub fn watch(tracker: &TaskTracker) -> Result<CancellationToken> {
    let token = CancellationToken::new();
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    let cancelled = token.clone();
    tracker.spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if cancelled.is_cancelled() {
                tell("still cleaning up; agentnet gc finishes it if this process is killed");
            }
            cancelled.cancel();
        }
    });
    Ok(token)
}
