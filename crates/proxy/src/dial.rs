//! The one place where an outbound socket is opened.
//!
//! [`Dialer::dial`] takes [`Admitted`] addresses and nothing else: they can only be had from
//! `Policy::admit`, which needs a `Grant`, which only `Policy::judge` makes. So a connection without
//! a decision does not compile. [`Dialer::dial_parent`] needs the grant and a parent, which only settings
//! make. The two exceptions at the end are for this program's own clients.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use agentnet_policy::{Admitted, Grant};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{sleep, timeout};

use crate::stream::Stream;
use crate::upstream::Parent;

/// Pause before the next address is tried beside the one under way (RFC 8305 §5).
const STAGGER: Duration = Duration::from_millis(250);

/// Attempts of the whole process beside another of the same request. A name with many silent addresses
/// would hold a descriptor for each, and the limit of connections counts two for a connection.
const BESIDE: usize = 64;

/// A boxed future, because `dyn Connect` needs one.
pub type Connecting<'a> = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send + 'a>>;

/// Opens a TCP connection. The tests map admitted public addresses to loopback listeners here.
pub trait Connect: fmt::Debug + Send + Sync + 'static {
    /// Connects to exactly `address`, from an own address if one is given, which is of its family.
    fn connect(&self, address: SocketAddr, from: Option<IpAddr>) -> Connecting<'_>;
}

/// Connects by the system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemConnect;

impl Connect for SystemConnect {
    fn connect(&self, address: SocketAddr, from: Option<IpAddr>) -> Connecting<'_> {
        Box::pin(async move {
            let socket = match address {
                SocketAddr::V4(_) => TcpSocket::new_v4()?,
                SocketAddr::V6(_) => TcpSocket::new_v6()?,
            };
            if let Some(from) = from {
                socket.bind(SocketAddr::new(from, 0))?;
            }
            #[expect(clippy::disallowed_methods, reason = "this is the door")]
            let stream = socket.connect(address).await?;
            // A redirecting firewall rule or a translated address would make these differ; what is
            // talked to must be what was admitted (THREATS §0 rule 3).
            let peer = stream.peer_addr()?;
            if peer.ip() != address.ip() || peer.port() != address.port() {
                return Err(io::Error::other(format!("connected to {peer} instead")));
            }
            Ok(stream)
        })
    }
}

/// Why no address could be connected.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Every address refused or was unreachable; the last error and its address.
    #[error("{address}: {source}")]
    Failed {
        /// The address tried last.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// No address answered in time.
    #[error("{address}: no answer in time")]
    TimedOut {
        /// The address tried last.
        address: SocketAddr,
    },
    /// Nothing to dial.
    #[error("no address was admitted")]
    Nothing,
}

/// Dials admitted addresses.
#[derive(Clone, Debug)]
pub struct Dialer {
    connect: Arc<dyn Connect>,
    per_address: Duration,
    beside: Arc<Semaphore>,
}

/// An upstream connection and the admitted address it goes to.
#[derive(Debug)]
pub struct Dialed {
    /// The socket, with Nagle's algorithm off.
    pub stream: Stream,
    /// The address that answered.
    pub address: SocketAddr,
}

impl Dialer {
    /// `per_address` bounds each attempt; attempts overlap, 250 ms apart.
    #[must_use]
    pub fn new(connect: Arc<dyn Connect>, per_address: Duration) -> Self {
        Self {
            connect,
            per_address,
            beside: Arc::new(Semaphore::new(BESIDE)),
        }
    }

    /// Connects to the first address that answers, IPv6 and IPv4 in turn. With `from`, from the first
    /// of these own addresses that has the family and can be used.
    ///
    /// # Errors
    /// When none does, with what the last one said.
    pub async fn dial(&self, admitted: &[Admitted], from: &[IpAddr]) -> Result<Dialed, DialError> {
        self.first_of(happy_order(admitted.iter().map(Admitted::address)), from)
            .await
    }

    /// Connects to a parent, on the way to what was granted. `answers` are the addresses of its host.
    /// They need no admission: the settings name the parent, it may well be private or on loopback, and
    /// that opens nothing, because what it is asked for was granted.
    ///
    /// # Errors
    /// As [`Dialer::dial`].
    pub async fn dial_parent(
        &self,
        _grant: &Grant,
        parent: &Parent,
        answers: &[IpAddr],
        from: &[IpAddr],
    ) -> Result<Dialed, DialError> {
        let port = parent.at().port();
        let addresses = answers.iter().map(|ip| SocketAddr::new(*ip, port));
        self.first_of(happy_order(addresses), from).await
    }

    async fn first_of(&self, order: Vec<SocketAddr>, from: &[IpAddr]) -> Result<Dialed, DialError> {
        let mut order = order.into_iter();
        let mut attempts = FuturesUnordered::new();
        let mut last = DialError::Nothing;
        if let Some(address) = order.next() {
            attempts.push(self.attempt(address, from, None));
        }
        loop {
            let next = async {
                if order.len() == 0 {
                    std::future::pending().await
                } else {
                    sleep(STAGGER).await
                }
            };
            tokio::select! {
                biased;
                tried = attempts.next() => match tried {
                    Some(Ok(dialed)) => return Ok(dialed),
                    Some(Err(error)) => last = error,
                    // All attempts have failed and their successors were started below.
                    None => return Err(last),
                },
                () = next => {}
            }
            let place = if attempts.is_empty() {
                None
            } else if let Ok(place) = self.beside.try_acquire() {
                Some(place)
            } else {
                continue;
            };
            if let Some(address) = order.next() {
                attempts.push(self.attempt(address, from, place));
            }
        }
    }

    async fn connect_from(&self, address: SocketAddr, from: &[IpAddr]) -> io::Result<TcpStream> {
        if from.is_empty() {
            return self.connect.connect(address, None).await;
        }
        // The system would choose another address than those that were asked for.
        let what = "none of the own addresses to dial from has this family";
        let mut last = io::Error::new(io::ErrorKind::AddrNotAvailable, what);
        for own in from.iter().filter(|own| own.is_ipv4() == address.is_ipv4()) {
            match self.connect.connect(address, Some(*own)).await {
                Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => last = error,
                connected => return connected,
            }
        }
        Err(last)
    }

    /// `_beside` is held for as long as the attempt is one of several.
    async fn attempt(
        &self,
        address: SocketAddr,
        from: &[IpAddr],
        _beside: Option<SemaphorePermit<'_>>,
    ) -> Result<Dialed, DialError> {
        match timeout(self.per_address, self.connect_from(address, from)).await {
            Ok(Ok(stream)) => {
                let stream = Stream::from(stream);
                stream.set_nodelay();
                Ok(Dialed { stream, address })
            }
            Ok(Err(source)) => Err(DialError::Failed { address, source }),
            Err(_) => Err(DialError::TimedOut { address }),
        }
    }
}

/// IPv6 first, then the families in turn (RFC 8305 §4), each in the resolver's order.
fn happy_order(addresses: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let (six, four): (Vec<_>, Vec<_>) = addresses.partition(SocketAddr::is_ipv6);
    let (mut six, mut four) = (six.into_iter(), four.into_iter());
    let mut order = Vec::with_capacity(six.len() + four.len());
    while six.len() + four.len() > 0 {
        order.extend(six.next());
        order.extend(four.next());
    }
    order
}

/// The way of `admin` and `healthcheck` to a listener of our own: an address from the settings or the
/// command line, never one that a request named.
///
/// # Errors
/// The system's.
pub async fn own_listener(address: SocketAddr) -> io::Result<Stream> {
    #[expect(clippy::disallowed_methods, reason = "this is the door; see above")]
    TcpStream::connect(address).await.map(Stream::from)
}

/// The way to a unix socket of our own: the relay's to the proxy, `admin`'s to its listener.
///
/// # Errors
/// The system's.
pub async fn own_socket(path: &Path) -> io::Result<Stream> {
    UnixStream::connect(path).await.map(Stream::from)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use agentnet_policy::{
        Ask, BuiltinPresets, Layer, LoadOptions, Request, Source, Surroundings, Target, Verdict,
        load,
    };

    use super::*;

    /// Addresses that never answer.
    #[derive(Debug, Default)]
    struct Silent(AtomicUsize);

    impl Connect for Silent {
        fn connect(&self, _: SocketAddr, _: Option<IpAddr>) -> Connecting<'_> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Box::pin(std::future::pending())
        }
    }

    fn admitted(answers: &[IpAddr]) -> Vec<Admitted> {
        let source = Source {
            name: "w.txt".to_owned(),
            layer: Layer::Project,
            text: "a.example\n".to_owned(),
        };
        let policy = load(&[source], &BuiltinPresets, LoadOptions::default())
            .unwrap()
            .policy;
        let request = Request {
            target: Target::parse("a.example:443", None).unwrap(),
            ask: Ask::Tunnel,
        };
        let Verdict::Allow(grant) = policy.judge(request, jiff::Timestamp::now()) else {
            panic!("the line allows it");
        };
        let around = Surroundings::default();
        policy.admit(&grant, answers, &around).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn bounds_the_attempts_that_run_beside_another() {
        let silent = Arc::new(Silent::default());
        let dialer = Dialer::new(silent.clone(), Duration::from_secs(10));
        let answers: Vec<IpAddr> = (1..=8).map(|last| IpAddr::from([9, 9, 9, last])).collect();
        let admitted = admitted(&answers);
        let dials = futures_util::future::join_all((0..100).map(|_| dialer.dial(&admitted, &[])));
        assert!(timeout(Duration::from_secs(9), dials).await.is_err());
        assert_eq!(silent.0.load(Ordering::Relaxed), 100 + BESIDE);
        assert!(dialer.dial(&[], &[]).await.is_err());
        let last = dialer.dial(&admitted, &[]).await;
        assert!(matches!(last, Err(DialError::TimedOut { .. })));
        assert_eq!(dialer.beside.available_permits(), BESIDE);
    }

    #[test]
    fn takes_the_families_in_turn_and_ipv6_first() {
        let texts = ["1.0.0.1:1", "1.0.0.2:1", "[2::1]:1", "1.0.0.3:1"];
        let addresses: Vec<SocketAddr> = texts.iter().map(|text| text.parse().unwrap()).collect();
        let order: Vec<String> = happy_order(addresses.into_iter())
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(order, ["[2::1]:1", "1.0.0.1:1", "1.0.0.2:1", "1.0.0.3:1"]);
    }
}
