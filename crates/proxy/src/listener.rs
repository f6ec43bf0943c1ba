//! A listener: the identity of everything that comes in through it, and what the requests share.

use std::net::IpAddr;
use std::num::NonZeroU16;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use agentnet_policy::event::Text;
use agentnet_policy::{Surroundings, Target};
use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderValue};
use prometheus::IntGauge;
use tokio::sync::OwnedSemaphorePermit;

use crate::active::PolicyStore;
use crate::dial::Dialer;
use crate::endpoint::Link;
use crate::forward::Pool;
use crate::headers;
use crate::journal::Journal;
use crate::live::Live;
use crate::metrics::{ListenerMetrics, Metrics};
use crate::resolve::Resolver;
use crate::settings::Timeouts;
use crate::statistics::Tally;
use crate::tasks::Tasks;
use crate::words;

/// What all listeners share.
#[derive(Debug)]
pub struct Shared {
    /// Every metric.
    pub metrics: Metrics,
    /// Where events go.
    pub journal: Journal,
    /// Door 1.
    pub resolver: Resolver,
    /// Door 2.
    pub dialer: Dialer,
    /// The addresses a name must never lead to, as they are now.
    pub surroundings: ArcSwap<Surroundings>,
    /// Time limits.
    pub timeouts: Timeouts,
    /// Largest request head in bytes.
    pub max_head_bytes: usize,
    /// Whether an encrypted part of a ClientHello passes.
    pub ech: bool,
    /// What runs beside the accept loops.
    pub tasks: Tasks,
    /// Our name in `Via`, different in every process: a request that carries it has been here.
    pub pseudonym: String,
    /// The `Via` field itself.
    pub via: HeaderValue,
    /// The route without a parent, as events name it.
    pub direct: Text,
    last_request: AtomicU64,
}

impl Shared {
    /// Puts the shared parts together.
    #[expect(clippy::too_many_arguments, reason = "it is the list of the parts")]
    #[must_use]
    pub fn new(
        metrics: Metrics,
        journal: Journal,
        resolver: Resolver,
        dialer: Dialer,
        surroundings: Surroundings,
        timeouts: Timeouts,
        max_head_bytes: usize,
        ech: bool,
        tasks: Tasks,
    ) -> Self {
        let pseudonym = format!("agentnet-{:016x}", nonce());
        let via = HeaderValue::try_from(format!("1.1 {pseudonym}"))
            .unwrap_or_else(|_| HeaderValue::from_static("1.1 agentnet"));
        Self {
            metrics,
            journal,
            resolver,
            dialer,
            surroundings: ArcSwap::from_pointee(surroundings),
            timeouts,
            max_head_bytes,
            ech,
            tasks,
            pseudonym,
            via,
            direct: Text::new(crate::upstream::DIRECT),
            last_request: AtomicU64::new(0),
        }
    }

    /// The number of the next request, unique in this process.
    pub fn next_request(&self) -> u64 {
        self.last_request.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// A number nobody can guess, from the keys that std draws for its hash maps.
fn nonce() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}

/// One listener.
#[derive(Debug)]
pub struct Listener {
    /// Its name in metrics and events.
    pub name: Text,
    /// Its policy.
    pub policy: PolicyStore,
    /// Its counters.
    pub metrics: ListenerMetrics,
    /// Its open tunnels.
    pub live: Live,
    /// Its idle upstream connections. Never another listener's: identity is the listener.
    pub pool: Pool,
    /// What is counted for its statistics page alone.
    pub tally: Tally,
    /// What it shares with the others.
    pub shared: Arc<Shared>,
}

/// One client connection, alive until the last tunnel or exchange of it has ended.
#[derive(Debug)]
pub struct Session {
    /// Where it came in.
    pub listener: Arc<Listener>,
    /// The peer, as events name it.
    pub client: Text,
    /// Its address; a client of a unix socket has none.
    pub address: Option<IpAddr>,
    /// The own address that it came to, where connections are to leave from it.
    pub local: Option<IpAddr>,
    /// The client's connection.
    pub link: Link,
    /// The number of its descriptor, for the log.
    pub socket: i32,
    /// The one target of a connection inside a tunnel.
    pub bound: Option<Target>,
    /// What it is taken for.
    pub purpose: Purpose,
    refused: AtomicBool,
    asked: AtomicBool,
    /// Its number, once it has logged a connection in.
    logged_in: OnceLock<u64>,
    /// The generation of the policy whose list of clients let it in; 0 is none.
    permitted_in: AtomicU64,
    _place: Place,
}

/// What a client of HTTP takes us for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// A proxy.
    #[default]
    Proxy,
    /// The host itself, at this port of its.
    Origin(NonZeroU16),
}

/// What a session holds for as long as it lives.
#[derive(Debug)]
enum Place {
    Own {
        _permit: OwnedSemaphorePermit,
        _open: Raised,
    },
    Within {
        _tunnel: Arc<Session>,
    },
}

impl Session {
    /// A connection that holds `permit` for as long as it lives.
    #[must_use]
    pub fn new(
        listener: Arc<Listener>,
        (client, socket): (Text, i32),
        (address, local): (Option<IpAddr>, Option<IpAddr>),
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let open = Raised::new(&listener.shared.metrics.connections);
        listener.tally.opened();
        Self {
            listener,
            client,
            address,
            local,
            link: Link::default(),
            socket,
            bound: None,
            purpose: Purpose::default(),
            refused: AtomicBool::new(false),
            asked: AtomicBool::new(false),
            logged_in: OnceLock::new(),
            permitted_in: AtomicU64::new(0),
            _place: Place::Own {
                _permit: permit,
                _open: open,
            },
        }
    }

    /// A connection inside a tunnel of `tunnel`'s, for requests to `target` alone.
    #[must_use]
    pub fn within(tunnel: Arc<Session>, target: Target) -> Self {
        Self {
            listener: Arc::clone(&tunnel.listener),
            client: tunnel.client.clone(),
            address: tunnel.address,
            local: tunnel.local,
            link: Link::default(),
            socket: tunnel.socket,
            bound: Some(target),
            purpose: Purpose::Proxy,
            refused: AtomicBool::new(false),
            asked: AtomicBool::new(false),
            logged_in: OnceLock::new(),
            permitted_in: AtomicU64::new(tunnel.permitted_in()),
            _place: Place::Within { _tunnel: tunnel },
        }
    }

    /// The generation of the policy whose list of clients let it in.
    pub(crate) fn permitted_in(&self) -> u64 {
        self.permitted_in.load(Ordering::Relaxed)
    }

    pub(crate) fn set_permitted_in(&self, generation: u64) {
        self.permitted_in.store(generation, Ordering::Relaxed);
    }

    /// Its number if this request or one before has logged an upstream connection in: from then on it
    /// shares none with other clients.
    pub(crate) fn logged_in(&self, headers: &HeaderMap) -> Option<u64> {
        if headers::logs_connection_in(headers) {
            self.logged_in.get_or_init(|| self.shared().next_request());
        }
        self.logged_in.get().copied()
    }

    /// A request was read.
    pub fn note_request(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// True if a request was read.
    #[must_use]
    pub fn has_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Writes to the log in Tinyproxy's words, where it is kept in them.
    pub(crate) fn say(&self, line: impl FnOnce() -> words::Line) {
        let journal = &self.shared().journal;
        if journal.speaks_tinyproxy() {
            let (level, text) = line();
            journal.say(level, || text);
        }
    }

    /// A request was refused.
    pub fn note_refusal(&self) {
        self.refused.store(true, Ordering::Relaxed);
    }

    /// True if a request was refused.
    #[must_use]
    pub fn was_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    /// What all listeners share.
    #[must_use]
    pub fn shared(&self) -> &Shared {
        &self.listener.shared
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.bound.is_none() {
            let asked = self.asked.load(Ordering::Relaxed);
            self.listener.tally.closed(asked);
        }
    }
}

/// A gauge that is one higher for as long as this lives.
#[derive(Debug)]
pub struct Raised(IntGauge);

impl Raised {
    /// Raises `gauge`.
    #[must_use]
    pub fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        self.0.dec();
    }
}
