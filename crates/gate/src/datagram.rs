//! Datagrams to addresses that must not hear them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::RecvFlags;
use socket2::{Domain, Protocol, Socket, Type};

use crate::attempt::{Attempt, End, errno_of};
use crate::dns::LONGEST;

/// One exchange: what became of the datagram, and what came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exchange {
    pub(crate) attempt: Attempt,
    pub(crate) reply: Option<Vec<u8>>,
}

impl Exchange {
    fn ended(end: End, at_once: bool) -> Self {
        Self {
            attempt: Attempt { end, at_once },
            reply: None,
        }
    }
}

/// Sends one datagram from a connected socket (so that only `to` can answer, and an ICMP error
/// comes back as an errno) and waits at most `window` for the first reply that `accept` takes.
pub(crate) fn exchange(
    to: SocketAddr,
    protocol: Protocol,
    payload: &[u8],
    window: Duration,
    accept: impl Fn(&[u8]) -> bool,
) -> Exchange {
    let deadline = Instant::now() + window;
    let socket = match open(to, protocol, payload) {
        Ok(socket) => socket,
        Err(error) => return Exchange::ended(End::Failed(errno_of(&error)), true),
    };
    let mut buffer = [0u8; LONGEST];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Exchange::ended(End::Silence, false);
        }
        // Zero would mean "for ever", so never less than a millisecond.
        let patience = left.max(Duration::from_millis(1));
        if let Err(error) = socket.set_read_timeout(Some(patience)) {
            return Exchange::ended(End::Failed(errno_of(&error)), true);
        }
        match rustix::net::recv(&socket, &mut buffer[..], RecvFlags::empty()) {
            Ok((length, _)) => {
                let reply = buffer.get(..length).unwrap_or_default();
                if accept(reply) {
                    let attempt = Attempt {
                        end: End::Connected,
                        at_once: false,
                    };
                    return Exchange {
                        attempt,
                        reply: Some(reply.to_vec()),
                    };
                }
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(errno) => return Exchange::ended(End::Failed(errno), false),
        }
    }
}

fn open(to: SocketAddr, protocol: Protocol, payload: &[u8]) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(to), Type::DGRAM, Some(protocol))?;
    socket.connect(&to.into())?;
    socket.send(payload)?;
    Ok(socket)
}

/// An ICMP echo request for the address's family; the kernel fills in checksum and identifier.
pub(crate) fn echo(to: IpAddr) -> (SocketAddr, Protocol, [u8; 12]) {
    let (protocol, kind) = match to {
        IpAddr::V4(_) => (Protocol::ICMPV4, 8),
        IpAddr::V6(_) => (Protocol::ICMPV6, 128),
    };
    (
        SocketAddr::new(to, 0),
        protocol,
        [kind, 0, 0, 0, 0, 0, 0, 1, b'g', b'a', b't', b'e'],
    )
}

/// Public addresses that answer datagrams on every port of the rows.
pub(crate) const PUBLIC: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(1, 1, 1, 1)),
    IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8)),
    IpAddr::V6(Ipv6Addr::new(0x2606, 0x4700, 0x4700, 0, 0, 0, 0, 0x1111)),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn only_an_accepted_reply_ends_the_wait() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = server.local_addr().unwrap();
        let answering = std::thread::spawn(move || {
            let mut buffer = [0; 16];
            let (_, from) = server.recv_from(&mut buffer).unwrap();
            server.send_to(b"no", from).unwrap();
            server.send_to(b"yes", from).unwrap();
        });
        let window = Duration::from_secs(5);
        let done = exchange(to, Protocol::UDP, b"?", window, |reply| reply == b"yes");
        assert_eq!(done.reply.as_deref(), Some(b"yes".as_slice()));
        assert_eq!(
            done.attempt,
            Attempt {
                end: End::Connected,
                at_once: false
            }
        );
        answering.join().unwrap();
    }

    #[test]
    fn silence_and_a_closed_port_are_told_apart() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = server.local_addr().unwrap();
        let ask = || exchange(to, Protocol::UDP, b"?", Duration::from_millis(20), |_| true);
        assert_eq!(
            ask().attempt,
            Attempt {
                end: End::Silence,
                at_once: false
            }
        );
        drop(server);
        let refused = Attempt {
            end: End::Failed(Errno::CONNREFUSED),
            at_once: false,
        };
        assert_eq!(ask().attempt, refused);
    }
}
