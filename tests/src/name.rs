//! Names that no other run has.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// `PREFIX-xxxxxxxx`: fit for containers, networks, projects and directories.
pub fn unique(prefix: &str) -> String {
    format!("{prefix}-{:08x}", number())
}

/// A number that differs within this run and, most likely, from every other run.
pub fn number() -> u32 {
    let time = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let seed = time.subsec_nanos() ^ std::process::id().rotate_left(16);
    seed.wrapping_mul(2_654_435_761)
        .wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed))
}
