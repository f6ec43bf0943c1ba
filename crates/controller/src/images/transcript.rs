//! What an image's build says: an engine hands it over in pieces of any length, in the middle of a
//! word too, and colours each piece of a step's standard error.

use std::collections::VecDeque;

/// How many lines of a build are kept.
const LINES: usize = 20;
/// Longest line, in bytes; the rest of a longer one is left out.
const LINE: usize = 2048;

/// Where in an escape sequence (ECMA-48 §5.4) the pieces are.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Sequence {
    #[default]
    Outside,
    /// Behind an ESC.
    Introduced,
    /// Behind `ESC [`: parameters up to a final byte.
    Parameters,
}

/// The last lines of a build, without what a terminal would do with them.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    lines: VecDeque<String>,
    /// The line that has no end yet.
    open: String,
    sequence: Sequence,
    /// The last character was a carriage return: what comes next is written over the line.
    returned: bool,
}

impl Transcript {
    /// Takes one more piece, and gives the lines that it ended.
    pub(super) fn hear(&mut self, piece: &str) -> Vec<String> {
        let mut ended = Vec::new();
        for c in piece.chars() {
            if self.is_of_sequence(c) {
                continue;
            }
            if c == '\n' {
                ended.extend(self.end());
                continue;
            }
            if std::mem::take(&mut self.returned) {
                self.open.clear();
            }
            if c == '\r' {
                self.returned = true;
            } else if self.open.len() + c.len_utf8() <= LINE {
                self.open.push(c);
            }
        }
        ended
    }

    /// The last lines, the one without an end included.
    pub(super) fn last(mut self) -> Vec<String> {
        self.end();
        self.lines.into()
    }

    /// Ends the open line, if there is anything to be read in it.
    fn end(&mut self) -> Option<String> {
        self.returned = false;
        let line = std::mem::take(&mut self.open).trim_end().to_owned();
        if line.is_empty() {
            return None;
        }
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line.clone());
        Some(line)
    }

    fn is_of_sequence(&mut self, c: char) -> bool {
        let (next, is) = match (self.sequence, c) {
            (_, '\u{1b}') => (Sequence::Introduced, true),
            // No sequence goes over the end of a line: a lone ESC hides nothing.
            (_, '\n') | (Sequence::Outside, _) => (Sequence::Outside, false),
            (Sequence::Introduced, '[') => (Sequence::Parameters, true),
            (Sequence::Parameters, ' '..='?') => (Sequence::Parameters, true),
            (Sequence::Introduced | Sequence::Parameters, _) => (Sequence::Outside, true),
        };
        self.sequence = next;
        is
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(pieces: &[&str]) -> Vec<String> {
        let mut transcript = Transcript::default();
        for piece in pieces {
            transcript.hear(piece);
        }
        transcript.last()
    }

    #[test]
    fn pieces_of_a_line_are_one_line_again_and_without_their_colours() {
        let pieces = [
            "Step 5/5 : RUN curl",
            "\n",
            " ---> Running in 689ad4455061\n",
            "\u{1b}[91mcurl:\u{1b}[0m",
            "\u{1b}[91m (22) The requested URL retur\u{1b}[0m",
            "\u{1b}[91mned error: 40\u{1b}[0m",
            "\u{1b}[9",
            "1m3\n\u{1b}[0m",
        ];
        assert_eq!(
            said(&pieces),
            [
                "Step 5/5 : RUN curl",
                " ---> Running in 689ad4455061",
                "curl: (22) The requested URL returned error: 403",
            ]
        );
    }

    #[test]
    fn a_line_is_given_when_it_ends_and_not_before() {
        let mut transcript = Transcript::default();
        assert_eq!(transcript.hear("one\ntw"), ["one"]);
        assert_eq!(transcript.hear("o\n\n  \nthree"), ["two"]);
        assert_eq!(transcript.last(), ["one", "two", "three"]);
    }

    #[test]
    fn what_is_written_over_a_line_takes_its_place() {
        assert_eq!(
            said(&["10 %\r", "50 %\r100 %\r\ndone\r"]),
            ["100 %", "done"]
        );
    }

    #[test]
    fn an_escape_without_an_end_hides_the_rest_of_its_line_at_most() {
        assert_eq!(
            said(&["a\u{1b}[31", "\nb\u{1b}", "\nc\u{1b}Md"]),
            ["a", "b", "cd"]
        );
    }

    #[test]
    fn lines_and_their_length_are_bounded() {
        let long = "é".repeat(LINE);
        let many: String = (0..100).map(|n| format!("{n}\n")).collect();
        let said = said(&[&many, &long]);
        assert_eq!(said.len(), LINES);
        assert_eq!(said[0], "81");
        assert_eq!(said[LINES - 1].len(), LINE);
    }
}
