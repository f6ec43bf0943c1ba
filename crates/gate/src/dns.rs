//! A question to one nameserver, made and read by hand: the gate has no resolver, and wants none
//! whose configuration an image could bring.
//!
//! Only what the rows need of RFC 1035: one A question, and from the answer the identifier, the
//! response code and the addresses.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::Ipv4Addr;

/// Longest answer that is read, in bytes.
pub(crate) const LONGEST: usize = 1232;
/// Most records of one answer that are looked at.
const MOST_RECORDS: usize = 64;

const TYPE_A: u16 = 1;
const CLASS_IN: u16 = 1;

/// A question, with an identifier that nobody can foretell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    id: u16,
    bytes: Vec<u8>,
}

/// What a nameserver said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The response code: 0 no error, 2 server failure, 3 no such name, 5 refused.
    pub(crate) code: u8,
    pub(crate) addresses: Vec<Ipv4Addr>,
    /// Records in the answer section, of whatever type.
    pub(crate) records: u16,
}

impl Question {
    /// Asks for the IPv4 addresses of a name that we wrote ourselves; labels over 63 bytes are cut.
    pub(crate) fn new(name: &str) -> Self {
        // RandomState draws its keys from the kernel.
        let id = (RandomState::new().build_hasher().finish() & 0xffff) as u16;
        let mut bytes = Vec::with_capacity(64);
        bytes.extend(id.to_be_bytes());
        bytes.extend([1, 0]); // recursion desired
        bytes.extend([0, 1, 0, 0, 0, 0, 0, 0]); // one question
        for label in name.split('.').filter(|label| !label.is_empty()) {
            let label: Vec<u8> = label.bytes().take(63).collect();
            bytes.push(label.len() as u8);
            bytes.extend(label);
        }
        bytes.push(0);
        bytes.extend(TYPE_A.to_be_bytes());
        bytes.extend(CLASS_IN.to_be_bytes());
        Self { id, bytes }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads an answer to this question; `None` for one that is malformed or answers another.
    pub(crate) fn read(&self, datagram: &[u8]) -> Option<Answer> {
        let id = u16_at(datagram, 0)?;
        let flags = u16_at(datagram, 2)?;
        if id != self.id || flags & 0x8000 == 0 {
            return None;
        }
        let questions = u16_at(datagram, 4)?;
        let records = u16_at(datagram, 6)?;
        let mut at = 12;
        for _ in 0..questions.min(4) {
            at = after_name(datagram, at)?.checked_add(4)?;
        }
        let mut addresses = Vec::new();
        for _ in 0..usize::from(records).min(MOST_RECORDS) {
            at = after_name(datagram, at)?;
            let kind = u16_at(datagram, at)?;
            let length = usize::from(u16_at(datagram, at.checked_add(8)?)?);
            let start = at.checked_add(10)?;
            at = start.checked_add(length)?;
            let data = datagram.get(start..at)?;
            if kind == TYPE_A {
                addresses.push(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?));
            }
        }
        Some(Answer {
            code: (flags & 15) as u8,
            addresses,
            records,
        })
    }
}

/// The position after a name: labels until the root, or until a pointer (RFC 1035 §4.1.4).
fn after_name(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let length = *bytes.get(at)?;
        match length {
            0 => return at.checked_add(1),
            1..=63 => at = at.checked_add(1 + usize::from(length))?,
            192..=255 => return at.checked_add(2),
            64..=191 => return None,
        }
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(
        bytes.get(at..at.checked_add(2)?)?.try_into().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer to `question`: the question copied, then one record that points back to it.
    fn answer(question: &Question, code: u8, data: &[[u8; 4]]) -> Vec<u8> {
        let mut bytes = question.bytes.clone();
        bytes[2] = 0x81;
        bytes[3] = 0x80 | code;
        bytes[7] = data.len() as u8;
        for address in data {
            bytes.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
            bytes.extend(address);
        }
        bytes
    }

    #[test]
    fn addresses_and_codes_are_read() {
        let question = Question::new("example.com");
        assert!(
            question
                .bytes()
                .ends_with(b"\x07example\x03com\x00\x00\x01\x00\x01")
        );
        let read = question
            .read(&answer(&question, 0, &[[1, 2, 3, 4], [5, 6, 7, 8]]))
            .unwrap();
        assert_eq!(
            read.addresses,
            [Ipv4Addr::new(1, 2, 3, 4), Ipv4Addr::new(5, 6, 7, 8)]
        );
        let read = question.read(&answer(&question, 3, &[])).unwrap();
        assert_eq!(
            read,
            Answer {
                code: 3,
                addresses: vec![],
                records: 0
            }
        );
    }

    #[test]
    fn an_answer_to_somebody_else_is_not_one() {
        let question = Question {
            id: 7,
            ..Question::new("example.com")
        };
        let mut bytes = answer(&question, 0, &[[1, 2, 3, 4]]);
        bytes[0] = 0;
        bytes[1] = 8;
        assert_eq!(question.read(&bytes), None);
        bytes[1] = 7;
        assert!(question.read(&bytes).is_some());
        bytes[2] = 0x01; // a question, not an answer
        assert_eq!(question.read(&bytes), None);
    }

    #[test]
    fn truncation_and_nonsense_are_no_answer_and_never_a_panic() {
        let question = Question::new("example.com");
        let whole = answer(&question, 0, &[[1, 2, 3, 4]]);
        for cut in 0..whole.len() {
            assert_eq!(question.read(&whole[..cut]), None, "{cut}");
        }
        for at in 2..whole.len() {
            for value in [0, 0x40, 0x80, 0xc0, 0xff] {
                let mut bad = whole.clone();
                bad[at] = value;
                drop(question.read(&bad));
            }
        }
    }
}
