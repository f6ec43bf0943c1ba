//! The worker: accepts at the doors it was given and copies.

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
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::doors::{self, Given};
use crate::budget::Charge;
use crate::descriptors::{self, Room};
use crate::stream::Stream;
use crate::tasks::Tasks;
use crate::tunnel::{self, Direction, Ending, Overseer, Silence};
use crate::{diagnostic, dial};

/// Connections at once; the proxy behind has its own limit and answers with a reason.
const MAX_CONNECTIONS: usize = 8192;

/// Longer than the proxy's own: it decides, this only cleans up.
const SILENCE: Silence = Silence {
    idle: Duration::from_secs(24 * 3600),
    half_closed: Duration::from_secs(3600),
};

pub(super) fn run(to: PathBuf) -> u8 {
    let room = descriptors::make_room(Room {
        connections: MAX_CONNECTIONS,
        idle: 0,
    });
    let stdin = std::io::stdin();
    let given = match doors::receive(stdin.as_fd()) {
        Ok(given) => given,
        Err(error) => {
            diagnostic::error(format_args!("this is started by `relay` only: {error}"));
            return crate::cli::USAGE;
        }
    };
    let parent = stdin.as_fd().try_clone_to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let served = parent.and_then(|parent| {
        let parent = std::os::unix::net::UnixStream::from(parent);
        runtime?.block_on(serve(given, to.into(), parent, room.connections))
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
    given: Vec<Given>,
    to: Arc<Path>,
    parent: std::os::unix::net::UnixStream,
    connections: usize,
) -> std::io::Result<()> {
    let panics = IntCounter::new("panics", "not exported").map_err(std::io::Error::other)?;
    let tasks = Tasks::new(panics);
    let permits = Arc::new(Semaphore::new(connections));
    for door in given {
        let door = match door {
            Given::Tcp(door) => {
                door.set_nonblocking(true)?;
                Door::Tcp(TcpListener::from_std(door)?)
            }
            Given::Unix(door) => {
                door.set_nonblocking(true)?;
                Door::Unix(UnixListener::from_std(door)?)
            }
        };
        let run = accept(door, Arc::clone(&to), Arc::clone(&permits), tasks.clone());
        tasks.spawn("relay door", async move { match run.await {} });
    }
    parent.set_nonblocking(true)?;
    let mut parent = tokio::net::UnixStream::from_std(parent)?;
    // The parent never writes again; what ends the wait is its end.
    parent.read(&mut [0_u8]).await.map(drop)
}

enum Door {
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

async fn accept(door: Door, to: Arc<Path>, permits: Arc<Semaphore>, tasks: Tasks) -> Infallible {
    loop {
        let permit = Arc::clone(&permits).acquire_owned().await;
        let Ok(client) = door.accept().await else {
            // No descriptors, or a client that has gone: neither is a reason to stop.
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let to = Arc::clone(&to);
        tasks.spawn("relay connection", async move {
            carry(client, &to).await;
            drop(permit);
        });
    }
}

async fn carry(mut client: Stream, to: &Path) {
    let mut proxy = match dial::own_socket(to).await {
        Ok(proxy) => proxy,
        // The proxy is not there. The client sees its connection reset, not an answer that a
        // server could have given.
        Err(_) => return client.reset_on_close(),
    };
    let early = (Bytes::new(), Bytes::new());
    let account = tunnel::run(&mut client, &mut proxy, early, SILENCE, &Nobody).await;
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
