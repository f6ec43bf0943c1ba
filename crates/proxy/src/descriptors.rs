//! The limit of open files, and what it leaves for connections.
//!
//! Clients must not be able to take the last descriptor: a policy that cannot be read again cannot be
//! tightened, and metrics that cannot be asked for tell nobody (THREATS W115).

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::diagnostic;

/// Descriptors that are not for clients and their upstreams: doors, whitelists, lookups, the admin
/// side, attempts to connect beside another.
const RESERVED: u64 = 256;

/// How many connections there are descriptors for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Client connections, each of which can need a second descriptor for its upstream.
    pub connections: usize,
    /// Idle upstream connections.
    pub idle: usize,
}

impl Room {
    fn needs(self) -> u64 {
        let connections = (self.connections as u64).saturating_mul(2);
        connections
            .saturating_add(self.idle as u64)
            .saturating_add(RESERVED)
    }

    /// What of this fits into `limit` descriptors. A small limit is shared: a quarter for what is
    /// reserved, at most a quarter for what is idle.
    fn within(self, limit: u64) -> Self {
        let quarter = limit / 4;
        let idle = quarter.min(self.idle as u64);
        let left = limit - idle - quarter.min(RESERVED);
        let number = |count| usize::try_from(count).unwrap_or(usize::MAX);
        Self {
            connections: number(left / 2).clamp(1, self.connections),
            idle: number(idle),
        }
    }
}

/// Raises the soft limit for what is wanted, and returns what it allows; says so where that is less.
#[must_use]
pub fn make_room(wanted: Room) -> Room {
    let needed = wanted.needs();
    let limit = getrlimit(Resource::Nofile);
    let Some(current) = limit.current.filter(|current| *current < needed) else {
        return wanted;
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
    if now >= needed {
        return wanted;
    }
    let room = wanted.within(now);
    diagnostic::warn(format_args!(
        "{now} descriptors are allowed, so at most {} connections are served at once and not {}: \
         raise the limit of open files to {needed}",
        room.connections, wanted.connections
    ));
    room
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_descriptors_for_the_proxy_itself_whatever_the_limit() {
        let wanted = Room {
            connections: 4096,
            idle: 256,
        };
        for limit in [8, 40, 64, 256, 1024, 4096, wanted.needs() - 1] {
            let room = wanted.within(limit);
            let used = 2 * room.connections as u64 + room.idle as u64;
            assert!(used + RESERVED.min(limit / 4) <= limit, "{limit}: {room:?}");
            assert!(room.connections >= 1 && room.connections <= 4096);
        }
        assert_eq!(wanted.within(wanted.needs()), wanted);
    }
}
