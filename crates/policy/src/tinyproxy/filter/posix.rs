//! POSIX regular expressions as glibc's `regcomp` takes them with `REG_NEWLINE`, in the locale `C`,
//! with its extensions. Follows its parser closely, oddities included, because a filter must mean
//! what it meant; but a back-reference is refused, because nothing matches one in linear time, and
//! the text is chosen by the client.
//!
//! When case is ignored glibc compares capitals: of the text and of the pattern, but for a letter
//! behind a backslash.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "in a grammar every other token is treated alike"
)]

use regex_syntax::hir::{Hir, Look, Repetition};

use super::bracket;
use super::bytes::{Bytes, is_space, is_word};
use super::pattern::{Fault, Pattern};

/// Which of the two grammars.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Grammar {
    /// `\( \) \{ \} \+ \? \|`
    Basic,
    /// `( ) { } + ? |`
    Extended,
}

/// glibc's `RE_DUP_MAX`.
const MOST_REPEATS: u32 = 0x7fff;

pub(super) fn read(pattern: &[u8], grammar: Grammar, fold: bool) -> Result<Pattern, Fault> {
    let mut parser = Parser {
        pattern,
        at: 0,
        grammar,
        fold,
        token: Token::End,
        dead_letter: None,
    };
    parser.fetch(Caret::Anchors);
    let hir = parser.alternatives(0)?;
    Ok(Pattern {
        hir,
        dead_letter: parser.dead_letter,
    })
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Token {
    End,
    /// A byte that stands for itself.
    Byte(u8),
    Dot,
    /// `[`
    Bracket,
    Open,
    Close,
    Or,
    Star,
    Plus,
    Question,
    OpenCount,
    CloseCount,
    Look(Look),
    /// `\w` and its like.
    Set(Named),
    BackReference,
    TrailingBackslash,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Named {
    Word,
    NotWord,
    Space,
    NotSpace,
}

/// Whether a `^` here is an anchor in the basic grammar.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Caret {
    Anchors,
    Literal,
}

struct Parser<'p> {
    pattern: &'p [u8],
    /// Behind the token.
    at: usize,
    grammar: Grammar,
    fold: bool,
    token: Token,
    dead_letter: Option<char>,
}

impl Parser<'_> {
    fn byte(&self, at: usize) -> Option<u8> {
        let byte = self.pattern.get(at).copied()?;
        Some(if self.fold {
            byte.to_ascii_uppercase()
        } else {
            byte
        })
    }

    fn fetch(&mut self, caret: Caret) {
        let (token, length) = self.peek(self.at, caret);
        if let Token::Byte(letter) = token
            && length == 2
            && self.fold
            && letter.is_ascii_lowercase()
        {
            self.dead_letter = self.dead_letter.or(Some(char::from(letter)));
        }
        self.token = token;
        self.at += length;
    }

    fn peek(&self, at: usize, caret: Caret) -> (Token, usize) {
        let Some(byte) = self.byte(at) else {
            return (Token::End, 0);
        };
        let extended = self.grammar == Grammar::Extended;
        let operator = |token: Token| if extended { token } else { Token::Byte(byte) };
        let token = match byte {
            b'\\' => {
                // Not folded.
                let Some(&escaped) = self.pattern.get(at + 1) else {
                    return (Token::TrailingBackslash, 1);
                };
                return (escape(escaped, extended), 2);
            }
            b'[' => Token::Bracket,
            b'.' => Token::Dot,
            b'*' => Token::Star,
            b'|' => operator(Token::Or),
            b'+' => operator(Token::Plus),
            b'?' => operator(Token::Question),
            b'{' => operator(Token::OpenCount),
            b'}' => operator(Token::CloseCount),
            b'(' => operator(Token::Open),
            b')' => operator(Token::Close),
            b'^' if extended || at == 0 || caret == Caret::Anchors => Token::Look(Look::Start),
            b'$' => {
                let ends = match self.peek(at + 1, Caret::Literal).0 {
                    Token::End | Token::Or | Token::Close => true,
                    _ => extended,
                };
                if ends {
                    Token::Look(Look::End)
                } else {
                    Token::Byte(byte)
                }
            }
            _ => Token::Byte(byte),
        };
        (token, 1)
    }

    /// Up to the end, or to the group's end. `nest` is the number of groups that are open.
    fn alternatives(&mut self, nest: usize) -> Result<Hir, Fault> {
        let mut all = vec![self.branch(nest)?];
        while self.token == Token::Or {
            self.fetch(Caret::Anchors);
            all.push(self.branch(nest)?);
        }
        Ok(Hir::alternation(all))
    }

    fn branch(&mut self, nest: usize) -> Result<Hir, Fault> {
        let mut all = Vec::new();
        loop {
            match self.token {
                Token::End | Token::Or => break,
                Token::Close if nest > 0 => break,
                _ => all.push(self.expression(nest)?),
            }
        }
        Ok(Hir::concat(all))
    }

    fn expression(&mut self, nest: usize) -> Result<Hir, Fault> {
        const NOTHING_TO_REPEAT: Fault = "repeats something that is not there";
        let extended = self.grammar == Grammar::Extended;
        let atom = match self.token {
            Token::Byte(byte) => self.literal(byte),
            Token::Dot => Bytes::of(|b| b != b'\n' && b != 0).hir(),
            Token::Set(set) => set.hir(),
            Token::Bracket => {
                let (set, end) = bracket::read(self.pattern, self.at, self.fold)?;
                self.at = end;
                self.folded(&set)
            }
            Token::Open => {
                self.fetch(Caret::Anchors);
                let inner = if self.token == Token::Close {
                    Hir::empty()
                } else {
                    self.alternatives(nest + 1)?
                };
                if self.token != Token::Close {
                    return Err("opens a group that is not closed");
                }
                inner
            }
            Token::Close if extended => self.literal(b')'),
            Token::Close => return Err("closes a group that is not open"),
            Token::CloseCount => self.literal(b'}'),
            Token::OpenCount => return Err(NOTHING_TO_REPEAT),
            Token::Star | Token::Plus | Token::Question if extended => {
                return Err(NOTHING_TO_REPEAT);
            }
            Token::Star => self.literal(b'*'),
            Token::Plus => self.literal(b'+'),
            Token::Question => self.literal(b'?'),
            Token::Look(look) => {
                // Is not repeated: what follows stands for itself, or is an error.
                self.fetch(Caret::Literal);
                return Ok(Hir::look(look));
            }
            Token::BackReference => {
                return Err(
                    "refers back to a group, which no pattern may here: it cannot be matched in linear time, and the client chooses the text; write the alternatives out",
                );
            }
            Token::TrailingBackslash => return Err("ends in a backslash"),
            Token::End | Token::Or => return Ok(Hir::empty()),
        };
        self.fetch(Caret::Literal);
        self.repeated(atom)
    }

    fn repeated(&mut self, mut atom: Hir) -> Result<Hir, Fault> {
        loop {
            let (min, max) = match self.token {
                Token::Star => (0, None),
                Token::Plus => (1, None),
                Token::Question => (0, Some(1)),
                Token::OpenCount => self.count()?,
                _ => return Ok(atom),
            };
            self.fetch(Caret::Literal);
            atom = Hir::repetition(Repetition {
                min,
                max,
                greedy: true,
                sub: Box::new(atom),
            });
            let again = matches!(self.token, Token::Star | Token::OpenCount);
            if again && self.grammar == Grammar::Basic {
                return Err("repeats a repetition; put the first into `\\(` and `\\)`");
            }
        }
    }

    /// What stands between the braces. The closing one is left as the token.
    fn count(&mut self) -> Result<(u32, Option<u32>), Fault> {
        const BAD: Fault = "has a count that is not `{n}`, `{n,}`, `{,m}` or `{n,m}`";
        let comma = |token| token == Token::Byte(b',');
        let first = self.number()?;
        let min = match first {
            Some(number) => number,
            None if comma(self.token) => 0,
            None => return Err(BAD),
        };
        let max = match self.token {
            Token::CloseCount => Some(min),
            _ => self.number()?,
        };
        if self.token != Token::CloseCount || max.is_some_and(|max| max < min) {
            return Err(BAD);
        }
        if max.unwrap_or(min) > MOST_REPEATS {
            return Err("has a count larger than 32767");
        }
        Ok((min, max))
    }

    /// Up to a comma or the closing brace, which is left as the token.
    fn number(&mut self) -> Result<Option<u32>, Fault> {
        let mut number = None;
        loop {
            self.fetch(Caret::Literal);
            match self.token {
                Token::End => return Err("opens a count that is not closed"),
                Token::CloseCount | Token::Byte(b',') => return Ok(number),
                Token::Byte(digit @ b'0'..=b'9') => {
                    let value = number.unwrap_or(0) * 10 + u32::from(digit - b'0');
                    number = Some(value.min(MOST_REPEATS + 1));
                }
                _ => return Err("has a count with something else than digits in it"),
            }
        }
    }

    fn literal(&self, byte: u8) -> Hir {
        let mut set = Bytes::none();
        set.add(|b| b == byte);
        self.folded(&set)
    }

    /// The bytes whose capitals are in the set.
    fn folded(&self, set: &Bytes) -> Hir {
        if self.fold {
            Bytes::of(|byte| set.has(byte.to_ascii_uppercase())).hir()
        } else {
            set.hir()
        }
    }
}

impl Named {
    fn hir(self) -> Hir {
        let set = match self {
            Named::Word => Bytes::of(is_word),
            Named::NotWord => Bytes::of(|byte| !is_word(byte) && byte != b'\n'),
            Named::Space => Bytes::of(|byte| is_space(&byte)),
            Named::NotSpace => Bytes::of(|byte| !is_space(&byte)),
        };
        set.hir()
    }
}

fn escape(byte: u8, extended: bool) -> Token {
    let operator = |token: Token| if extended { Token::Byte(byte) } else { token };
    match byte {
        b'1'..=b'9' => Token::BackReference,
        b'<' => Token::Look(Look::WordStartAscii),
        b'>' => Token::Look(Look::WordEndAscii),
        b'b' => Token::Look(Look::WordAscii),
        b'B' => Token::Look(Look::WordAsciiNegate),
        b'`' => Token::Look(Look::Start),
        b'\'' => Token::Look(Look::End),
        b'w' => Token::Set(Named::Word),
        b'W' => Token::Set(Named::NotWord),
        b's' => Token::Set(Named::Space),
        b'S' => Token::Set(Named::NotSpace),
        b'|' => operator(Token::Or),
        b'(' => operator(Token::Open),
        b')' => operator(Token::Close),
        b'{' => operator(Token::OpenCount),
        b'}' => operator(Token::CloseCount),
        b'+' => operator(Token::Plus),
        b'?' => operator(Token::Question),
        _ => Token::Byte(byte),
    }
}
