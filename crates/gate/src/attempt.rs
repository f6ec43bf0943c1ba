//! One knock on an address that must not answer, and the table that says what its end means.
//!
//! The fence has no route, so `connect(2)` must fail *at once*, in our own kernel, without a packet.
//! Everything else is decided by one idea: silence is only good where nobody could have heard us.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use crate::report::{Finding, Outcome};

/// What became of a `connect(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) end: End,
    /// Decided inside `connect(2)`: our own kernel spoke, and no packet went out.
    pub(crate) at_once: bool,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Connected,
    Failed(Errno),
    /// Nothing until the deadline.
    Silence,
}

/// Where the address lies as seen from us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lies {
    /// In another network: no packet may leave at all.
    Elsewhere,
    /// In our own subnet, or forced onto the link by a socket bound to the interface: asking who
    /// has the address is allowed, an answer is not.
    OnLink,
}

/// The decision table, for an address that must not answer.
pub(crate) fn judge(attempt: Attempt, lies: Lies) -> (Outcome, String) {
    let Attempt { end, at_once } = attempt;
    let errno = match end {
        End::Connected => return (Outcome::Leak, "connected".to_owned()),
        End::Silence => Errno::TIMEDOUT,
        End::Failed(errno) => errno,
    };
    let word = word(errno);
    // A reset or a port-unreachable is an answer: somebody is there.
    if [Errno::CONNREFUSED, Errno::CONNRESET, Errno::PIPE].contains(&errno) {
        return (
            Outcome::Leak,
            format!("{word}: it answered, with a refusal"),
        );
    }
    let no_way = [Errno::NETUNREACH, Errno::HOSTUNREACH, Errno::NETDOWN];
    let no_source = [Errno::ADDRNOTAVAIL, Errno::AFNOSUPPORT];
    let forbidden = [Errno::ACCESS, Errno::PERM];
    if at_once {
        if no_way.contains(&errno) {
            return (Outcome::Sealed, format!("{word}: no route"));
        }
        if no_source.contains(&errno) {
            return (
                Outcome::Sealed,
                format!("{word}: no address of that family"),
            );
        }
        if forbidden.contains(&errno) {
            return (Outcome::Sealed, format!("{word}: forbidden here"));
        }
        return (Outcome::Broken, format!("{word}: could not be tried"));
    }
    let silent =
        matches!(end, End::Silence) || [Errno::TIMEDOUT, Errno::HOSTUNREACH].contains(&errno);
    match lies {
        Lies::OnLink if silent => (
            Outcome::Sealed,
            format!("{word}: nobody on the link has it"),
        ),
        Lies::Elsewhere if matches!(end, End::Silence) => (
            Outcome::Leak,
            "a packet left this container, nobody answered in time".to_owned(),
        ),
        Lies::OnLink | Lies::Elsewhere => (
            Outcome::Leak,
            format!("{word}: a packet left this container, and a router answered"),
        ),
    }
}

/// The errno's own word where people know it, the system's sentence otherwise.
pub(crate) fn word(errno: Errno) -> String {
    let known = [
        (Errno::NETUNREACH, "ENETUNREACH"),
        (Errno::HOSTUNREACH, "EHOSTUNREACH"),
        (Errno::NETDOWN, "ENETDOWN"),
        (Errno::CONNREFUSED, "ECONNREFUSED"),
        (Errno::CONNRESET, "ECONNRESET"),
        (Errno::PIPE, "EPIPE"),
        (Errno::ADDRNOTAVAIL, "EADDRNOTAVAIL"),
        (Errno::AFNOSUPPORT, "EAFNOSUPPORT"),
        (Errno::ACCESS, "EACCES"),
        (Errno::PERM, "EPERM"),
        (Errno::TIMEDOUT, "no answer"),
    ];
    let named = known.iter().find(|(code, _)| *code == errno);
    named.map_or_else(|| errno.to_string(), |(_, name)| (*name).to_owned())
}

/// Where to knock, and through which interface if the routes are to be left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Knock {
    pub(crate) to: SocketAddr,
    pub(crate) through: Option<String>,
}

impl Knock {
    pub(crate) fn at(to: SocketAddr) -> Self {
        Self { to, through: None }
    }
}

/// Knocks everywhere at the same time and waits for all of them, at most `window`.
///
/// The caller bounds the number: one descriptor each.
pub(crate) fn knock(knocks: &[Knock], window: Duration) -> Vec<Attempt> {
    let deadline = Instant::now() + window;
    let mut ends: Vec<(Attempt, Option<Socket>)> = knocks.iter().map(start).collect();
    loop {
        let waiting: Vec<&Socket> = ends
            .iter()
            .filter_map(|(_, socket)| socket.as_ref())
            .collect();
        let left = deadline.saturating_duration_since(Instant::now());
        if waiting.is_empty() || left.is_zero() {
            return ends.into_iter().map(|(attempt, _)| attempt).collect();
        }
        let mut polled: Vec<PollFd<'_>> = waiting
            .iter()
            .map(|socket| PollFd::new(*socket, PollFlags::OUT))
            .collect();
        // EINTR and any other failure: look again; the deadline ends it.
        let ready = poll(&mut polled, Timespec::try_from(left).ok().as_ref()).unwrap_or(0);
        if ready == 0 {
            continue;
        }
        let done: Vec<bool> = polled.iter().map(|fd| !fd.revents().is_empty()).collect();
        let waiting = ends.iter_mut().filter(|(_, socket)| socket.is_some());
        for (slot, done) in waiting.zip(done) {
            if !done {
                continue;
            }
            if let Some(socket) = slot.1.take() {
                slot.0.end = match socket.take_error() {
                    Ok(None) => End::Connected,
                    Ok(Some(error)) | Err(error) => End::Failed(errno_of(&error)),
                };
            }
        }
    }
}

/// Begins one; keeps the socket only while the answer is out.
fn start(knock: &Knock) -> (Attempt, Option<Socket>) {
    let at_once = |end| (Attempt { end, at_once: true }, None);
    let begun = || -> io::Result<(Socket, io::Result<()>)> {
        let socket = Socket::new(
            Domain::for_address(knock.to),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_nonblocking(true)?;
        if let Some(interface) = &knock.through {
            socket.bind_device(Some(interface.as_bytes()))?;
        }
        let connected = socket.connect(&knock.to.into());
        Ok((socket, connected))
    };
    match begun() {
        Ok((_, Ok(()))) => at_once(End::Connected),
        Ok((socket, Err(error))) if errno_of(&error) == Errno::INPROGRESS => (
            Attempt {
                end: End::Silence,
                at_once: false,
            },
            Some(socket),
        ),
        Ok((_, Err(error))) | Err(error) => at_once(End::Failed(errno_of(&error))),
    }
}

/// The errno inside an I/O error; `EIO` for one that has none.
pub(crate) fn errno_of(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

/// Folds many knocks into one finding: the first leak, else the first that could not be tried, else
/// sealed, said once for each different way it was sealed.
pub(crate) fn fold(tried: &[(String, Outcome, String)], advice: &str) -> Finding {
    let of = |wanted: Outcome| tried.iter().find(|(_, outcome, _)| *outcome == wanted);
    if let Some((what, _, detail)) = of(Outcome::Leak) {
        return Finding::leak(format!("{what} {detail}: {advice}"));
    }
    if let Some((what, _, detail)) = of(Outcome::Broken) {
        return Finding::broken(format!("{what} {detail}"));
    }
    let mut said: Vec<&str> = Vec::new();
    for (_, _, detail) in tried {
        if !said.contains(&detail.as_str()) {
            said.push(detail);
        }
    }
    Finding::sealed(said.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_once(errno: Errno) -> Attempt {
        Attempt {
            end: End::Failed(errno),
            at_once: true,
        }
    }

    fn later(errno: Errno) -> Attempt {
        Attempt {
            end: End::Failed(errno),
            at_once: false,
        }
    }

    #[test]
    fn the_decision_table() {
        use Lies::{Elsewhere, OnLink};
        use Outcome::{Broken, Leak, Sealed};
        let silence = Attempt {
            end: End::Silence,
            at_once: false,
        };
        let connected = Attempt {
            end: End::Connected,
            at_once: false,
        };
        for (attempt, lies, outcome) in [
            (connected, Elsewhere, Leak),
            (connected, OnLink, Leak),
            (
                Attempt {
                    at_once: true,
                    ..connected
                },
                Elsewhere,
                Leak,
            ),
            // Our own kernel says that there is no way.
            (at_once(Errno::NETUNREACH), Elsewhere, Sealed),
            (at_once(Errno::HOSTUNREACH), Elsewhere, Sealed),
            (at_once(Errno::NETDOWN), Elsewhere, Sealed),
            (at_once(Errno::ADDRNOTAVAIL), Elsewhere, Sealed),
            (at_once(Errno::AFNOSUPPORT), Elsewhere, Sealed),
            (at_once(Errno::ACCESS), Elsewhere, Sealed),
            (at_once(Errno::PERM), Elsewhere, Sealed),
            // A refusal is an answer.
            (at_once(Errno::CONNREFUSED), Elsewhere, Leak),
            (later(Errno::CONNREFUSED), Elsewhere, Leak),
            (later(Errno::CONNREFUSED), OnLink, Leak),
            (later(Errno::CONNRESET), OnLink, Leak),
            // Silence is good only where nobody could have heard us.
            (silence, Elsewhere, Leak),
            (silence, OnLink, Sealed),
            (later(Errno::TIMEDOUT), Elsewhere, Leak),
            (later(Errno::HOSTUNREACH), OnLink, Sealed),
            (later(Errno::HOSTUNREACH), Elsewhere, Leak),
            (later(Errno::NETUNREACH), Elsewhere, Leak),
            (later(Errno::NETUNREACH), OnLink, Leak),
            (later(Errno::ACCESS), Elsewhere, Leak),
            // No proof either way.
            (at_once(Errno::MFILE), Elsewhere, Broken),
            (at_once(Errno::NOMEM), OnLink, Broken),
            (at_once(Errno::INVAL), Elsewhere, Broken),
        ] {
            assert_eq!(judge(attempt, lies).0, outcome, "{attempt:?} {lies:?}");
        }
    }

    #[test]
    fn knocking_tells_a_listener_from_a_closed_port() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let open = listener.local_addr().unwrap();
        let closed = {
            let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            gone.local_addr().unwrap()
        };
        let attempts = knock(
            &[Knock::at(open), Knock::at(closed)],
            Duration::from_secs(5),
        );
        assert_eq!(attempts[0].end, End::Connected);
        assert_eq!(attempts[1].end, End::Failed(Errno::CONNREFUSED));
    }

    #[test]
    fn one_leak_decides_over_everything_else() {
        let row = |what: &str, outcome| (what.to_owned(), outcome, "said".to_owned());
        let tried = [
            row("a", Outcome::Sealed),
            row("b", Outcome::Broken),
            row("c", Outcome::Leak),
        ];
        assert_eq!(fold(&tried, "why"), Finding::leak("c said: why"));
        assert_eq!(fold(&tried[..2], "why"), Finding::broken("b said"));
        assert_eq!(fold(&tried[..1], "why"), Finding::sealed("said"));
    }
}
