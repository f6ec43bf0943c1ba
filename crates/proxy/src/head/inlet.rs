//! A client's bytes on their way to hyper: heads are held until they are whole and checked.

use super::chunks::{Broken, Chunks};
use super::{Fault, Framing, check, is_token};

/// Follows the framing of a client's requests, so that every head is checked before hyper reads it,
/// on a kept connection as well. What it cannot follow is refused, so it and hyper never disagree
/// about where a message ends.
///
/// It owns no memory unless a head came in pieces.
#[derive(Debug)]
pub struct Inlet {
    pub(super) place: Place,
    max_head: usize,
    /// The beginning of a head; nothing of it has been passed on.
    held: Vec<u8>,
    /// How far the head at hand has been looked through, and where its last line begins.
    seen: usize,
    line: usize,
    /// One empty line before a request line is let through (RFC 9112 §2.2).
    blank: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Head,
    Content(u64),
    Chunks(Chunks),
    Tunnel,
    /// After a fault: nothing passes any more.
    Over,
}

/// Why nothing passes any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// A head; it can be answered.
    Head(Fault),
    /// The body of a request that is under way: it must end as broken, never as complete.
    Body,
}

/// What may go on.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Passage {
    /// Bytes that were held and come first.
    pub held: Vec<u8>,
    /// How many of the fresh bytes follow.
    pub fresh: usize,
    /// What stops the rest.
    pub stop: Option<Stop>,
}

impl Inlet {
    /// `max_head` is the longest head in bytes.
    #[must_use]
    pub fn new(max_head: usize) -> Self {
        Self {
            place: Place::Head,
            max_head,
            held: Vec::new(),
            seen: 0,
            line: 0,
            blank: false,
        }
    }

    /// True once a fault has been found.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.place == Place::Over
    }

    /// What was read and never passed: the beginning of a head, or what was no head.
    #[must_use]
    pub fn into_rest(self) -> Vec<u8> {
        self.held
    }

    /// Decides about bytes that have just been read.
    pub fn admit(&mut self, fresh: &[u8]) -> Passage {
        if self.is_over() {
            return Passage::default();
        }
        if self.held.is_empty() {
            let (passed, stop) = self.walk(fresh);
            self.held = fresh.get(passed..).unwrap_or_default().to_vec();
            return Passage {
                held: Vec::new(),
                fresh: passed,
                stop,
            };
        }
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(fresh);
        let (passed, stop) = self.walk(&held);
        self.held = held.split_off(passed.min(held.len()));
        Passage {
            held,
            fresh: 0,
            stop,
        }
    }

    /// How many bytes from the beginning may pass; what is left is the beginning of a head.
    fn walk(&mut self, bytes: &[u8]) -> (usize, Option<Stop>) {
        let mut at = 0;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            if rest.is_empty() {
                return (at, None);
            }
            match self.place {
                Place::Tunnel => return (bytes.len(), None),
                Place::Over => return (at, None),
                Place::Content(left) => {
                    let taken =
                        usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
                    at += taken;
                    self.place = match left - taken as u64 {
                        0 => Place::Head,
                        left => Place::Content(left),
                    };
                }
                Place::Chunks(chunks) => match chunks.walk(rest) {
                    Ok((walked, Some(chunks))) => {
                        at += walked;
                        self.place = Place::Chunks(chunks);
                    }
                    Ok((walked, None)) => {
                        at += walked;
                        self.place = Place::Head;
                    }
                    Err(Broken) => {
                        self.place = Place::Over;
                        return (at, Some(Stop::Body));
                    }
                },
                Place::Head => match self.head(rest) {
                    Ok(Some(length)) => at += length,
                    Ok(None) => return (at, None),
                    Err(fault) => {
                        self.place = Place::Over;
                        return (at, Some(Stop::Head(fault)));
                    }
                },
            }
        }
    }

    /// Looks for the end of the head that begins with `bytes`, and moves on behind it.
    fn head(&mut self, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        if let Some(&first) = bytes.first()
            && !is_token(first)
            && first != b'\r'
        {
            return Err(Fault::NotHttp);
        }
        while let Some(found) = memchr::memchr(b'\n', bytes.get(self.seen..).unwrap_or_default()) {
            let end = self.seen + found + 1;
            if end < 2 || bytes.get(end - 2) != Some(&b'\r') {
                return Err(Fault::LineEnd);
            }
            let is_empty = end - self.line == 2;
            (self.seen, self.line) = (end, end);
            if !is_empty {
                continue;
            }
            if end == 2 && !self.blank {
                self.blank = true;
                (self.seen, self.line) = (0, 0);
                return Ok(Some(end));
            }
            if end > self.max_head {
                return Err(Fault::TooLarge);
            }
            let framing = check(bytes.get(..end).unwrap_or_default())?;
            (self.seen, self.line, self.blank) = (0, 0, false);
            self.place = match framing {
                Framing::None => Place::Head,
                Framing::Length(length) => Place::Content(length),
                Framing::Chunked => Place::Chunks(Chunks::START),
                Framing::Tunnel => Place::Tunnel,
            };
            return Ok(Some(end));
        }
        self.seen = bytes.len();
        if bytes.len() > self.max_head {
            return Err(Fault::TooLarge);
        }
        Ok(None)
    }
}
