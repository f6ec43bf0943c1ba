//! Sockets past every network: to a hypervisor, or to whoever else has one on this machine.
//!
//! vsock(7) knows no network namespaces, so where it has a transport a container talks to the
//! hypervisor (CID 2), or over the loopback transport to any other container (CID 1).

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use socket2::{Domain, SockAddr, Type};

use crate::attempt::{errno_of, word};
use crate::confinement::{Socket, judge_socket};
use crate::report::Finding;

/// Who could be there.
const PARTNERS: [(u32, &str); 2] = [
    (2, "the hypervisor"),
    (1, "every other process on the machine"),
];
/// Nobody listens there; a refusal is an answer all the same.
const PORT: u32 = 1;

/// No way out over vsock.
pub(crate) fn vsock() -> Finding {
    let opened = rustix::net::socket_with(
        AddressFamily::VSOCK,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    );
    match judge_socket(opened.map(drop)) {
        Socket::Refused(errno) => Finding::sealed(word(errno)),
        Socket::Unclear(errno) => {
            Finding::broken(format!("a vsock socket could not be tried: {errno}"))
        }
        Socket::Open => judge(&PARTNERS.map(|(cid, who)| (who, connect(cid)))),
    }
}

/// Where the socket opens, only a missing transport closes the way.
fn judge(ends: &[(&str, Result<(), Errno>)]) -> Finding {
    for (who, end) in ends {
        match end {
            Err(Errno::NODEV | Errno::AFNOSUPPORT) => {}
            Ok(()) => return open(who, "connected"),
            Err(Errno::INPROGRESS) => return open(who, "a connection attempt leaves"),
            Err(errno) => return open(who, &word(*errno)),
        }
    }
    Finding::sealed("the socket opens, but no transport is there to carry it")
}

fn open(who: &str, what: &str) -> Finding {
    Finding::leak(format!(
        "vsock reaches {who} without any network ({what}); the engine's seccomp profile does not \
         refuse AF_VSOCK: Docker's does since 23.0"
    ))
}

/// The first answer of the kernel: without a transport it comes at once, with one it does not matter
/// what becomes of the connection.
fn connect(cid: u32) -> Result<(), Errno> {
    let begun = || {
        let socket = socket2::Socket::new(Domain::VSOCK, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::vsock(cid, PORT))
    };
    begun().map_err(|error| errno_of(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Outcome;

    #[test]
    fn only_a_missing_transport_closes_a_socket_that_opens() {
        let of = |host, local| judge(&[("host", host), ("local", local)]).outcome;
        let none = Err(Errno::NODEV);
        assert_eq!(of(none, none), Outcome::Sealed);
        assert_eq!(of(Ok(()), none), Outcome::Leak);
        for errno in [
            Errno::INPROGRESS,
            Errno::CONNRESET,
            Errno::TIMEDOUT,
            Errno::HOSTUNREACH,
        ] {
            assert_eq!(of(Err(errno), none), Outcome::Leak, "{errno}");
            assert_eq!(of(none, Err(errno)), Outcome::Leak, "{errno}");
        }
    }
}
