//! Whether a pattern can match what it is compared with at all.

use regex_syntax::hir::{Class, ClassBytes, Hir, HirKind};

use super::meaning::{Piece, Spread};

/// What every text that a pattern is compared with is made of.
pub(super) type Alphabet = fn(u8) -> bool;

pub(super) const NAMES: Alphabet =
    |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-');
pub(super) const ADDRESSES: Alphabet =
    |byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f' | b'.' | b':');
pub(super) const URLS: Alphabet = |byte| byte.is_ascii_graphic();

/// Whether some text of the alphabet could match, going by its characters.
pub(super) fn is_possible(hir: &Hir, alphabet: Alphabet) -> bool {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => true,
        HirKind::Literal(literal) => literal.0.iter().all(|&byte| alphabet(byte)),
        HirKind::Class(class) => bytes(class).into_iter().any(alphabet),
        HirKind::Repetition(repetition) => {
            repetition.min == 0 || is_possible(&repetition.sub, alphabet)
        }
        HirKind::Capture(capture) => is_possible(&capture.sub, alphabet),
        HirKind::Concat(parts) => parts.iter().all(|part| is_possible(part, alphabet)),
        HirKind::Alternation(parts) => parts.iter().any(|part| is_possible(part, alphabet)),
    }
}

/// The members of a class. One of ASCII letters may have become one of characters.
pub(super) fn bytes(class: &Class) -> Vec<u8> {
    let class = match class {
        Class::Bytes(class) => Some(class.clone()),
        Class::Unicode(class) => class.to_byte_class(),
    };
    let ranges = class.iter().flat_map(ClassBytes::ranges);
    ranges
        .flat_map(|range| range.start()..=range.end())
        .collect()
}

/// Whether a text asks for something before its beginning or behind its end, or for a host that
/// ends in a dot.
pub(super) fn is_in_order(text: &Spread, urls: bool) -> bool {
    let letter = |piece: &Piece| matches!(piece, Piece::Letter(_) | Piece::Dot);
    let starts = text.iter().rposition(|piece| *piece == Piece::Start);
    let ends = text.iter().position(|piece| *piece == Piece::End);
    let before = starts.and_then(|at| text.get(..at)).unwrap_or_default();
    let behind = ends.and_then(|at| text.get(at..)).unwrap_or_default();
    let dotted = !urls && text.ends_with(&[Piece::Letter(b'.'), Piece::End]);
    !before.iter().any(letter) && !behind.iter().any(letter) && !dotted
}

/// A letter that nothing has; a slash rather than another, because it says more.
pub(super) fn culprit(texts: &[Spread], alphabet: Alphabet) -> Option<char> {
    let letters = texts.iter().flatten().filter_map(|piece| piece.letter());
    let mut bad = letters.filter(|&byte| !alphabet(byte)).peekable();
    let first = bad.peek().copied()?;
    let found = if bad.any(|byte| byte == b'/') {
        b'/'
    } else {
        first
    };
    Some(char::from(found))
}
