//! Where a chunked body ends, read as strictly as its head.

/// The place in a chunked body (RFC 9112 §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunks {
    /// In the digits of a size.
    Size { value: u64, digits: u8 },
    /// In an extension; hyper drops it.
    Extension { value: u64, length: u16 },
    /// The line feed of a size line is due.
    SizeEnd { value: u64 },
    /// So many bytes of the chunk are left.
    Data { left: u64 },
    /// The carriage return after a chunk is due.
    DataReturn,
    /// The line feed after a chunk is due.
    DataEnd,
    /// In the trailers, at the given place of a line.
    Trailer { line: u16, total: u16 },
    /// The line feed of a trailer line is due.
    TrailerEnd { empty: bool, total: u16 },
}

/// The body is not what its framing says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// Longest chunk extension, in bytes. No client needs one.
const MAX_EXTENSION: u16 = 1024;
/// All trailer lines together, in bytes.
const MAX_TRAILERS: u16 = 8192;

impl Chunks {
    /// Before the first chunk.
    pub(super) const START: Self = Self::Size {
        value: 0,
        digits: 0,
    };

    /// Walks over `bytes`: how many belong to the body, and where it stands then; `None` is its end.
    pub(super) fn walk(self, bytes: &[u8]) -> Result<(usize, Option<Self>), Broken> {
        let mut place = self;
        let mut walked = 0;
        while let Some(&byte) = bytes.get(walked) {
            if let Self::Data { left } = place {
                let here = bytes.len() - walked;
                let taken = usize::try_from(left).map_or(here, |left| left.min(here));
                walked += taken;
                let left = left - taken as u64;
                place = if left == 0 {
                    Self::DataReturn
                } else {
                    Self::Data { left }
                };
                continue;
            }
            walked += 1;
            match place.step(byte)? {
                Some(next) => place = next,
                None => return Ok((walked, None)),
            }
        }
        Ok((walked, Some(place)))
    }

    fn step(self, byte: u8) -> Result<Option<Self>, Broken> {
        Ok(Some(match (self, byte) {
            (Self::Size { value, digits }, _) if byte.is_ascii_hexdigit() => {
                let digit = (byte as char).to_digit(16).ok_or(Broken)?;
                // Sixteen digits are all of 64 bits; more would overflow.
                if digits == 16 {
                    return Err(Broken);
                }
                Self::Size {
                    value: value << 4 | u64::from(digit),
                    digits: digits + 1,
                }
            }
            (Self::Size { digits: 0, .. }, _) => return Err(Broken),
            (Self::Size { value, .. }, b'\r') => Self::SizeEnd { value },
            (Self::Size { value, .. }, b';') => Self::Extension { value, length: 0 },
            (Self::Extension { value, .. }, b'\r') => Self::SizeEnd { value },
            (Self::Extension { value, length }, b'\t' | b' '..=b'~') if length < MAX_EXTENSION => {
                Self::Extension {
                    value,
                    length: length + 1,
                }
            }
            (Self::SizeEnd { value: 0 }, b'\n') => Self::Trailer { line: 0, total: 0 },
            (Self::SizeEnd { value }, b'\n') => Self::Data { left: value },
            (Self::DataReturn, b'\r') => Self::DataEnd,
            (Self::DataEnd, b'\n') => Self::START,
            (Self::Trailer { line, total }, b'\r') => Self::TrailerEnd {
                empty: line == 0,
                total,
            },
            (Self::Trailer { line, total }, b'\t' | b' '..=b'~' | 0x80..)
                if total < MAX_TRAILERS =>
            {
                Self::Trailer {
                    line: line + 1,
                    total: total + 1,
                }
            }
            (Self::TrailerEnd { empty: true, .. }, b'\n') => return Ok(None),
            (Self::TrailerEnd { total, .. }, b'\n') => Self::Trailer { line: 0, total },
            _ => return Err(Broken),
        }))
    }
}
