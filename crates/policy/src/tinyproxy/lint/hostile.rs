//! Names that somebody else can have and that a pattern might let through.

use super::meaning::{Piece, Spread};

/// Names to try, the most telling first. Whether one gets through is not known here.
pub(super) fn names(text: &Spread) -> Vec<String> {
    let base = plain(text);
    let base = base.trim_matches('.');
    let mut all = Vec::new();
    if !base.is_empty() {
        all.extend([
            format!("{base}.evil.example"),
            format!("evil-{base}"),
            format!("evil{base}"),
            format!("evil.{base}"),
            format!("{base}-evil.example"),
            format!("{base}.example"),
            format!("evil-{base}.example"),
        ]);
        for (at, _) in base.match_indices('.') {
            let (head, tail) = base.split_at_checked(at).unwrap_or((base, ""));
            let tail = tail.strip_prefix('.').unwrap_or(tail);
            all.extend([
                format!("{head}-{tail}"),
                format!("{head}x{tail}"),
                format!("{head}x{tail}.example"),
            ]);
        }
    }
    all.extend(["evil.example".to_owned(), "192.0.2.1".to_owned()]);
    all
}

/// The text with the least put in for what may be anything.
fn plain(text: &Spread) -> String {
    if !text.iter().any(|piece| piece.letter().is_some()) {
        return String::new();
    }
    // In front and behind nothing is the least.
    let open = |piece: &Piece| !matches!(piece, Piece::Start | Piece::End | Piece::Anything);
    let first = text.iter().position(open).unwrap_or_default();
    let last = text.iter().rposition(open).map_or(0, |at| at + 1);
    let text = text.get(first..last).unwrap_or_default();
    let letters = text.iter().filter_map(|piece| match piece {
        Piece::Letter(byte) => Some(char::from(byte.to_ascii_lowercase())),
        Piece::Dot => Some('.'),
        Piece::Part | Piece::Anything => Some('x'),
        Piece::Start | Piece::End | Piece::Edge => None,
    });
    let text: String = letters.collect();
    let text = text
        .strip_prefix("http://")
        .or(text.strip_prefix("https://"))
        .unwrap_or(&text);
    text.split(['/', ':']).next().unwrap_or_default().to_owned()
}

/// URLs to try for a pattern over URLs.
pub(super) fn urls(text: &Spread) -> Vec<String> {
    let names = names(text);
    let host = plain(text);
    let mut all: Vec<String> = Vec::new();
    let letters = text.iter().filter_map(|piece| match piece {
        Piece::Dot => Some(b'.'),
        Piece::Letter(byte) => Some(*byte),
        Piece::Start | Piece::End | Piece::Part | Piece::Anything | Piece::Edge => None,
    });
    let whole: String = letters.map(char::from).collect();
    all.push(format!("http://evil.example/?{whole}"));
    all.push(format!("http://evil.example/{host}"));
    for name in names.iter().take(6) {
        all.push(format!("{name}:443"));
        all.push(format!("http://{name}/"));
    }
    all.push("evil.example:443".to_owned());
    all
}
