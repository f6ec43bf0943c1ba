//! The parent: holds the doors and a worker, and ends only when it is told to.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep};

use super::door::{Carries, Doorway, Kind};
use super::doors;
use crate::bind::{self, Access, Unlink};
use crate::diagnostic;
use crate::settings::Address;

/// Pause before a worker that died at once is started again; doubles up to [`LONGEST`].
const SHORTEST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_secs(1);
/// A worker that lived this long starts again at once.
const LIVED: Duration = Duration::from_secs(5);

/// A door, and what its worker does with it.
struct Held {
    socket: Socket,
    carries: Carries,
}

enum Socket {
    Tcp(std::net::TcpListener),
    Udp(std::net::UdpSocket),
    Unix(
        std::os::unix::net::UnixListener,
        #[expect(dead_code, reason = "unlinks when dropped")] Unlink,
    ),
}

impl Held {
    /// The sockets of a door, and where they really are.
    fn open(door: &Doorway) -> std::io::Result<(Vec<Self>, Address)> {
        let held = |socket| Self {
            socket,
            carries: Carries {
                kind: door.kind,
                to: door.to.clone(),
            },
        };
        match (&door.at, door.kind) {
            (Address::Tcp(address), Kind::Connections) => {
                let tcp = bind::tcp(*address, None)?;
                let at = Address::Tcp(tcp.local_addr()?);
                Ok((vec![held(Socket::Tcp(tcp))], at))
            }
            (Address::Tcp(address), Kind::Questions) => {
                let (tcp, udp) = bind::pair(*address)?;
                let at = Address::Tcp(tcp.local_addr()?);
                Ok((vec![held(Socket::Tcp(tcp)), held(Socket::Udp(udp))], at))
            }
            (Address::Unix(path), _) => {
                let (unix, unlink) = bind::unix(path, Access::Everybody)?;
                Ok((vec![held(Socket::Unix(unix, unlink))], door.at.clone()))
            }
        }
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Tcp(door) => door.as_fd(),
            Socket::Udp(door) => door.as_fd(),
            Socket::Unix(door, _) => door.as_fd(),
        }
    }
}

/// `names` are a worker's arguments for the doors of names, which are its own.
pub(super) fn run(doorways: &[Doorway], names: &[OsString]) -> u8 {
    diagnostic::write_behind();
    let mut held = Vec::new();
    for door in doorways {
        let at = &door.at;
        match Held::open(door) {
            Ok((sockets, at)) => {
                let to = door.to.display();
                diagnostic::note(format_args!("relay to unix:{to} at {at}"));
                held.extend(sockets);
            }
            Err(error) => {
                diagnostic::error(format_args!("{at} cannot be bound: {error}"));
                return crate::cli::USAGE;
            }
        }
    }
    if held.len() > doors::MAX_DOORS {
        diagnostic::error(format_args!(
            "a relay has at most {} doors, of which one for questions counts twice",
            doors::MAX_DOORS
        ));
        return crate::cli::USAGE;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime.map(|runtime| runtime.block_on(keep(&held, names))) {
        Ok(Ok(())) => crate::cli::OK,
        Ok(Err(error)) | Err(error) => {
            diagnostic::error(format_args!("the relay cannot run: {error}"));
            crate::cli::NO
        }
    }
}

async fn keep(held: &[Held], names: &[OsString]) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut pause = SHORTEST;
    loop {
        let started = Instant::now();
        // The channel stays open here: its end would tell the worker to go.
        let (ended, _channel) = match start(held, names) {
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

fn start(held: &[Held], names: &[OsString]) -> std::io::Result<(Child, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    let carries = held.iter().map(|door| door.carries.to_string());
    let child = Command::new(std::env::current_exe()?)
        .arg("relay-worker")
        .args(carries.flat_map(|carries| ["--carries".to_owned(), carries]))
        .args(names)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .kill_on_drop(true)
        .spawn()?;
    let descriptors: Vec<BorrowedFd<'_>> = held.iter().map(Held::descriptor).collect();
    doors::send(&ours, &descriptors)?;
    Ok((child, ours))
}
