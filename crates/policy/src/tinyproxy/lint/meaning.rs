//! What the author of a pattern evidently meant.
//!
//! A pattern is spread out into the texts it stands for, as far as it is made of letters, choices
//! and "anything"; then read as a person reads a host name, in which a `.` is a dot and the end of
//! the name is the end.

use regex_syntax::hir::{Class, Hir, HirKind, Look};

use super::reach::bytes;
use crate::tinyproxy::conf::FilterType;
use crate::tinyproxy::filter::Syntax;

/// The most texts a pattern is spread out into, and the longest.
const MOST: usize = 64;
const LONGEST: usize = 512;

/// A piece of a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Piece {
    Start,
    End,
    Letter(u8),
    /// `.`: any character, and nearly always meant as a dot.
    Dot,
    /// Some characters within a label.
    Part,
    /// Any characters.
    Anything,
    /// A boundary of a word.
    Edge,
}

impl Piece {
    pub(super) fn letter(self) -> Option<u8> {
        match self {
            Piece::Letter(byte) => Some(byte),
            Piece::Start | Piece::End | Piece::Dot => None,
            Piece::Part | Piece::Anything | Piece::Edge => None,
        }
    }
}

/// One of the texts that a pattern stands for.
pub(super) type Spread = Vec<Piece>;

/// The texts; `None` if there are too many.
pub(super) fn spread(pattern: &[u8], syntax: Syntax) -> Option<Vec<Spread>> {
    let fold = !syntax.case_sensitive && syntax.kind != FilterType::Fnmatch;
    let small = if fold {
        lowered(pattern)
    } else {
        pattern.to_vec()
    };
    let exact = Syntax {
        case_sensitive: true,
        ..syntax
    };
    let read = exact.read(&small).or_else(|_| syntax.read(pattern)).ok()?;
    let mut all = texts(&read.hir)?;
    for text in &mut all {
        text.dedup_by(|a, b| *a == Piece::Anything && *b == Piece::Anything);
    }
    (all.iter().all(|text| text.len() <= LONGEST)).then_some(all)
}

/// Small letters, but not behind a backslash.
fn lowered(pattern: &[u8]) -> Vec<u8> {
    let mut escaped = false;
    let lower = |&byte: &u8| {
        let byte = if escaped {
            byte
        } else {
            byte.to_ascii_lowercase()
        };
        escaped = byte == b'\\' && !escaped;
        byte
    };
    pattern.iter().map(lower).collect()
}

fn texts(hir: &Hir) -> Option<Vec<Spread>> {
    match hir.kind() {
        HirKind::Empty => Some(vec![Vec::new()]),
        HirKind::Literal(literal) => {
            let letters = literal.0.iter().map(|&byte| Piece::Letter(byte));
            Some(vec![letters.collect()])
        }
        HirKind::Look(look) => {
            let is_start = *look == Look::Start;
            let piece = if is_start { Piece::Start } else { Piece::Edge };
            let is_end = *look == Look::End;
            Some(vec![vec![if is_end { Piece::End } else { piece }]])
        }
        HirKind::Class(class) => Some(of_class(class)),
        HirKind::Repetition(repetition) => {
            let inner = texts(&repetition.sub)?;
            match (repetition.min, repetition.max) {
                (0, Some(1)) => {
                    let mut all = vec![Vec::new()];
                    all.extend(inner);
                    bounded(all)
                }
                (1, Some(1)) => Some(inner),
                (0, Some(0)) => Some(vec![Vec::new()]),
                _ => {
                    let in_label = |piece: &Piece| match piece {
                        Piece::Letter(byte) => *byte != b'.',
                        Piece::Part => true,
                        Piece::Start | Piece::End | Piece::Dot | Piece::Anything | Piece::Edge => {
                            false
                        }
                    };
                    let part = inner.iter().flatten().all(in_label);
                    let whole_labels = inner
                        .iter()
                        .all(|text| text.last() == Some(&Piece::Letter(b'.')));
                    Some(vec![match (part, whole_labels) {
                        (true, _) => vec![Piece::Part],
                        (false, true) if repetition.min > 0 => {
                            vec![Piece::Anything, Piece::Letter(b'.')]
                        }
                        _ => vec![Piece::Anything],
                    }])
                }
            }
        }
        HirKind::Capture(capture) => texts(&capture.sub),
        HirKind::Concat(parts) => {
            let mut all: Vec<Spread> = vec![Vec::new()];
            for part in parts {
                let more = texts(part)?;
                if all.len() * more.len() > MOST {
                    return None;
                }
                let joined = |head: &Spread| {
                    more.iter()
                        .map(|tail| head.iter().chain(tail).copied().collect())
                        .collect::<Vec<Spread>>()
                };
                all = all.iter().flat_map(joined).collect();
            }
            bounded(all)
        }
        HirKind::Alternation(parts) => {
            let mut all = Vec::new();
            for part in parts {
                all.extend(texts(part)?);
            }
            bounded(all)
        }
    }
}

fn bounded(all: Vec<Spread>) -> Option<Vec<Spread>> {
    let size: usize = all.iter().map(Vec::len).sum();
    (all.len() <= MOST && size <= MOST * LONGEST).then_some(all)
}

fn of_class(class: &Class) -> Vec<Spread> {
    let letters = bytes(class);
    match letters.len() {
        0 => Vec::new(),
        1..=4 => letters
            .iter()
            .map(|&byte| vec![Piece::Letter(byte)])
            .collect(),
        200.. if letters.contains(&b'.') => vec![vec![Piece::Dot]],
        _ => vec![vec![Piece::Part]],
    }
}

/// A line of a whitelist, without its ports.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Meant {
    pub(super) host: String,
    /// Whether the pattern says the same, no more and no less.
    pub(super) exact: bool,
}

/// Reads a text as a host, or the URL of one. `None` if it names no domain.
pub(super) fn meant(text: &Spread, urls: bool) -> Option<Meant> {
    let mut exact = !urls;
    let mut rest: &[Piece] = text;
    let from_start = rest.first() == Some(&Piece::Start);
    let skip = |rest: &mut &[Piece], accept: &dyn Fn(&Piece) -> bool| {
        let count = rest.iter().take_while(|piece| accept(piece)).count();
        *rest = rest.get(count..).unwrap_or_default();
        count > 0
    };
    skip(&mut rest, &|piece| {
        matches!(piece, Piece::Start | Piece::Edge)
    });
    if urls {
        for scheme in ["http://", "https://"] {
            let pieces: Vec<Piece> = scheme.bytes().map(Piece::Letter).collect();
            rest = rest.strip_prefix(pieces.as_slice()).unwrap_or(rest);
        }
        let is_end = |piece: &Piece| matches!(piece, Piece::Letter(b'/' | b':'));
        let end = rest.iter().position(is_end).unwrap_or(rest.len());
        rest = rest.get(..end).unwrap_or_default();
    }
    let to_end = rest.last() == Some(&Piece::End);
    let edge = |piece: &Piece| matches!(piece, Piece::End | Piece::Edge);
    while let [inner @ .., last] = rest
        && (edge(last) || *last == Piece::Anything && inner.len() > 1)
    {
        exact &= *last == Piece::End;
        rest = inner;
    }
    let anything = skip(&mut rest, &|piece| *piece == Piece::Anything);
    let dot = |piece: &Piece| matches!(piece, Piece::Dot | Piece::Letter(b'.'));
    let first_is_dot = rest.first().is_some_and(dot);
    let escaped = rest.first() == Some(&Piece::Letter(b'.'));
    if first_is_dot {
        rest = rest.get(1..).unwrap_or_default();
    }
    let mut name = String::new();
    for piece in rest {
        let letter = match piece {
            Piece::Letter(byte) => char::from(*byte),
            Piece::Dot => {
                exact = false;
                '.'
            }
            Piece::Part | Piece::Anything => {
                exact = false;
                '*'
            }
            Piece::Start | Piece::End | Piece::Edge => return None,
        };
        if letter != '*' || !name.ends_with('*') {
            name.push(letter);
        }
    }
    exact &= to_end && (from_start || first_is_dot);
    let front = match (from_start, first_is_dot) {
        // `^name`, `name`; `.*name` is `name`.
        (true, false) if !anything => "",
        (_, false) => {
            exact = false;
            "**."
        }
        // `.name`, `.*.name`.
        (_, true) => {
            exact &= escaped && (anything || !from_start);
            "*."
        }
    };
    // `*` in front of a name stands for one label or more already.
    let name = name.strip_prefix("*.").unwrap_or(&name);
    let has_domain = name.contains('.') && !name.starts_with('.');
    let is_address = name.parse::<std::net::IpAddr>().is_ok();
    has_domain.then(|| Meant {
        host: if is_address {
            name.to_owned()
        } else {
            format!("{front}{name}")
        },
        exact,
    })
}
