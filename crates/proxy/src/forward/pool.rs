//! Idle upstream connections for plain HTTP.
//!
//! One is used again only for the same target under the same rule of the same load of the policy, at
//! the same listener: a connection never outlives the decision that opened it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agentnet_policy::event::Text;
use agentnet_policy::{RuleId, Target};
use http::StatusCode;
use hyper::client::conn::http1::SendRequest;
use tokio::time::Instant;

use crate::body::Upload;
use crate::endpoint::Link;
use crate::upstream::Form;

/// What a connection may be used again for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The target that was judged.
    pub target: Target,
    /// The rule that allowed it.
    pub rule: Option<RuleId>,
    /// The load of the policy.
    pub generation: u64,
    /// The place of its route among those of the listener.
    pub route: Option<usize>,
    /// The own addresses it was dialled from, which may be those that the client came to.
    pub from: Vec<IpAddr>,
    /// The client's connection that it is kept for, where it was logged in (NTLM, Negotiate).
    pub session: Option<u64>,
}

/// An upstream connection that speaks HTTP/1.1.
#[derive(Debug)]
pub struct Connection {
    /// Its sending side.
    pub sender: SendRequest<Upload>,
    /// Its other end.
    pub link: Link,
    /// The admitted address it goes to; `None` where a parent resolves.
    pub address: Option<IpAddr>,
    /// The way it takes.
    pub route: Text,
    /// How requests are written on it.
    pub form: Form,
    /// The number of its descriptor, for the log.
    pub socket: i32,
}

impl Connection {
    /// Whether a status is a parent's refusal of our credentials, and no answer of the target's: a
    /// client would take it for ours.
    pub(super) fn refused_us(&self, status: StatusCode) -> bool {
        matches!(self.form, Form::Absolute(_))
            && status == StatusCode::PROXY_AUTHENTICATION_REQUIRED
    }
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

/// Bounds of a [`Pool`].
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Idle connections kept.
    pub connections: usize,
    /// How long one is kept.
    pub idle: Duration,
}

/// The idle connections of one listener; clones are the same pool.
#[derive(Clone, Debug)]
pub struct Pool {
    bounds: Bounds,
    shelf: Arc<Mutex<Shelf>>,
}

#[derive(Debug, Default)]
struct Shelf {
    idle: HashMap<Key, Vec<Idle>>,
    count: usize,
    closed: bool,
}

impl Pool {
    /// An empty pool.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            shelf: Arc::default(),
        }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection for `key`, if one is idle: the one used last, which is the least likely to have
    /// been closed by the other side.
    #[must_use]
    pub fn take(&self, key: &Key) -> Option<Connection> {
        let mut shelf = self.shelf();
        loop {
            let found = shelf.idle.get_mut(key)?.pop()?;
            shelf.count -= 1;
            let fresh = found.since.elapsed() < self.bounds.idle;
            if fresh && !found.connection.sender.is_closed() {
                return Some(found.connection);
            }
        }
    }

    /// Keeps a connection, if there is room.
    pub fn give(&self, key: Key, connection: Connection) {
        let mut shelf = self.shelf();
        if shelf.closed || shelf.count >= self.bounds.connections || connection.sender.is_closed() {
            return;
        }
        shelf.count += 1;
        shelf.idle.entry(key).or_default().push(Idle {
            connection,
            since: Instant::now(),
        });
    }

    /// Closes what has been idle for too long, and what an older policy opened.
    pub fn sweep(&self, generation: u64) {
        let mut shelf = self.shelf();
        let bounds = self.bounds;
        shelf.idle.retain(|key, idle| {
            idle.retain(|idle| {
                idle.since.elapsed() < bounds.idle && !idle.connection.sender.is_closed()
            });
            key.generation == generation && !idle.is_empty()
        });
        shelf.count = shelf.idle.values().map(Vec::len).sum();
    }

    /// Closes all, now and from now on.
    pub fn close(&self) {
        let mut shelf = self.shelf();
        shelf.closed = true;
        shelf.idle.clear();
        shelf.count = 0;
    }
}

/// A connection in use, and where it goes afterwards.
#[derive(Debug)]
pub struct Lease {
    /// Where it came from.
    pub pool: Pool,
    /// What it may be used again for.
    pub key: Key,
    /// The connection.
    pub connection: Connection,
}

impl Lease {
    /// The exchange is over: it may serve another.
    pub fn give_back(self) {
        self.pool.give(self.key, self.connection);
    }
}
