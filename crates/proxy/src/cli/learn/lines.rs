//! Lines of a log of any size, a bounded piece at a time.

use std::io::{self, BufRead};

/// The longest line that is kept. An event's texts are at most 2 KiB each.
pub(super) const MAX_LINE: usize = 64 * 1024;

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// All of it, without its end.
    Whole(&'a [u8]),
    /// The last of a log, without a line end: perhaps still being written.
    Torn(&'a [u8]),
    /// More than is kept.
    TooLong,
}

/// Gives each line to `take`.
///
/// # Errors
/// When the log cannot be read on.
pub(super) fn each(mut log: impl BufRead, mut take: impl FnMut(Line<'_>)) -> io::Result<()> {
    let mut kept: Vec<u8> = Vec::new();
    let mut too_long = false;
    loop {
        let piece = match log.fill_buf() {
            Ok(piece) => piece,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if piece.is_empty() {
            match (too_long, kept.is_empty()) {
                (true, _) => take(Line::TooLong),
                (false, true) => {}
                (false, false) => take(Line::Torn(&kept)),
            }
            return Ok(());
        }
        let end = piece.iter().position(|byte| *byte == b'\n');
        let part = piece.get(..end.unwrap_or(piece.len())).unwrap_or_default();
        if kept.len() + part.len() > MAX_LINE {
            too_long = true;
            kept.clear();
        } else if !too_long {
            kept.extend_from_slice(part);
        }
        let used = end.map_or(piece.len(), |end| end + 1);
        if end.is_some() {
            take(if too_long {
                Line::TooLong
            } else {
                Line::Whole(&kept)
            });
            kept.clear();
            too_long = false;
        }
        log.consume(used);
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn lines(text: &[u8], piece: usize) -> Vec<String> {
        let mut seen = Vec::new();
        each(BufReader::with_capacity(piece, text), |line| {
            seen.push(match line {
                Line::Whole(line) => String::from_utf8_lossy(line).into_owned(),
                Line::Torn(line) => format!("torn {}", String::from_utf8_lossy(line)),
                Line::TooLong => "too long".to_owned(),
            });
        })
        .unwrap();
        seen
    }

    #[test]
    fn lines_are_the_same_whatever_the_pieces() {
        for piece in [1, 2, 3, 7, 4096] {
            assert_eq!(lines(b"", piece), [""; 0]);
            assert_eq!(lines(b"a\n\nbc\n", piece), ["a", "", "bc"]);
            assert_eq!(lines(b"a\nbc", piece), ["a", "torn bc"]);
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_left_out_and_the_next_is_not() {
        let long = "x".repeat(MAX_LINE + 1);
        let text = format!("a\n{long}\nb\n{long}");
        assert_eq!(
            lines(text.as_bytes(), 8192),
            ["a", "too long", "b", "too long"]
        );
        let whole = "x".repeat(MAX_LINE);
        assert_eq!(lines(format!("{whole}\n").as_bytes(), 8192), [whole]);
    }
}
