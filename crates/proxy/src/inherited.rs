//! Listening sockets that whoever started us has passed on (sd_listen_fds(3)): systemd, or a supervisor
//! that starts the next proxy on the sockets of this one.
//!
//! Such a socket outlives the process, so a restart leaves no gap: what connects meanwhile waits in its
//! queue, and two processes may serve one queue while the old one drains.

use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use listenfd::ListenFd;
use socket2::SockRef;

use crate::environment::Environment;
use crate::settings::Address;

/// A listening socket.
#[derive(Debug)]
pub enum Passed {
    /// TCP.
    Tcp(TcpListener),
    /// A unix socket, and where it is.
    Unix(UnixListener, PathBuf),
}

/// The sockets that nobody has claimed yet.
#[derive(Debug, Default)]
pub struct Inherited(Vec<(Address, Passed)>);

impl Inherited {
    /// Takes what was passed to this process. To be called before anything else opens descriptors.
    ///
    /// # Errors
    /// When something was passed that is not a listening stream socket with an address.
    pub fn take(environment: &dyn Environment) -> io::Result<Self> {
        // Without this, sockets meant for our parent would be taken for ours.
        let ours = environment.get("LISTEN_PID") == Some(std::process::id().to_string());
        if !ours {
            return Ok(Self::default());
        }
        let mut passed = ListenFd::from_env();
        let mut sockets = Vec::new();
        for place in 0..passed.len() {
            let socket = match passed.take_tcp_listener(place) {
                Ok(Some(socket)) => tcp(socket)?,
                Ok(None) => continue,
                Err(_) => match passed.take_unix_listener(place)? {
                    Some(socket) => unix(socket)?,
                    None => continue,
                },
            };
            sockets.push(socket);
        }
        Ok(Self(sockets))
    }

    /// The socket at an address.
    pub fn claim(&mut self, address: &Address) -> Option<Passed> {
        let place = self.0.iter().position(|(at, _)| at == address)?;
        Some(self.0.swap_remove(place).1)
    }

    /// Where the sockets are that nobody has claimed.
    pub fn unclaimed(&self) -> impl Iterator<Item = &Address> {
        self.0.iter().map(|(address, _)| address)
    }
}

fn tcp(socket: TcpListener) -> io::Result<(Address, Passed)> {
    listens(SockRef::from(&socket).is_listener()?)?;
    socket.set_nonblocking(true)?;
    let address = Address::Tcp(socket.local_addr()?);
    Ok((address, Passed::Tcp(socket)))
}

fn unix(socket: UnixListener) -> io::Result<(Address, Passed)> {
    listens(SockRef::from(&socket).is_listener()?)?;
    socket.set_nonblocking(true)?;
    let address = socket.local_addr()?;
    let path = address.as_pathname().map(PathBuf::from);
    let path = path.ok_or_else(|| io::Error::other("a unix socket was passed that has no path"))?;
    Ok((Address::Unix(path.clone()), Passed::Unix(socket, path)))
}

fn listens(does: bool) -> io::Result<()> {
    if does {
        return Ok(());
    }
    Err(io::Error::other(
        "a socket was passed that does not listen: with systemd, write Accept=no",
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn takes_nothing_that_was_meant_for_another_process() {
        let other = std::process::id() + 1;
        for pid in [None, Some(String::new()), Some(other.to_string())] {
            let mut variables = BTreeMap::from([("LISTEN_FDS".to_owned(), "1".to_owned())]);
            variables.extend(pid.map(|pid| ("LISTEN_PID".to_owned(), pid)));
            let inherited = Inherited::take(&variables).unwrap();
            assert_eq!(inherited.unclaimed().count(), 0);
        }
    }

    #[test]
    fn gives_a_socket_to_the_setting_that_names_its_address() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::Tcp(socket.local_addr().unwrap());
        let mut inherited = Inherited(vec![tcp(socket).unwrap()]);
        assert!(inherited.claim(&"127.0.0.1:1".parse().unwrap()).is_none());
        assert_eq!(inherited.unclaimed().collect::<Vec<_>>(), [&address]);
        assert!(matches!(inherited.claim(&address), Some(Passed::Tcp(_))));
        assert!(inherited.claim(&address).is_none());
    }

    #[test]
    fn refuses_what_does_not_listen() {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let error = tcp(socket.unwrap().into()).unwrap_err().to_string();
        assert!(error.contains("Accept=no"), "{error}");
    }
}
