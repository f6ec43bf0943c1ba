//! The parent: holds the doors and a worker, and ends only when it is told to.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep};

use super::doors;
use crate::bind::{self, Access, Unlink};
use crate::diagnostic;
use crate::settings::Address;

/// Pause before a worker that died at once is started again; doubles up to [`LONGEST`].
const SHORTEST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_secs(1);
/// A worker that lived this long starts again at once.
const LIVED: Duration = Duration::from_secs(5);

enum Held {
    Tcp(std::net::TcpListener),
    Unix(
        std::os::unix::net::UnixListener,
        #[expect(dead_code, reason = "unlinks when dropped")] Unlink,
    ),
}

impl Held {
    fn open(address: &Address) -> std::io::Result<Self> {
        match address {
            Address::Tcp(address) => bind::tcp(*address, None).map(Self::Tcp),
            Address::Unix(path) => {
                bind::unix(path, Access::Everybody).map(|(door, unlink)| Self::Unix(door, unlink))
            }
        }
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(door) => door.as_fd(),
            Self::Unix(door, _) => door.as_fd(),
        }
    }

    fn address(&self, asked: &Address) -> Address {
        match self {
            Self::Tcp(door) => door
                .local_addr()
                .map_or_else(|_| asked.clone(), Address::Tcp),
            Self::Unix(..) => asked.clone(),
        }
    }
}

pub(super) fn run(addresses: &[Address], to: &Path) -> u8 {
    diagnostic::write_behind();
    if addresses.len() > doors::MAX_DOORS {
        diagnostic::error(format_args!(
            "a relay has at most {} doors",
            doors::MAX_DOORS
        ));
        return crate::cli::USAGE;
    }
    let mut held = Vec::new();
    for address in addresses {
        match Held::open(address) {
            Ok(door) => {
                diagnostic::note(format_args!("relay at {}", door.address(address)));
                held.push(door);
            }
            Err(error) => {
                diagnostic::error(format_args!("{address} cannot be bound: {error}"));
                return crate::cli::USAGE;
            }
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime.map(|runtime| runtime.block_on(keep(&held, to))) {
        Ok(Ok(())) => crate::cli::OK,
        Ok(Err(error)) | Err(error) => {
            diagnostic::error(format_args!("the relay cannot run: {error}"));
            crate::cli::NO
        }
    }
}

async fn keep(held: &[Held], to: &Path) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut pause = SHORTEST;
    loop {
        let started = Instant::now();
        // The channel stays open here: its end would tell the worker to go.
        let (ended, _channel) = match start(held, to) {
            Ok((mut child, channel)) => {
                let ended = tokio::select! {
                    ended = child.wait() => ended,
                    _ = terminate.recv() => return child.kill().await,
                    _ = interrupt.recv() => return child.kill().await,
                };
                (ended, Some(channel))
            }
            Err(error) => (Err(error), None),
        };
        match ended {
            Ok(status) => diagnostic::warn(format_args!("the relay's worker ended: {status}")),
            Err(error) => diagnostic::warn(format_args!("no worker for the relay: {error}")),
        }
        pause = if started.elapsed() >= LIVED {
            SHORTEST
        } else {
            (pause * 2).min(LONGEST)
        };
        tokio::select! {
            () = sleep(pause) => {}
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
        }
    }
}

fn start(held: &[Held], to: &Path) -> std::io::Result<(Child, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut destination = std::ffi::OsString::from("unix:");
    destination.push(to);
    let child = Command::new(std::env::current_exe()?)
        .args(["relay-worker", "--to"])
        .arg(destination)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .kill_on_drop(true)
        .spawn()?;
    let descriptors: Vec<BorrowedFd<'_>> = held.iter().map(Held::descriptor).collect();
    doors::send(&ours, &descriptors)?;
    Ok((child, ours))
}
