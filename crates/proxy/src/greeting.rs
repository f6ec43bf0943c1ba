//! The first bytes of a tunnel: they must be TLS for the target, or plain HTTP, unless the rule says
//! `raw`.
//!
//! Between the 200 and the copying, the client is read until its ClientHello is whole, and nothing is
//! passed on in either direction. A server that speaks first speaks no TLS.

use std::future::poll_fn;
use std::time::Duration;

use agentnet_policy::{Reason, Target};
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, sleep_until};

use crate::hello::{Fault, HANDSHAKE, Reader};
use crate::request::MAX_METHOD;
use crate::tunnel::Overseer;

/// Time for a ClientHello once its first byte is there (THREATS W83).
const WHOLE: Duration = Duration::from_secs(5);

/// Bytes read at once.
const PIECE: usize = 4096;

/// What a tunnel's first bytes turned out to be.
#[derive(Debug)]
pub enum Greeted {
    /// TLS for the target; the bytes, untouched.
    Tls(Bytes),
    /// Plain HTTP; the bytes that have come so far.
    Http(Bytes),
    /// Something else, or another host; what both sides have said so far.
    Refused {
        /// What is wrong.
        fault: Fault,
        /// From the client.
        up: Bytes,
        /// From the upstream.
        down: Bytes,
    },
    /// It ended before, for this reason: `allowed` where a side went away without a word.
    Ended(Reason),
}

/// What is required of a greeting.
#[derive(Debug)]
pub struct Expected<'a> {
    /// Whose name it must have.
    pub target: &'a Target,
    /// Whether an encrypted part passes.
    pub ech: bool,
    /// Time for the first byte.
    pub patience: Duration,
}

/// Reads the greeting. `first` is what the client has said already.
pub async fn greet<C, U, O>(
    client: &mut C,
    upstream: &mut U,
    first: Bytes,
    expected: Expected<'_>,
    overseer: &O,
) -> Greeted
where
    C: AsyncRead + Unpin,
    U: AsyncRead + Unpin,
    O: Overseer,
{
    let mut reader = Reader::default();
    let mut said = Vec::from(first);
    let mut fed = 0;
    let mut until = Instant::now() + expected.patience;
    let mut early = [0; 1];
    let refused = |fault, up: Vec<u8>, down: &[u8]| Greeted::Refused {
        fault,
        up: up.into(),
        down: Bytes::copy_from_slice(down),
    };
    loop {
        match said.first() {
            None => {}
            Some(&HANDSHAKE) => match reader.feed(said.get(fed..).unwrap_or_default()) {
                Ok(Some(hello)) => {
                    return match hello.check(expected.target, expected.ech) {
                        Ok(()) => Greeted::Tls(said.into()),
                        Err(fault) => refused(fault, said, &[]),
                    };
                }
                Ok(None) => {}
                Err(fault) => return refused(fault, said, &[]),
            },
            Some(_) => match begins_http(&said) {
                Some(true) => return Greeted::Http(said.into()),
                Some(false) => return refused(Fault::NotTls, said, &[]),
                None => {}
            },
        }
        if fed == 0 && !said.is_empty() {
            until = Instant::now() + WHOLE;
        }
        fed = said.len();
        said.reserve(PIECE);
        let came = tokio::select! {
            biased;
            reason = poll_fn(|cx| overseer.poll_stop(cx)) => return Greeted::Ended(reason),
            read = client.read_buf(&mut said) => read,
            spoke = upstream.read(&mut early) => return match spoke {
                Ok(0) | Err(_) => Greeted::Ended(Reason::UpstreamFailed),
                Ok(_) => refused(Fault::NotTls, said, &early),
            },
            () = sleep_until(until) => return Greeted::Ended(Reason::TimedOut),
        };
        match came {
            Ok(0) | Err(_) if fed == 0 => return Greeted::Ended(Reason::Allowed),
            Ok(0) | Err(_) => return refused(Fault::NotTls, said, &[]),
            Ok(_) => {}
        }
    }
}

/// Whether the bytes begin with a method in upper case and a space; `None` is not known yet. SSH and
/// other greetings in letters have something else before their first space.
fn begins_http(bytes: &[u8]) -> Option<bool> {
    let method = bytes.iter().position(|byte| !byte.is_ascii_uppercase());
    match method {
        None if bytes.len() <= MAX_METHOD => None,
        None | Some(0) => Some(false),
        Some(end) => Some(end <= MAX_METHOD && bytes.get(end) == Some(&b' ')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_http_from_other_greetings_in_letters() {
        for (bytes, begins) in [
            ("", None),
            ("GE", None),
            ("GET", None),
            ("GET ", Some(true)),
            ("OPTIONS * HTTP/1.1\r\n", Some(true)),
            ("SSH-2.0-OpenSSH_9.2 Debian\r\n", Some(false)),
            ("get / HTTP/1.1", Some(false)),
            (" GET", Some(false)),
            ("ABCDEFGHIJKLMNOPQRSTUVWX", None),
            ("ABCDEFGHIJKLMNOPQRSTUVWXY", Some(false)),
            ("ABCDEFGHIJKLMNOPQRSTUVWXYZ ", Some(false)),
        ] {
            assert_eq!(begins_http(bytes.as_bytes()), begins, "{bytes:?}");
        }
    }
}
