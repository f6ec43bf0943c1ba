//! What a relay and the proxy say to each other, in both directions of one unix socket.
//!
//! The relay begins with 8 bytes: a magic letter, what it wants, and an address with a port. What
//! follows a connection's is the client's. What follows a request for the list are lists: their
//! length in two bytes, and six bytes a door, each time they change.

use std::net::{Ipv4Addr, SocketAddrV4};

/// Doors of one listener: what a relay listens at, at most.
pub const MAX_DOORS: usize = 256;

/// Bytes with which a relay begins.
pub const OPENING: usize = 8;

/// Where doors are. No part of it is anybody's but the relay's: 127.0.0.1 is the task's, and
/// 127.128.0.0/24 has the doors for everything that says its name.
const NETWORK: [u8; 2] = [127, 128];

const MAGIC: u8 = b'A';
const CONNECTION: u8 = b'C';
const LIST: u8 = b'L';

/// Bytes of a door in a list.
const ENTRY: usize = 6;

/// What a relay wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// To be told where to listen, now and whenever that changes.
    List,
    /// To bring a connection that came in at this door.
    Connection(SocketAddrV4),
}

impl Opening {
    /// As it is sent.
    #[must_use]
    pub fn bytes(self) -> [u8; OPENING] {
        match self {
            Self::List => [MAGIC, LIST, 0, 0, 0, 0, 0, 0],
            Self::Connection(door) => {
                let [a, b, c, d, high, low] = entry(door);
                [MAGIC, CONNECTION, a, b, c, d, high, low]
            }
        }
    }

    /// Reads what was sent; `None` is nothing that a relay says.
    #[must_use]
    pub fn read(bytes: [u8; OPENING]) -> Option<Self> {
        match bytes {
            [MAGIC, LIST, 0, 0, 0, 0, 0, 0] => Some(Self::List),
            [MAGIC, CONNECTION, a, b, c, d, high, low] => {
                door([a, b, c, d, high, low]).map(Self::Connection)
            }
            _ => None,
        }
    }
}

/// Whether a door may be there.
#[must_use]
pub fn is_place(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    [a, b] == NETWORK && c != 0
}

/// A list as it is sent. Of more doors than there may be, the first.
#[must_use]
pub fn list(doors: &[SocketAddrV4]) -> Vec<u8> {
    let doors = doors.get(..MAX_DOORS).unwrap_or(doors);
    let count = u16::try_from(doors.len()).unwrap_or_default();
    let mut bytes = count.to_be_bytes().to_vec();
    bytes.extend(doors.iter().flat_map(|door| entry(*door)));
    bytes
}

/// What stands at the beginning of what was received so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// Not yet a whole list.
    Part,
    /// A list, and its length in bytes.
    List(Vec<SocketAddrV4>, usize),
    /// Nothing that a proxy says: too many doors, or one at a place that is not a door's.
    Wrong,
}

/// Reads a list.
#[must_use]
pub fn read_list(bytes: &[u8]) -> Received {
    let Some((count, rest)) = bytes.split_first_chunk::<2>() else {
        return Received::Part;
    };
    let count = usize::from(u16::from_be_bytes(*count));
    if count > MAX_DOORS {
        return Received::Wrong;
    }
    let Some(entries) = rest.get(..count * ENTRY) else {
        return Received::Part;
    };
    let (entries, _) = entries.as_chunks::<ENTRY>();
    match entries.iter().map(|entry| door(*entry)).collect() {
        Some(doors) => Received::List(doors, 2 + count * ENTRY),
        None => Received::Wrong,
    }
}

fn entry(door: SocketAddrV4) -> [u8; ENTRY] {
    let [a, b, c, d] = door.ip().octets();
    let [high, low] = door.port().to_be_bytes();
    [a, b, c, d, high, low]
}

fn door([a, b, c, d, high, low]: [u8; ENTRY]) -> Option<SocketAddrV4> {
    let address = Ipv4Addr::new(a, b, c, d);
    let port = u16::from_be_bytes([high, low]);
    (is_place(address) && port != 0).then(|| SocketAddrV4::new(address, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doors(texts: &[&str]) -> Vec<SocketAddrV4> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn an_opening_is_read_as_it_was_said_and_nothing_else_is_one() {
        let door = doors(&["127.128.7.9:22"])[0];
        for opening in [Opening::List, Opening::Connection(door)] {
            assert_eq!(Opening::read(opening.bytes()), Some(opening));
        }
        for bytes in [
            *b"GET / HT",
            [0; 8],
            [b'A', b'L', 0, 0, 0, 0, 0, 1],
            [b'A', b'C', 127, 128, 7, 9, 0, 0],
            [b'A', b'C', 127, 128, 0, 1, 0, 22],
            [b'A', b'C', 127, 0, 0, 1, 0, 22],
            [b'A', b'C', 10, 0, 0, 1, 0, 22],
        ] {
            assert_eq!(Opening::read(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn a_list_is_read_however_it_is_cut_and_only_once() {
        let said = doors(&["127.128.7.9:22", "127.128.255.254:65535"]);
        let mut bytes = list(&said);
        let whole = bytes.len();
        bytes.extend(list(&[]));
        for cut in 0..whole {
            assert_eq!(read_list(&bytes[..cut]), Received::Part, "{cut}");
        }
        assert_eq!(read_list(&bytes), Received::List(said, whole));
        assert_eq!(read_list(&bytes[whole..]), Received::List(Vec::new(), 2));
    }

    #[test]
    fn a_list_that_no_proxy_says_is_refused() {
        for door in [
            "127.0.0.1:5432",
            "127.128.0.1:8888",
            "0.0.0.0:22",
            "127.128.1.1:0",
        ] {
            let bytes = list(&doors(&[door]));
            assert_eq!(read_list(&bytes), Received::Wrong, "{door}");
        }
        let many = vec![doors(&["127.128.1.1:1"])[0]; MAX_DOORS + 1];
        let Received::List(read, _) = read_list(&list(&many)) else {
            panic!("no list")
        };
        assert_eq!(read.len(), MAX_DOORS);
        let more = u16::try_from(MAX_DOORS + 1).unwrap().to_be_bytes();
        assert_eq!(read_list(&more), Received::Wrong);
    }
}
