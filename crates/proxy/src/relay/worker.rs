//! The worker: accepts at the doors it was given and copies.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use agentnet_policy::Reason;
use bytes::Bytes;
use prometheus::IntCounter;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, UdpSocket, UnixListener};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::door::{Carries, Kind};
use super::doors::{self, Given};
use super::questions;
use super::raw::RawDoors;
use crate::budget::Charge;
use crate::descriptors::{self, Room};
use crate::raw_doors::wire::{MAX_DOORS, Opening};
use crate::stream::Stream;
use crate::tasks::Tasks;
use crate::tunnel::{self, Direction, Ending, Overseer, Silence};
use crate::{diagnostic, dial};

/// Connections at once; the proxy behind has its own limit and answers with a reason.
const MAX_CONNECTIONS: usize = 8192;

/// Longer than the proxy's own: it decides, this only cleans up.
pub(super) const SILENCE: Silence = Silence {
    idle: Duration::from_secs(24 * 3600),
    half_closed: Duration::from_secs(3600),
};

/// Connections at once that ask questions. The proxy serves 64, those of datagrams among them.
const QUESTIONERS: usize = 24;

/// The proxy ends them after 5 s without a question.
const BETWEEN_QUESTIONS: Silence = Silence {
    idle: Duration::from_secs(10),
    half_closed: Duration::from_secs(1),
};

pub(super) fn run(carries: Vec<Carries>, raw_doors: Option<PathBuf>, keep_free: Vec<u16>) -> u8 {
    let room = descriptors::make_room(Room {
        connections: MAX_CONNECTIONS,
        idle: MAX_DOORS,
    });
    let stdin = std::io::stdin();
    let given = match doors::receive(stdin.as_fd()) {
        Ok(given) => given,
        Err(error) => {
            diagnostic::error(format_args!("this is started by `relay` only: {error}"));
            return crate::cli::USAGE;
        }
    };
    if given.len() != carries.len() {
        diagnostic::error("this is started by `relay` only: other doors were announced");
        return crate::cli::USAGE;
    }
    let given = given.into_iter().zip(carries).collect();
    let parent = stdin.as_fd().try_clone_to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let served = parent.and_then(|parent| {
        let parent = std::os::unix::net::UnixStream::from(parent);
        let names = raw_doors.map(|to| (to, keep_free.into_iter().collect()));
        runtime?.block_on(serve(given, names, parent, room.connections))
    });
    match served {
        Ok(()) => crate::cli::OK,
        Err(error) => {
            diagnostic::error(format_args!("the relay's worker cannot run: {error}"));
            crate::cli::NO
        }
    }
}

async fn serve(
    given: Vec<(Given, Carries)>,
    names: Option<(PathBuf, BTreeSet<u16>)>,
    parent: std::os::unix::net::UnixStream,
    connections: usize,
) -> std::io::Result<()> {
    let panics = IntCounter::new("panics", "not exported").map_err(std::io::Error::other)?;
    let tasks = Tasks::new(panics);
    let connections = Arc::new(Semaphore::new(connections));
    let questioners = Arc::new(Semaphore::new(QUESTIONERS));
    for (door, carries) in given {
        let to: Arc<Path> = carries.to.into();
        let door = match door {
            Given::Udp(door) => {
                door.set_nonblocking(true)?;
                let run = questions::run(UdpSocket::from_std(door)?, to, tasks.clone());
                tasks.spawn("relay door", async move { match run.await {} });
                continue;
            }
            Given::Tcp(door) => {
                door.set_nonblocking(true)?;
                Door::Tcp(TcpListener::from_std(door)?)
            }
            Given::Unix(door) => {
                door.set_nonblocking(true)?;
                Door::Unix(UnixListener::from_std(door)?)
            }
        };
        let (permits, silence) = match carries.kind {
            Kind::Connections => (&connections, SILENCE),
            Kind::Questions => (&questioners, BETWEEN_QUESTIONS),
        };
        let way = Way {
            to,
            permits: Arc::clone(permits),
            silence,
            opening: None,
        };
        let run = accept(door, way, tasks.clone());
        tasks.spawn("relay door", async move { match run.await {} });
    }
    if let Some((to, keep_free)) = names {
        let doors = RawDoors {
            to: to.into(),
            keep_free,
            permits: connections,
            tasks: tasks.clone(),
        };
        tasks.spawn("relay doors", async move { match doors.keep().await {} });
    }
    parent.set_nonblocking(true)?;
    let mut parent = tokio::net::UnixStream::from_std(parent)?;
    // The parent never writes again; what ends the wait is its end.
    parent.read(&mut [0_u8]).await.map(drop)
}

pub(super) enum Door {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Door {
    async fn accept(&self) -> std::io::Result<Stream> {
        match self {
            Self::Tcp(door) => {
                let stream = Stream::from(door.accept().await?.0);
                stream.set_nodelay();
                Ok(stream)
            }
            Self::Unix(door) => Ok(door.accept().await?.0.into()),
        }
    }
}

/// Where connections of a door go, how many at once, for how long they may be silent, and what the
/// proxy is told of each first.
pub(super) struct Way {
    pub(super) to: Arc<Path>,
    pub(super) permits: Arc<Semaphore>,
    pub(super) silence: Silence,
    pub(super) opening: Option<Opening>,
}

pub(super) async fn accept(door: Door, way: Way, tasks: Tasks) -> Infallible {
    loop {
        let permit = Arc::clone(&way.permits).acquire_owned().await;
        let Ok(client) = door.accept().await else {
            // No descriptors, or a client that has gone: neither is a reason to stop.
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let (to, silence, opening) = (Arc::clone(&way.to), way.silence, way.opening);
        tasks.spawn("relay connection", async move {
            carry(client, &to, silence, opening).await;
            drop(permit);
        });
    }
}

async fn carry(mut client: Stream, to: &Path, silence: Silence, opening: Option<Opening>) {
    let mut proxy = match dial::own_socket(to).await {
        Ok(proxy) => proxy,
        // The proxy is not there. The client sees its connection reset, not an answer that a
        // server could have given.
        Err(_) => return client.reset_on_close(),
    };
    let opening = opening.map(Opening::bytes);
    let opening = opening.map(|bytes| Bytes::copy_from_slice(&bytes));
    let early = (opening.unwrap_or_default(), Bytes::new());
    let account = tunnel::run(&mut client, &mut proxy, early, silence, &Nobody).await;
    match account.ending {
        Ending::Finished => {}
        Ending::Silent | Ending::ClientLost(_) | Ending::UpstreamLost(_) | Ending::Stopped(_) => {
            client.reset_on_close();
        }
    }
}

/// The relay counts nothing and decides nothing: that is the proxy's.
struct Nobody;

impl Overseer for Nobody {
    fn moved(&self, _: Direction, _: u64) {}

    fn charge(&self, bytes: usize) -> Charge {
        Charge::Taken(bytes)
    }

    fn refund(&self, _: usize) {}

    fn poll_stop(&self, _: &mut Context<'_>) -> Poll<Reason> {
        Poll::Pending
    }
}
