//! Dumps from the kernel over `NETLINK_ROUTE`: unprivileged, every routing table, and prefix
//! lengths and neighbours that `/proc/net` spells only in part.
//!
//! Only what the gate needs: one request, one bounded dump, attributes as byte slices.

use std::io;
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// What to dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dump {
    Links,
    Addresses,
    Routes,
    Neighbours,
}

impl Dump {
    /// The `RTM_GET…` of rtnetlink(7).
    fn request(self) -> u16 {
        match self {
            Self::Links => 18,
            Self::Addresses => 22,
            Self::Routes => 26,
            Self::Neighbours => 30,
        }
    }

    /// The `RTM_NEW…` that answers.
    fn answer(self) -> u16 {
        self.request() - 2
    }

    /// Length of the fixed header before the attributes, in bytes.
    pub(crate) fn header(self) -> usize {
        match self {
            Self::Links => 16,
            Self::Addresses => 8,
            Self::Routes | Self::Neighbours => 12,
        }
    }
}

/// One answer: its fixed header and its attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) header: Vec<u8>,
    attributes: Vec<(u16, Vec<u8>)>,
}

impl Message {
    /// The value of an attribute, if it is there.
    pub(crate) fn attribute(&self, kind: u16) -> Option<&[u8]> {
        self.attributes
            .iter()
            .find(|(k, _)| *k == kind)
            .map(|(_, value)| value.as_slice())
    }

    /// A header byte; zero past the end, which no reader takes for something harmless.
    pub(crate) fn byte(&self, at: usize) -> u8 {
        self.header.get(at).copied().unwrap_or_default()
    }

    /// A 32-bit header field.
    pub(crate) fn word(&self, at: usize) -> u32 {
        u32_at(&self.header, at).unwrap_or_default()
    }
}

const DONE: u16 = 3;
const ERROR: u16 = 2;
const FLAG_INTERRUPTED: u16 = 0x10;
const REQUEST_DUMP: u16 = 0x301;
/// A namespace with more than this is not one that we made; better an error than a long start.
const MOST_MESSAGES: usize = 16_384;

/// Asks the kernel for one table; asks again when the table changed half way.
///
/// # Errors
/// The system's own, `TimedOut` after one second of silence, `InvalidData` on an answer that is
/// malformed or too long.
pub(crate) fn dump(what: Dump) -> io::Result<Vec<Message>> {
    for _ in 0..4 {
        if let Some(messages) = dump_once(what)? {
            return Ok(messages);
        }
    }
    Err(io::Error::other(
        "the kernel's table changed during four dumps",
    ))
}

fn dump_once(what: Dump) -> io::Result<Option<Vec<Message>>> {
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        None, // NETLINK_ROUTE is protocol 0
    )?;
    set_socket_timeout(&socket, Timeout::Recv, Some(Duration::from_secs(1)))?;
    // An unbound netlink socket sends to the kernel (port 0).
    rustix::net::send(&socket, &request(what), SendFlags::empty())?;
    let mut messages = Vec::new();
    let mut buffer = vec![0u8; 64 * 1024];
    loop {
        let (length, real) = rustix::net::recv(&socket, &mut buffer[..], RecvFlags::TRUNC)?;
        if real > length {
            return Err(malformed("an answer longer than 64 KiB"));
        }
        let datagram = buffer.get(..length).unwrap_or_default();
        match parse(what, datagram, &mut messages)? {
            Progress::More => {}
            Progress::Done => return Ok(Some(messages)),
            Progress::Interrupted => return Ok(None),
        }
        if messages.len() > MOST_MESSAGES {
            return Err(malformed("more than 16384 entries"));
        }
    }
}

fn request(what: Dump) -> Vec<u8> {
    let length = 16 + what.header();
    let mut bytes = Vec::with_capacity(length);
    bytes.extend((length as u32).to_ne_bytes());
    bytes.extend(what.request().to_ne_bytes());
    bytes.extend(REQUEST_DUMP.to_ne_bytes());
    bytes.resize(length, 0);
    bytes
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    More,
    Done,
    Interrupted,
}

/// Takes one datagram apart (netlink(7): headers and bodies aligned to four bytes).
fn parse(what: Dump, datagram: &[u8], into: &mut Vec<Message>) -> io::Result<Progress> {
    let mut rest = datagram;
    while !rest.is_empty() {
        let (Some(length), Some(kind), Some(flags)) =
            (u32_at(rest, 0), u16_at(rest, 4), u16_at(rest, 6))
        else {
            return Err(malformed("a truncated header"));
        };
        let length = length as usize;
        let body = rest
            .get(16..length)
            .ok_or_else(|| malformed("a length past the end"))?;
        if flags & FLAG_INTERRUPTED != 0 {
            return Ok(Progress::Interrupted);
        }
        match kind {
            DONE => return Ok(Progress::Done),
            ERROR => {
                let code = u32_at(body, 0).unwrap_or_default().cast_signed();
                return Err(io::Error::from_raw_os_error(code.saturating_neg()));
            }
            kind if kind == what.answer() => {
                let (header, attributes) = body
                    .split_at_checked(what.header())
                    .ok_or_else(|| malformed("a short message"))?;
                let attributes = attributes_of(attributes)?;
                into.push(Message {
                    header: header.to_vec(),
                    attributes,
                });
            }
            _ => {}
        }
        rest = rest.get(aligned(length)..).unwrap_or_default();
    }
    Ok(Progress::More)
}

fn attributes_of(mut rest: &[u8]) -> io::Result<Vec<(u16, Vec<u8>)>> {
    let mut attributes = Vec::new();
    while rest.len() >= 4 {
        let length = usize::from(u16_at(rest, 0).unwrap_or_default());
        // The two high bits say "nested" and "network byte order".
        let kind = u16_at(rest, 2).unwrap_or_default() & 0x3fff;
        let value = rest
            .get(4..length)
            .ok_or_else(|| malformed("an attribute's length past the end"))?;
        attributes.push((kind, value.to_vec()));
        rest = rest.get(aligned(length)..).unwrap_or_default();
    }
    Ok(attributes)
}

fn aligned(length: usize) -> usize {
    length.saturating_add(3) & !3
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(
        bytes.get(at..at.checked_add(2)?)?.try_into().ok()?,
    ))
}

/// A 32-bit number in the machine's byte order.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(
        bytes.get(at..at.checked_add(4)?)?.try_into().ok()?,
    ))
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("netlink: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend((16 + body.len() as u32).to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend(body);
        bytes.resize(aligned(bytes.len()), 0);
        bytes
    }

    #[test]
    fn messages_and_attributes_are_taken_apart() {
        let mut body = vec![2, 32, 0, 0, 7, 0, 0, 0];
        body.extend([8, 0, 1, 0, 10, 0, 0, 1]); // attribute 1, four bytes
        body.extend([5, 0, 2, 0x80, 9, 0, 0, 0]); // attribute 2, nested flag, one byte, padded
        let mut datagram = message(20, 2, &body);
        datagram.extend(message(DONE, 2, &[0; 4]));
        let mut messages = Vec::new();
        assert_eq!(
            parse(Dump::Addresses, &datagram, &mut messages).unwrap(),
            Progress::Done
        );
        let [only] = messages.as_slice() else {
            panic!("not one")
        };
        assert_eq!((only.byte(1), only.word(4)), (32, 7));
        assert_eq!(only.attribute(1), Some([10, 0, 0, 1].as_slice()));
        assert_eq!(only.attribute(2), Some([9].as_slice()));
        assert_eq!(only.attribute(3), None);
    }

    #[test]
    fn every_truncation_is_an_error_or_asks_for_more_and_never_panics() {
        let mut body = vec![2, 32, 0, 0, 7, 0, 0, 0];
        body.extend([8, 0, 1, 0, 10, 0, 0, 1]);
        let datagram = message(20, 2, &body);
        for cut in 1..datagram.len() {
            let mut messages = Vec::new();
            assert!(
                parse(Dump::Addresses, &datagram[..cut], &mut messages).is_err(),
                "{cut}"
            );
        }
        for length in [0u32, 3, 15, 17, u32::MAX] {
            let mut bad = datagram.clone();
            bad.splice(..4, length.to_ne_bytes());
            assert!(
                parse(Dump::Addresses, &bad, &mut Vec::new()).is_err(),
                "{length}"
            );
        }
    }

    #[test]
    fn an_error_and_an_interrupted_dump_are_told_apart() {
        let refused = message(ERROR, 0, &(-1i32).to_ne_bytes());
        let error = parse(Dump::Links, &refused, &mut Vec::new()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(1));
        let interrupted = message(16, FLAG_INTERRUPTED, &[0; 16]);
        let progress = parse(Dump::Links, &interrupted, &mut Vec::new()).unwrap();
        assert_eq!(progress, Progress::Interrupted);
    }

    #[test]
    fn the_real_kernel_answers_every_dump() {
        for what in [Dump::Links, Dump::Addresses, Dump::Routes, Dump::Neighbours] {
            dump(what).unwrap_or_else(|error| panic!("{what:?}: {error}"));
        }
        let links = dump(Dump::Links).unwrap();
        assert!(links.iter().any(|link| link.attribute(3) == Some(b"lo\0")));
    }
}
