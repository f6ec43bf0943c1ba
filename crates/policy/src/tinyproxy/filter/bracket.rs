//! Bracket expressions of POSIX regular expressions, as glibc reads them in the locale `C`.

use super::bytes::Bytes;
use super::pattern::Fault;

const OPEN: Fault = "opens a bracket expression that is not closed";
const RANGE: Fault = "has a range in brackets that ends before it begins, or has no end";

/// Reads what follows a `[`; returns the set (of capitals, if case is ignored) and the place behind
/// the closing bracket.
pub(super) fn read(pattern: &[u8], at: usize, fold: bool) -> Result<(Bytes, usize), Fault> {
    let mut reader = Reader { pattern, at, fold };
    let mut set = Bytes::none();
    let mut token = reader.peek();
    let negated = token == Token::Plain(b'^');
    if negated {
        reader.at += 1;
        token = reader.peek();
    }
    // A closing bracket in the first place stands for itself.
    if token == Token::Close {
        token = Token::Plain(b']');
    }
    let mut first = true;
    loop {
        let start = reader.element(token, first)?;
        first = false;
        token = reader.peek();
        match start {
            Element::Class(class) => set.add(|byte| class.has(byte)),
            Element::Same(byte) => set.add(|b| b == byte),
            Element::Byte(byte) => {
                let range = token == Token::Hyphen && {
                    let hyphen = reader.at;
                    reader.at += token.length();
                    let next = reader.peek();
                    match next {
                        Token::End => return Err(OPEN),
                        Token::Close => {
                            // A hyphen in the last place stands for itself.
                            reader.at = hyphen;
                            token = Token::Plain(b'-');
                            false
                        }
                        Token::Plain(_) | Token::Hyphen | Token::Symbol(_) => {
                            let Element::Byte(end) = reader.element(next, true)? else {
                                return Err(RANGE);
                            };
                            if end < byte {
                                return Err(RANGE);
                            }
                            set.add(|b| (byte..=end).contains(&b));
                            token = reader.peek();
                            true
                        }
                    }
                };
                if !range {
                    set.add(|b| b == byte);
                }
            }
        }
        match token {
            Token::End => return Err(OPEN),
            Token::Close => break,
            Token::Plain(_) | Token::Hyphen | Token::Symbol(_) => {}
        }
    }
    let set = if negated {
        Bytes::of(|byte| !set.has(byte) && byte != b'\n')
    } else {
        set
    };
    Ok((set, reader.at + 1))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    End,
    Plain(u8),
    Hyphen,
    Close,
    /// `[.`, `[=` or `[:`.
    Symbol(u8),
}

impl Token {
    fn length(self) -> usize {
        match self {
            Token::End => 0,
            Token::Plain(_) | Token::Hyphen | Token::Close => 1,
            Token::Symbol(_) => 2,
        }
    }
}

enum Element {
    Byte(u8),
    /// `[=a=]`: no range begins or ends with one.
    Same(u8),
    Class(Box<Bytes>),
}

struct Reader<'p> {
    pattern: &'p [u8],
    at: usize,
    fold: bool,
}

impl Reader<'_> {
    fn byte(&self, at: usize) -> Option<u8> {
        let byte = self.pattern.get(at).copied()?;
        Some(if self.fold {
            byte.to_ascii_uppercase()
        } else {
            byte
        })
    }

    fn peek(&self) -> Token {
        let next = |places| self.byte(self.at + places);
        match next(0) {
            None => Token::End,
            Some(b']') => Token::Close,
            Some(b'-') => Token::Hyphen,
            Some(b'[') => match next(1) {
                Some(kind @ (b'.' | b'=' | b':')) => Token::Symbol(kind),
                _ => Token::Plain(b'['),
            },
            Some(byte) => Token::Plain(byte),
        }
    }

    fn element(&mut self, token: Token, hyphen_is_plain: bool) -> Result<Element, Fault> {
        self.at += token.length();
        match token {
            Token::End => Err(OPEN),
            Token::Plain(byte) => Ok(Element::Byte(byte)),
            Token::Close => Ok(Element::Byte(b']')),
            Token::Hyphen if hyphen_is_plain || self.peek() == Token::Close => {
                Ok(Element::Byte(b'-'))
            }
            Token::Hyphen => Err(RANGE),
            Token::Symbol(kind) => self.symbol(kind),
        }
    }

    fn symbol(&mut self, kind: u8) -> Result<Element, Fault> {
        let start = self.at;
        loop {
            // One more must follow, and glibc keeps room for 32 bytes.
            let (Some(byte), Some(next)) = (self.byte(self.at), self.byte(self.at + 1)) else {
                return Err(OPEN);
            };
            if byte == kind && next == b']' {
                break;
            }
            self.at += 1;
        }
        let name = self.pattern.get(start..self.at).unwrap_or_default();
        self.at += 2;
        if kind == b':' {
            // Capitals are compared, so both cases are meant.
            let name = match name {
                b"upper" | b"lower" if self.fold => b"alpha",
                name => name,
            };
            let class = Bytes::named(name).map(|class| Element::Class(Box::new(class)));
            return class.ok_or("has a class of characters that POSIX does not name");
        }
        match (name.len(), self.byte(start)) {
            (1, Some(byte)) if kind == b'.' => Ok(Element::Byte(byte)),
            (1, Some(byte)) => Ok(Element::Same(byte)),
            _ => {
                Err("has a collating element, of which the locale C has none but single characters")
            }
        }
    }
}
