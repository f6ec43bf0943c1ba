//! Text that may be shown. Whatever an agent wrote becomes plain, visible, bounded text once, here,
//! and has a type of its own from then on (THREATS W125, W127).
//!
//! Cleaning removes what a reader cannot see or what turns what she sees around: C0 and C1 controls,
//! direction marks, format characters, zero width. It does not escape: that depends on where the text
//! goes ([`CleanText::markup`] for a body with markup).

use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_segmentation::UnicodeSegmentation;

/// Longest body, in graphemes.
pub const LONGEST: usize = 256;

/// One grapheme may be a letter with ten thousand accents: beyond this many characters the rest of it
/// goes. The longest emoji sequences in use have ten.
const LONGEST_GRAPHEME: usize = 12;

/// Lines of a body. More would push everything else off the screen.
const MOST_LINES: usize = 12;

/// Plain text: no control, direction or format character, bounded, safe to print on a terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct CleanText(String);

/// What was kept is cleaned again: a file on disk is no proof.
impl<'de> Deserialize<'de> for CleanText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(body(&String::deserialize(deserializer)?))
    }
}

impl CleanText {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether nothing is left of it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text for a place that reads markup: `& < > " '` escaped, so that it shows as it is.
    #[must_use]
    pub fn markup(&self) -> String {
        escaped(&self.0)
    }
}

/// Text for a place that reads markup. By the five names that XML has: daemons that take markup out
/// again know those and no number.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            other => escaped.push(other),
        }
    }
    escaped
}

impl fmt::Display for CleanText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A body: line breaks stay, at most [`LONGEST`] graphemes.
#[must_use]
pub fn body(text: &str) -> CleanText {
    let mut lines = Vec::new();
    for found in text.lines() {
        let found = found.trim_end();
        // Twice the longest: what the cut below leaves over is enough to know that it cuts.
        if !(lines.is_empty() && found.trim().is_empty()) {
            lines.push(found);
        }
        if lines.len() > MOST_LINES {
            break;
        }
    }
    let cut_lines = lines.len() > MOST_LINES;
    lines.truncate(MOST_LINES);
    let cleaned: Vec<String> = lines.iter().map(|line| cleaned(line)).collect();
    let joined = cleaned.join("\n");
    let joined = joined.trim();
    if cut_lines {
        cut(&format!("{joined}\n\u{2026}"), LONGEST)
    } else {
        cut(joined, LONGEST)
    }
}

/// One line of at most `most` graphemes: line breaks become spaces.
#[must_use]
pub fn line(text: &str, most: usize) -> CleanText {
    let one = text.replace(['\n', '\r', '\t', '\u{2028}', '\u{2029}', '\u{85}'], " ");
    cut(cleaned(&one).trim(), most)
}

fn cleaned(text: &str) -> String {
    text.chars()
        .filter_map(|c| match c {
            '\t' => Some(' '),
            hidden if is_hidden(hidden) => None,
            seen => Some(seen),
        })
        .collect()
}

/// Whether a character shows nothing by itself, or changes how others are shown.
///
/// The categories Cc and Cf of Unicode 16, the variation selectors, the fillers that are letters by
/// name only, the line and paragraph separators, private use and what is no character. The zero
/// width joiner goes as well: a family then shows as its members, which is no loss for an alert.
fn is_hidden(c: char) -> bool {
    matches!(c,
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{34f}'
        | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}'
        | '\u{890}'..='\u{891}' | '\u{8e2}' | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{2800}' | '\u{3164}' | '\u{e000}'..='\u{f8ff}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{fffe}'..='\u{ffff}'
        | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1345f}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{10ffff}')
}

/// At most `most` graphemes, the last one an ellipsis where something is missing.
fn cut(text: &str, most: usize) -> CleanText {
    let mut kept = String::new();
    let mut graphemes = text.graphemes(true);
    for _ in 0..most {
        let Some(grapheme) = graphemes.next() else {
            return CleanText(kept);
        };
        kept.extend(grapheme.chars().take(LONGEST_GRAPHEME));
    }
    if graphemes.next().is_some() {
        let last = kept.graphemes(true).next_back().map_or(0, str::len);
        kept.truncate(kept.len() - last);
        kept.push('\u{2026}');
    }
    CleanText(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_of_many_scripts_stays_as_it_is() {
        for text in [
            "done",
            "gr\u{fc}n \u{2713}",
            "\u{4f60}\u{597d}",
            "a\nb",
            "e\u{301}",
            "<b>",
            "-n",
        ] {
            assert_eq!(body(text).as_str(), text);
        }
    }

    #[test]
    fn what_cannot_be_seen_or_turns_text_around_is_gone() {
        for (raw, shown) in [
            ("a\u{1b}[2Jb", "a[2Jb"),
            ("a\u{9b}31mb", "a31mb"),
            ("user\u{202e}gpj.exe", "usergpj.exe"),
            ("\u{2066}x\u{2069}\u{200e}\u{61c}", "x"),
            ("pay\u{200b}pal\u{2060}\u{feff}\u{ad}", "paypal"),
            ("\u{e0041}\u{e0042}tag", "tag"),
            ("a\u{fe0f}\u{180e}\u{3164}b", "ab"),
            ("bell\u{7}\u{0}\u{7f}", "bell"),
            ("tab\there", "tab here"),
            ("a\rb", "ab"),
        ] {
            assert_eq!(body(raw).as_str(), shown, "{raw:?}");
        }
    }

    #[test]
    fn a_title_has_one_line() {
        assert_eq!(line("a\nb\r\nc\u{2028}d", 40).as_str(), "a b  c d");
    }

    #[test]
    fn long_text_ends_in_an_ellipsis_after_whole_letters() {
        let text = "e\u{301}".repeat(300);
        let shown = body(&text);
        assert_eq!(shown.as_str().graphemes(true).count(), LONGEST);
        assert!(shown.as_str().ends_with("e\u{301}\u{2026}"));
        let fits = "e\u{301}".repeat(LONGEST);
        assert_eq!(body(&fits).as_str(), fits);
    }

    #[test]
    fn towers_of_accents_and_of_lines_are_bounded() {
        let zalgo = format!("a{}", "\u{301}".repeat(4000));
        assert!(body(&zalgo).as_str().chars().count() <= LONGEST_GRAPHEME);
        let tower = "x\n".repeat(500);
        let shown = body(&tower);
        assert_eq!(shown.as_str().lines().count(), MOST_LINES + 1);
        assert!(shown.as_str().ends_with('\u{2026}'));
        assert!(body(&"\n".repeat(500)).is_empty());
    }

    #[test]
    fn markup_is_shown_and_not_read() {
        let shown = body("<img src=\"file:///dev/urandom\"> & 'x'").markup();
        assert_eq!(
            shown,
            "&lt;img src=&quot;file:///dev/urandom&quot;&gt; &amp; &apos;x&apos;"
        );
    }

    #[test]
    fn kept_text_is_cleaned_again() {
        let kept: CleanText = serde_json::from_str("\"a\\u202eb\"").unwrap();
        assert_eq!(kept.as_str(), "ab");
    }
}
