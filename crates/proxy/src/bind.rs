//! Listening sockets.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use agentnet_policy::event::Text;
use socket2::{Domain, Protocol, SockFilter, SockRef, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

use crate::inherited::{Inherited, Passed};
use crate::settings::Address;
use crate::stream::Stream;

/// Connections that wait for us to accept them.
const BACKLOG: i32 = 1024;

/// How often another port is tried where any is wanted, and UDP's is taken in TCP.
const TRIES: usize = 16;

/// How listening sockets are come by.
#[derive(Debug, Default)]
pub struct Doors {
    /// Those that were passed to us come first.
    pub inherited: Inherited,
    /// Whether another process of ours may listen at the same TCP addresses.
    pub reuse_port: bool,
}

/// A bound socket.
#[derive(Debug)]
pub enum Door {
    /// TCP.
    Tcp(TcpListener, Others),
    /// A unix socket, whose file goes when this does if it is ours.
    Unix(UnixListener, Unlink),
}

/// Who else may listen at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// Nobody.
    Nobody,
    /// Another process with a socket of its own (`SO_REUSEPORT`): what waits at ours is lost with it.
    Beside,
    /// Whoever holds the same socket: what waits there is theirs when we go.
    Same,
}

/// An accepted connection.
#[derive(Debug)]
pub struct Arrival {
    /// The connection.
    pub stream: Stream,
    /// The peer, as events name it.
    pub peer: Text,
    /// Its address; a client of a unix socket has none. IPv4 inside IPv6 is IPv4.
    pub address: Option<IpAddr>,
}

impl Arrival {
    /// The own address it came to, which the system is asked for; a unix socket has none.
    #[must_use]
    pub fn local(&self) -> Option<SocketAddr> {
        self.stream.local_addr()
    }
}

/// Who may connect to a unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Whoever can reach the directory: the relay may run as another user.
    Everybody,
    /// Our own user.
    Owner,
}

impl Doors {
    /// Opens the door at `address`. Must be called inside the runtime.
    ///
    /// # Errors
    /// The system's.
    pub fn open(
        &mut self,
        address: &Address,
        access: Access,
        interface: Option<&str>,
    ) -> io::Result<Door> {
        match self.inherited.claim(address) {
            Some(Passed::Tcp(socket)) => {
                without_nagle(&socket);
                let socket = TcpListener::from_std(socket)?;
                return Ok(Door::Tcp(socket, Others::Same));
            }
            Some(Passed::Unix(socket, path)) => {
                let unlink = Unlink { path, ours: false };
                return Ok(Door::Unix(UnixListener::from_std(socket)?, unlink));
            }
            None => {}
        }
        match address {
            Address::Tcp(address) => {
                let others = if self.reuse_port {
                    Others::Beside
                } else {
                    Others::Nobody
                };
                let socket = listen(*address, interface, others)?;
                Ok(Door::Tcp(TcpListener::from_std(socket)?, others))
            }
            Address::Unix(path) => {
                let (socket, unlink) = unix(path, access)?;
                Ok(Door::Unix(UnixListener::from_std(socket)?, unlink))
            }
        }
    }
}

impl Door {
    /// Where it really is: port 0 became a number.
    ///
    /// # Errors
    /// The system's.
    pub fn address(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(listener, _) => listener.local_addr().map(Address::Tcp),
            Self::Unix(_, unlink) => Ok(Address::Unix(unlink.path.clone())),
        }
    }

    /// Who goes on listening here when we no longer do.
    #[must_use]
    pub fn others(&self) -> Others {
        match self {
            Self::Tcp(_, others) => *others,
            Self::Unix(_, unlink) if unlink.ours => Others::Nobody,
            Self::Unix(..) => Others::Same,
        }
    }

    /// Lets no new connection begin here, where the system can do that; those that have begun come
    /// to their end and can be accepted. What is not taken comes again a second later, and finds
    /// the other process.
    pub fn turn_away_new(&self) {
        if let Self::Tcp(listener, _) = self {
            // A filter that drops SYN without ACK: byte 13 of a TCP header has the flags (RFC 9293 §3.1).
            let filter = [
                SockFilter::new(0x30, 0, 0, 13),          // load the byte
                SockFilter::new(0x54, 0, 0, 0x12),        // of it, SYN and ACK
                SockFilter::new(0x15, 0, 1, 0x02),        // SYN alone?
                SockFilter::new(0x06, 0, 0, 0),           // then drop it
                SockFilter::new(0x06, 0, 0, 0xffff_ffff), // else take all of it
            ];
            // Without it a connection may be lost that begins at this very moment.
            SockRef::from(listener).attach_filter(&filter).ok();
        }
    }

    /// The next connection.
    ///
    /// # Errors
    /// The system's; most of them pass.
    pub async fn accept(&self) -> io::Result<Arrival> {
        match self {
            Self::Tcp(listener, _) => {
                let (stream, peer) = listener.accept().await?;
                // Without Nagle's algorithm, as the socket that it came to (`without_nagle`).
                Ok(Arrival {
                    stream: Stream::from(stream),
                    peer: Text::from(peer),
                    address: Some(peer.ip().to_canonical()),
                })
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                let peer = match stream.peer_cred().map(|peer| (peer.pid(), peer.uid())) {
                    Ok((Some(pid), uid)) => format!("unix:pid={pid},uid={uid}"),
                    Ok((None, uid)) => format!("unix:uid={uid}"),
                    Err(_) => "unix".to_owned(),
                };
                Ok(Arrival {
                    stream: stream.into(),
                    peer: Text::new(&peer),
                    address: None,
                })
            }
        }
    }
}

/// A listening TCP socket. IPv6 ones take IPv6 only, so that `0.0.0.0` and `[::]` can share a port.
///
/// # Errors
/// The system's.
pub fn tcp(address: SocketAddr, interface: Option<&str>) -> io::Result<std::net::TcpListener> {
    listen(address, interface, Others::Nobody)
}

/// A listening TCP socket and a UDP socket of the same address and port, for questions to the DNS.
///
/// # Errors
/// The system's.
pub fn pair(address: SocketAddr) -> io::Result<(std::net::TcpListener, std::net::UdpSocket)> {
    let mut tries = TRIES;
    loop {
        let streams = tcp(address, None)?;
        match datagrams(streams.local_addr()?) {
            Ok(udp) => return Ok((streams, udp)),
            Err(error)
                if address.port() == 0 && tries > 0 && error.kind() == io::ErrorKind::AddrInUse =>
            {
                tries -= 1;
            }
            Err(error) => return Err(error),
        }
    }
}

fn datagrams(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn listen(
    address: SocketAddr,
    interface: Option<&str>,
    others: Others,
) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if others == Others::Beside {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if let Some(interface) = interface {
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    socket.set_nonblocking(true)?;
    without_nagle(&socket);
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepted connections take this from their listening socket (Linux): small writes leave at once. Without
/// it a keep-alive exchange waits 40 ms for an ACK.
fn without_nagle(socket: &impl AsFd) {
    SockRef::from(socket).set_tcp_nodelay(true).ok();
}

/// A listening unix socket. A file left by a process that is gone is replaced; any other is not.
///
/// # Errors
/// The system's, and `AddrInUse` when somebody listens there.
pub fn unix(path: &Path, access: Access) -> io::Result<(std::os::unix::net::UnixListener, Unlink)> {
    if let Ok(found) = std::fs::symlink_metadata(path) {
        let stale = found.file_type().is_socket()
            && std::os::unix::net::UnixStream::connect(path)
                .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
        if !stale {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        std::fs::remove_file(path)?;
    }
    let listener = std::os::unix::net::UnixListener::bind(path)?;
    let mode = match access {
        Access::Everybody => 0o666,
        Access::Owner => 0o600,
    };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    listener.set_nonblocking(true)?;
    let unlink = Unlink {
        path: path.to_owned(),
        ours: true,
    };
    Ok((listener, unlink))
}

/// Removes a socket's file, if we made it.
#[derive(Debug)]
pub struct Unlink {
    path: PathBuf,
    ours: bool,
}

impl Drop for Unlink {
    fn drop(&mut self) {
        if self.ours {
            // It may be gone with its directory.
            std::fs::remove_file(&self.path).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn accepts_connections_whose_small_writes_leave_at_once() {
        let any = "127.0.0.1:0".parse().unwrap();
        let ours = Doors::default().open(&Address::Tcp(any), Access::Owner, None);
        let ours = ours.unwrap();
        let Ok(Address::Tcp(address)) = ours.address() else {
            panic!("a TCP address");
        };
        let client = crate::dial::own_listener(address).await.unwrap();
        let arrival = ours.accept().await.unwrap();
        assert_eq!(arrival.local(), Some(address));
        let Stream::Tcp(stream) = arrival.stream else {
            panic!("a TCP connection");
        };
        assert!(stream.nodelay().unwrap());
        drop(client);
    }
}
