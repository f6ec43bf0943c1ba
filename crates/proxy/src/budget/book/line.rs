//! One line of the book: `CHECKSUM +BYTES LISTENER WORDS…`, or `CHECKSUM lost`.

use std::fmt;

use crate::budget::Key;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// So much more is reserved for a purse, or less.
    Change(Key, i128),
    /// What stood in the file before is not known.
    Lost,
}

impl Line {
    pub(super) fn parse(line: &str) -> Option<Self> {
        let (sum, said) = line.split_once(' ')?;
        if sum != checksum(said) {
            return None;
        }
        if said == "lost" {
            return Some(Self::Lost);
        }
        let (by, key) = said.split_once(' ')?;
        Some(Self::Change(Key::read(key), by.parse().ok()?))
    }

    /// True for a line whose end is another byte than it was.
    pub(super) fn is_spoilt(tail: &[u8]) -> bool {
        let line = tail.split_last().map(|(_, line)| std::str::from_utf8(line));
        matches!(line, Some(Ok(line)) if Self::parse(line).is_some())
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = match self {
            Self::Change(key, by) => format!("{by:+} {key}"),
            Self::Lost => "lost".to_owned(),
        };
        writeln!(f, "{} {said}", checksum(&said))
    }
}

/// FNV-1a: it is for disks, not for people, and std promises nothing about its hashes.
fn checksum(said: &str) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in said.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let key = Key::new("agent", "**.example.org raw up=5MB");
        for line in [
            Line::Lost,
            Line::Change(key.clone(), 5),
            Line::Change(key, -7),
        ] {
            let text = line.to_string();
            assert_eq!(Line::parse(text.trim_end()), Some(line));
        }
    }

    #[test]
    fn takes_no_line_in_which_a_byte_is_another() {
        let text = Line::Change(Key::new("a", "b.example"), 4096).to_string();
        let text = text.trim_end();
        for place in 0..text.len() {
            let mut bytes = text.as_bytes().to_vec();
            bytes[place] ^= 1;
            let changed = String::from_utf8(bytes).unwrap();
            assert_eq!(Line::parse(&changed), None, "{changed}");
        }
        for cut in 0..text.len() {
            assert_eq!(Line::parse(text.get(..cut).unwrap()), None);
        }
    }
}
