//! Doors that the proxy says: the relay listens where it is told to, and says of each connection at
//! which door it came in.
//!
//! The worker has them, not the parent: they come and go with the policy. Where something else of the
//! task listens already there is no door, and it is tried again.

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::worker::{self, Door, SILENCE, Way};
use crate::bind;
use crate::raw_doors::wire::{self, Opening, Received};
use crate::stream::Stream;
use crate::tasks::Tasks;
use crate::{diagnostic, dial};

/// Pause before the proxy is asked again.
const PAUSE: Duration = Duration::from_millis(500);
/// How often a door that could not be had is tried again.
const RETRY: Duration = Duration::from_secs(2);
/// Bytes of lists that are read at once.
const PIECE: usize = 2048;

/// What doors of names need.
pub(super) struct RawDoors {
    /// The proxy's socket for them.
    pub(super) to: Arc<Path>,
    /// Ports of the task's own services.
    pub(super) keep_free: BTreeSet<u16>,
    /// Of all connections.
    pub(super) permits: Arc<Semaphore>,
    pub(super) tasks: Tasks,
}

/// The doors that are open, and those that could not be had.
#[derive(Default)]
struct Doors {
    /// Dropping closes it.
    open: HashMap<SocketAddrV4, DropGuard>,
    missing: BTreeSet<SocketAddrV4>,
}

impl RawDoors {
    /// Keeps the doors that the proxy says, until the process ends. While it is away they stay.
    pub(super) async fn keep(self) -> Infallible {
        let mut doors = Doors::default();
        loop {
            // It may not be there yet, or have gone; either way it is asked again.
            if let Err(error) = self.follow(&mut doors).await
                && error.kind() == io::ErrorKind::InvalidData
            {
                diagnostic::warn("the proxy says doors that no relay has; those there were stay");
            }
            sleep(PAUSE).await;
        }
    }

    async fn follow(&self, doors: &mut Doors) -> io::Result<()> {
        let mut proxy = dial::own_socket(&self.to).await?;
        proxy.write_all(&Opening::List.bytes()).await?;
        let mut clock = interval(RETRY);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut received = Vec::new();
        loop {
            tokio::select! {
                more = more(&mut proxy, &mut received) => more?,
                _ = clock.tick() => {
                    self.retry(doors);
                    continue;
                }
            }
            loop {
                match wire::read_list(&received) {
                    Received::Part => break,
                    Received::Wrong => return Err(io::ErrorKind::InvalidData.into()),
                    Received::List(list, length) => {
                        received.drain(..length);
                        self.change(doors, &list);
                    }
                }
            }
        }
    }

    /// Closes what is not on the list, and opens what is.
    fn change(&self, doors: &mut Doors, list: &[SocketAddrV4]) {
        let wanted: BTreeSet<SocketAddrV4> = list
            .iter()
            .filter(|door| !self.keep_free.contains(&door.port()))
            .copied()
            .collect();
        doors.open.retain(|door, _| wanted.contains(door));
        doors.missing.clear();
        for door in wanted {
            if doors.open.contains_key(&door) {
                continue;
            }
            match self.open(door) {
                Ok(guard) => {
                    diagnostic::note(format_args!("relay to a name at {door}"));
                    doors.open.insert(door, guard);
                }
                Err(error) => {
                    diagnostic::warn(format_args!(
                        "no door at {door}: {error}; does something of the task listen on port {} of every \
                         address? Let it listen on 127.0.0.1",
                        door.port()
                    ));
                    doors.missing.insert(door);
                }
            }
        }
    }

    fn retry(&self, doors: &mut Doors) {
        let missing = std::mem::take(&mut doors.missing);
        for door in missing {
            match self.open(door) {
                Ok(guard) => {
                    diagnostic::note(format_args!("relay to a name at {door}"));
                    doors.open.insert(door, guard);
                }
                Err(_) => {
                    doors.missing.insert(door);
                }
            }
        }
    }

    fn open(&self, door: SocketAddrV4) -> io::Result<DropGuard> {
        let listening = bind::tcp(SocketAddr::V4(door), None)?;
        let listening = Door::Tcp(TcpListener::from_std(listening)?);
        let way = Way {
            to: Arc::clone(&self.to),
            permits: Arc::clone(&self.permits),
            silence: SILENCE,
            opening: Some(Opening::Connection(door)),
        };
        let closed = CancellationToken::new();
        let until = closed.clone();
        let accepting = worker::accept(listening, way, self.tasks.clone());
        self.tasks.spawn("relay door", async move {
            tokio::select! {
                biased;
                () = until.cancelled() => {}
                never = accepting => match never {},
            }
        });
        Ok(closed.drop_guard())
    }
}

/// Reads some more, and is not hurt by being given up.
async fn more(proxy: &mut Stream, received: &mut Vec<u8>) -> io::Result<()> {
    received.reserve(PIECE);
    match proxy.read_buf(received).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}
