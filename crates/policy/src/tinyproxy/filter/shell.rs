//! The shell's file name patterns as glibc's `fnmatch` takes them without flags, in the locale `C`:
//! over the whole text, and `*` and `?` stand for any character, dots and slashes too.

use regex_syntax::hir::{Hir, Look, Repetition};

use super::bytes::Bytes;
use super::pattern::Fault;

pub(super) fn read(pattern: &[u8]) -> Result<Hir, Fault> {
    let mut parts = vec![Hir::look(Look::Start)];
    let mut at = 0;
    while let Some(&byte) = pattern.get(at) {
        at += 1;
        let part = match byte {
            // Several in a row are one.
            b'*' if pattern.get(at) == Some(&b'*') => continue,
            b'*' => Hir::repetition(Repetition {
                min: 0,
                max: None,
                greedy: true,
                sub: Box::new(any()),
            }),
            b'?' => any(),
            b'\\' => {
                let &byte = pattern.get(at).ok_or("ends in a backslash")?;
                at += 1;
                Hir::literal([byte])
            }
            // One that is not closed stands for itself.
            b'[' => match bracket(pattern, at)? {
                Some((set, end)) => {
                    at = end;
                    set.hir()
                }
                None => Hir::literal([byte]),
            },
            byte => Hir::literal([byte]),
        };
        parts.push(part);
    }
    parts.push(Hir::look(Look::End));
    Ok(Hir::concat(parts))
}

fn any() -> Hir {
    Bytes::of(|byte| byte != 0).hir()
}

/// What follows a `[`, and the place behind its end; `None` if there is no end.
fn bracket(pattern: &[u8], mut at: usize) -> Result<Option<(Bytes, usize)>, Fault> {
    let negated = matches!(pattern.get(at), Some(b'!' | b'^'));
    at += usize::from(negated);
    let mut set = Bytes::none();
    let mut first = true;
    loop {
        let Some(&byte) = pattern.get(at) else {
            return Ok(None);
        };
        at += 1;
        let start = match byte {
            b']' if !first => break,
            b'\\' => {
                let Some(&escaped) = pattern.get(at) else {
                    return Ok(None);
                };
                at += 1;
                escaped
            }
            b'[' if matches!(pattern.get(at), Some(b':' | b'=' | b'.')) => {
                match symbol(pattern, at)? {
                    Some((symbol, end)) => {
                        at = end;
                        first = false;
                        match symbol {
                            Symbol::Set(more) => {
                                set.add(|byte| more.has(byte));
                                continue;
                            }
                            Symbol::Byte(byte) => byte,
                        }
                    }
                    None => b'[',
                }
            }
            byte => byte,
        };
        first = false;
        let end = match (pattern.get(at), pattern.get(at + 1)) {
            (Some(b'-'), Some(&end)) if end != b']' => {
                at += 2;
                match (end, pattern.get(at)) {
                    (b'\\', Some(&escaped)) => {
                        at += 1;
                        escaped
                    }
                    (b'[', Some(b'.')) => match symbol(pattern, at)? {
                        Some((Symbol::Byte(byte), behind)) => {
                            at = behind;
                            byte
                        }
                        _ => end,
                    },
                    _ => end,
                }
            }
            _ => start,
        };
        // A range that ends before it begins has nothing in it, and is no error.
        set.add(|byte| (start..=end).contains(&byte));
    }
    let set = if negated {
        Bytes::of(|byte| byte != 0 && !set.has(byte))
    } else {
        set
    };
    Ok(Some((set, at)))
}

enum Symbol {
    Set(Box<Bytes>),
    Byte(u8),
}

/// What follows `[` in brackets, at its `:`, `=` or `.`; `None` if it is none.
fn symbol(pattern: &[u8], at: usize) -> Result<Option<(Symbol, usize)>, Fault> {
    let rest = pattern.get(at + 1..).unwrap_or_default();
    let Some(&kind) = pattern.get(at) else {
        return Ok(None);
    };
    let Some(length) = rest.windows(2).position(|pair| pair == [kind, b']']) else {
        return Ok(None);
    };
    let name = rest.get(..length).unwrap_or_default();
    let end = at + 1 + length + 2;
    match (kind, name) {
        (b':', name) if name.iter().all(u8::is_ascii_lowercase) => {
            let set =
                Bytes::named(name).ok_or("has a class of characters that POSIX does not name")?;
            Ok(Some((Symbol::Set(Box::new(set)), end)))
        }
        (b'=', &[byte]) => {
            let set = Bytes::of(|b| b == byte);
            Ok(Some((Symbol::Set(Box::new(set)), end)))
        }
        (b'.', &[byte]) => Ok(Some((Symbol::Byte(byte), end))),
        (b'.', _) => {
            Err("has a collating element, of which the locale C has none but single characters")
        }
        _ => Ok(None),
    }
}
