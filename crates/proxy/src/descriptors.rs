//! The limit of open files.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::diagnostic;

/// Descriptors that are not client or upstream connections.
const RESERVED: u64 = 64;

/// Raises the soft limit for `connections`, each of which can need two descriptors, its own and its
/// upstream's; says so where the hard limit does not allow it.
pub fn allow(connections: usize) {
    let needed = (connections as u64)
        .saturating_mul(2)
        .saturating_add(RESERVED);
    let limit = getrlimit(Resource::Nofile);
    let Some(current) = limit.current.filter(|current| *current < needed) else {
        return;
    };
    let possible = limit.maximum.map_or(needed, |maximum| maximum.min(needed));
    let raised = Rlimit {
        current: Some(possible),
        maximum: limit.maximum,
    };
    let now = if setrlimit(Resource::Nofile, raised).is_ok() {
        possible
    } else {
        current
    };
    if now < needed {
        diagnostic::warn(format_args!(
            "{now} descriptors are allowed and {connections} connections need {needed}: raise the \
             limit of open files or lower --max-connections"
        ));
    }
}
