//! Listening sockets.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use agentnet_policy::event::Text;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

use crate::settings::Address;
use crate::stream::Stream;

/// Connections that wait for us to accept them.
const BACKLOG: i32 = 1024;

/// A bound socket.
#[derive(Debug)]
pub enum Door {
    /// TCP.
    Tcp(TcpListener),
    /// A unix socket, whose file goes when this does.
    Unix(UnixListener, Unlink),
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
    /// The own address it came to.
    pub local: Option<SocketAddr>,
}

/// Who may connect to a unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Whoever can reach the directory: the relay may run as another user.
    Everybody,
    /// Our own user.
    Owner,
}

impl Door {
    /// Binds `address`. Must be called inside the runtime.
    ///
    /// # Errors
    /// The system's.
    pub fn open(address: &Address, access: Access, interface: Option<&str>) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => {
                let socket = tcp(*address, interface)?;
                TcpListener::from_std(socket).map(Self::Tcp)
            }
            Address::Unix(path) => {
                let (socket, unlink) = unix(path, access)?;
                Ok(Self::Unix(UnixListener::from_std(socket)?, unlink))
            }
        }
    }

    /// Where it really is: port 0 became a number.
    ///
    /// # Errors
    /// The system's.
    pub fn address(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Address::Tcp),
            Self::Unix(_, unlink) => Ok(Address::Unix(unlink.0.clone())),
        }
    }

    /// The next connection.
    ///
    /// # Errors
    /// The system's; most of them pass.
    pub async fn accept(&self) -> io::Result<Arrival> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                let local = stream.local_addr().ok();
                let stream = Stream::from(stream);
                stream.set_nodelay();
                Ok(Arrival {
                    stream,
                    peer: Text::from(peer),
                    address: Some(peer.ip().to_canonical()),
                    local,
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
                    local: None,
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
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if let Some(interface) = interface {
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
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
    Ok((listener, Unlink(path.to_owned())))
}

/// Removes a socket's file.
#[derive(Debug)]
pub struct Unlink(PathBuf);

impl Drop for Unlink {
    fn drop(&mut self) {
        // It may be gone with its directory.
        std::fs::remove_file(&self.0).ok();
    }
}
