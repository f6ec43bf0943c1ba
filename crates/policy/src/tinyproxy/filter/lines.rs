//! Which patterns a filter file has, as Tinyproxy's loop over `fgets` finds them.

use std::ops::Range;

use super::bytes::is_space;

/// Tinyproxy's buffer has 512 bytes, one of them for the end.
const BUFFER: usize = 511;

/// A pattern and its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::tinyproxy) struct Line {
    /// From 1.
    pub(in crate::tinyproxy) number: u32,
    /// Where in the file the pattern stands.
    pub(in crate::tinyproxy) text: Range<usize>,
    /// Where in the file its comment stands.
    pub(in crate::tinyproxy) comment: Range<usize>,
    /// What is odd about it.
    pub(in crate::tinyproxy) odd: Option<Odd>,
}

/// What Tinyproxy reads otherwise than it looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::tinyproxy) enum Odd {
    /// Words behind the pattern that are no comment. They are not read.
    MoreWords,
    /// The line is longer than the buffer. What follows is read as another line.
    CutOff,
}

/// All patterns, in order.
pub(in crate::tinyproxy) fn lines(text: &[u8]) -> Vec<Line> {
    let mut found = Vec::new();
    let mut start = if text.starts_with("\u{FEFF}".as_bytes()) {
        3
    } else {
        0
    };
    let mut number = 1;
    while let Some(rest) = text.get(start..).filter(|rest| !rest.is_empty()) {
        let newline = rest.iter().take(BUFFER).position(|&b| b == b'\n');
        let length = newline.map_or(rest.len().min(BUFFER), |at| at + 1);
        let cut = newline.is_none() && rest.len() > length;
        let buffer = rest.get(..length).unwrap_or(rest);
        if let Some(line) = line(buffer, start, number, cut) {
            found.push(line);
        }
        start += length;
        number += u32::from(newline.is_some());
    }
    found
}

fn line(buffer: &[u8], start: usize, number: u32, cut: bool) -> Option<Line> {
    // A C string.
    let end = buffer.iter().position(|&b| b == 0).unwrap_or(buffer.len());
    let buffer = buffer.get(..end)?;
    let first = buffer.iter().position(|b| !is_space(b))?;
    let is_end = |at: usize| {
        let byte = buffer.get(at).copied().unwrap_or_default();
        let escaped = at > 0 && buffer.get(at - 1) == Some(&b'\\');
        is_space(&byte) || byte == b'#' && !escaped
    };
    let last = (first..buffer.len())
        .find(|&at| is_end(at))
        .unwrap_or(buffer.len());
    if first == last {
        return None;
    }
    let behind = buffer.get(last..).unwrap_or_default();
    let blank = behind.iter().position(|b| !is_space(b));
    let (odd, comment) = match blank.and_then(|at| behind.get(at..)) {
        Some(b"") | None => (None, last..last),
        Some(words) if words.first() == Some(&b'#') => {
            let inner = words.get(1..).unwrap_or_default();
            let from = inner
                .iter()
                .position(|b| !is_space(b))
                .unwrap_or(inner.len());
            let to = inner
                .iter()
                .rposition(|b| !is_space(b))
                .map_or(from, |at| at + 1);
            let at = buffer.len() - inner.len();
            (None, at + from..at + to)
        }
        Some(_) => (Some(Odd::MoreWords), last..last),
    };
    let odd = if cut { Some(Odd::CutOff) } else { odd };
    let place = |range: Range<usize>| start + range.start..start + range.end;
    Some(Line {
        number,
        text: place(first..last),
        comment: place(comment),
        odd,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(text: &str) -> Vec<(u32, &str, &str)> {
        let slice = |range: Range<usize>| text.get(range).unwrap();
        lines(text.as_bytes())
            .into_iter()
            .map(|line| (line.number, slice(line.text), slice(line.comment)))
            .collect()
    }

    #[test]
    fn a_pattern_ends_at_the_first_blank_or_at_a_number_sign_that_is_not_escaped() {
        assert_eq!(
            patterns("\u{feff}a\n \t b # why \r\n\n#c\n  # d\ne#f\ng\\#h i\nj\tk\nl"),
            [
                (1, "a", ""),
                (2, "b", "why"),
                (6, "e", "f"),
                (7, "g\\#h", ""),
                (8, "j", ""),
                (9, "l", ""),
            ]
        );
        assert_eq!(patterns(""), []);
        assert_eq!(patterns("a\0b\nc"), [(1, "a", ""), (2, "c", "")]);
    }

    #[test]
    fn a_line_longer_than_the_buffer_is_read_in_pieces() {
        let long = "a".repeat(600);
        let text = format!("{long}\nb\n");
        let found = lines(text.as_bytes());
        let seen: Vec<_> = found
            .iter()
            .map(|l| (l.number, l.text.len(), l.odd))
            .collect();
        assert_eq!(
            seen,
            [(1, 511, Some(Odd::CutOff)), (1, 89, None), (2, 1, None)]
        );
        let exact = format!("{}\nb", "a".repeat(510));
        assert_eq!(lines(exact.as_bytes()).len(), 2);
        assert!(
            lines(exact.as_bytes())
                .iter()
                .all(|line| line.odd.is_none())
        );
    }

    #[test]
    fn words_behind_a_pattern_are_told_of() {
        let odd = |text: &str| lines(text.as_bytes()).first().unwrap().odd;
        assert_eq!(odd("a b"), Some(Odd::MoreWords));
        assert_eq!(odd("a # b"), None);
        assert_eq!(odd("a \r\n"), None);
    }
}
