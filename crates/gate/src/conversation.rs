//! One request to the proxy and the head of its answer: what the rows behind the proxy talk with.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use agentnet_policy::Reason;
use socket2::{Domain, Protocol, Socket, Type};

/// What the proof calls itself: nobody wanted what it asks for.
pub const PROOF: &str = "agentnet-gate";
/// What the way through the proxy for ssh and its like calls itself.
const CARRIER: &str = "agentnet-gate-connect";

/// Longest head of an answer that is read, in bytes.
const LONGEST_HEAD: usize = 16 * 1024;

/// The head of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// `X-Agentnet-Reason`, if it is one of the words.
    pub(crate) reason: Option<Reason>,
}

/// What is asked of the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask<'a> {
    /// `CONNECT authority`.
    Connect(&'a str),
    /// The same, for somebody who wants to get there.
    Carry(&'a str),
    /// `GET http://…`, as a client of a proxy asks.
    Get(&'a str),
    /// `GET /…`, as a client of a server asks: not the proxy's business.
    Origin(&'a str),
    /// `OPTIONS *`: is anybody there?
    Presence,
}

impl Ask<'_> {
    fn head(self) -> String {
        let (line, host) = match self {
            Self::Connect(authority) | Self::Carry(authority) => {
                (format!("CONNECT {authority}"), authority)
            }
            Self::Get(url) => {
                let rest = url.strip_prefix("http://").unwrap_or(url);
                (format!("GET {url}"), rest.split('/').next().unwrap_or(rest))
            }
            Self::Origin(path) => (format!("GET {path}"), "agentnet"),
            Self::Presence => ("OPTIONS *".to_owned(), "agentnet"),
        };
        let agent = match self {
            Self::Carry(_) => CARRIER,
            Self::Connect(_) | Self::Get(_) | Self::Origin(_) | Self::Presence => PROOF,
        };
        format!(
            "{line} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\nConnection: close\r\n\r\n"
        )
    }
}

/// Asks, and reads the head of the answer; all of it within `window`.
///
/// # Errors
/// Those of the connection; `InvalidData` for an answer that is not HTTP/1.
pub(crate) fn ask(proxy: SocketAddr, what: Ask<'_>, window: Duration) -> io::Result<Answer> {
    Ok(begin(proxy, what, Instant::now() + window)?.0)
}

/// Opens a tunnel for somebody else's bytes: the connection without deadlines, and what has come already.
/// No tunnel is the status line that said so.
///
/// # Errors
/// Those of the connection; `InvalidData` for an answer that is not a whole head of HTTP/1.
pub(crate) fn tunnel(
    proxy: SocketAddr,
    authority: &str,
    window: Duration,
) -> io::Result<Result<(TcpStream, Vec<u8>), String>> {
    let deadline = Instant::now() + window;
    let (head, stream, behind) = exchange(proxy, Ask::Carry(authority), deadline)?;
    let answer = parse(&head).ok_or_else(not_http)?;
    if !(200..300).contains(&answer.status) {
        let text = String::from_utf8_lossy(&head);
        let line = text.lines().next().unwrap_or_default();
        return Ok(Err(line.split_once(' ').unwrap_or_default().1.to_owned()));
    }
    if !head.ends_with(b"\r\n\r\n") {
        return Err(not_http());
    }
    stream.set_read_timeout(None)?;
    stream.set_write_timeout(None)?;
    Ok(Ok((stream, behind)))
}

/// Opens a tunnel, says `first` in it, and reads what comes back first, all of it within `window`.
/// Nothing is a tunnel that was closed. `None` is no tunnel, with the answer that said so.
///
/// # Errors
/// Those of the connection before the tunnel stands, and `TimedOut` where nothing came back.
pub(crate) fn say(
    proxy: SocketAddr,
    authority: &str,
    first: &[u8],
    window: Duration,
) -> io::Result<(Answer, Option<Vec<u8>>)> {
    let deadline = Instant::now() + window;
    let (answer, mut stream, mut heard) = begin(proxy, Ask::Connect(authority), deadline)?;
    if !(200..300).contains(&answer.status) {
        return Ok((answer, None));
    }
    if heard.is_empty() {
        let mut buffer = [0u8; 64];
        let said = stream.write_all(first).and_then(|()| {
            stream.set_read_timeout(Some(left(deadline)?))?;
            stream.read(&mut buffer)
        });
        match said {
            Ok(length) => heard.extend(buffer.get(..length).unwrap_or_default()),
            Err(error) if is_timeout(&error) => return Err(io::ErrorKind::TimedOut.into()),
            // A reset: closed.
            Err(_) => {}
        }
    }
    Ok((answer, Some(heard)))
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
    )
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(left)
}

/// The answer, the connection, and what came behind the answer's head.
fn begin(
    proxy: SocketAddr,
    what: Ask<'_>,
    deadline: Instant,
) -> io::Result<(Answer, TcpStream, Vec<u8>)> {
    let (head, stream, behind) = exchange(proxy, what, deadline)?;
    Ok((parse(&head).ok_or_else(not_http)?, stream, behind))
}

fn not_http() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the answer does not begin as HTTP/1 does",
    )
}

/// The answer's head as it came, the connection, and what came behind the head.
fn exchange(
    proxy: SocketAddr,
    what: Ask<'_>,
    deadline: Instant,
) -> io::Result<(Vec<u8>, TcpStream, Vec<u8>)> {
    let window = left(deadline)?;
    let socket = Socket::new(
        Domain::for_address(proxy),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.connect_timeout(&proxy.into(), window)?;
    let mut stream = TcpStream::from(socket);
    stream.set_write_timeout(Some(window))?;
    stream.write_all(what.head().as_bytes())?;
    let mut head = Vec::new();
    let mut buffer = [0u8; 2048];
    let end = loop {
        if let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        stream.set_read_timeout(Some(left(deadline)?))?;
        match stream.read(&mut buffer)? {
            0 => break head.len(),
            length => head.extend(buffer.get(..length).unwrap_or_default()),
        }
        if head.len() > LONGEST_HEAD {
            break head.len();
        }
    };
    let behind = head.split_off(end);
    Ok((head, stream, behind))
}

/// Reads status and reason. Header names are case-insensitive (RFC 9110 §5.1).
fn parse(head: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.split("\r\n");
    let mut words = lines.next()?.split(' ');
    words
        .next()
        .filter(|version| ["HTTP/1.1", "HTTP/1.0"].contains(version))?;
    let status = words.next().filter(|code| code.len() == 3)?.parse().ok()?;
    let reason = lines.take_while(|line| !line.is_empty()).find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("x-agentnet-reason")
            .then(|| value.trim().parse().ok())?
    });
    Some(Answer { status, reason })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn status_and_reason_are_read() {
        let head =
            b"HTTP/1.1 403 not_listed\r\nServer: x\r\nx-Agentnet-reason:  not_listed\r\n\r\n";
        let answer = Answer {
            status: 403,
            reason: Some(Reason::NotListed),
        };
        assert_eq!(parse(head), Some(answer));
        let bare = Answer {
            status: 200,
            reason: None,
        };
        assert_eq!(parse(b"HTTP/1.0 200 OK\r\n\r\n"), Some(bare.clone()));
        assert_eq!(
            parse(b"HTTP/1.1 200 OK\r\nX-Agentnet-Reason: nonsense\r\n\r\n"),
            Some(bare)
        );
        for bad in [
            b"".as_slice(),
            b"SSH-2.0-x\r\n",
            b"HTTP/2 200\r\n\r\n",
            b"HTTP/1.1 +20\r\n",
        ] {
            assert_eq!(
                parse(bad).filter(|answer| answer.status != 20),
                None,
                "{bad:?}"
            );
        }
    }

    #[test]
    fn a_proxy_that_says_nothing_is_given_up_on() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let begun = Instant::now();
        let ended = ask(
            address,
            Ask::Connect("a.example:443"),
            Duration::from_millis(50),
        );
        assert!(ended.is_err());
        assert!(begun.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn requests_are_written_as_clients_write_them() {
        let connect = Ask::Connect("[::1]:9").head();
        assert!(connect.starts_with("CONNECT [::1]:9 HTTP/1.1\r\nHost: [::1]:9\r\n"));
        let get = Ask::Get("http://169.254.169.254/latest/").head();
        let line = "GET http://169.254.169.254/latest/ HTTP/1.1\r\nHost: 169.254.169.254\r\n";
        assert!(get.starts_with(line), "{get}");
        assert!(
            Ask::Origin("/metrics")
                .head()
                .starts_with("GET /metrics HTTP/1.1\r\n")
        );
    }
}
