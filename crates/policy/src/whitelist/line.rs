//! One line: a comment, an include, or a permission.

use std::num::NonZeroU64;
use std::ops::Range;

use jiff::Timestamp;

use super::check;
use super::place::Place;
use super::wrong::{Words, Wrong, nearest};
use crate::rule::{Methods, MethodsError, PathPattern, Permission};

/// The longest line in bytes.
pub(super) const MAX_LINE: usize = 4096;

/// A line, read.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Line<'a> {
    pub(super) says: Says<'a>,
    /// Where in the line the words stand, and its comment.
    pub(super) text: Range<usize>,
    pub(super) comment: Range<usize>,
}

/// What a line says.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Says<'a> {
    Nothing,
    /// `@name`, without the lines that `except` names.
    Include {
        name: &'a str,
        except: Vec<&'a str>,
    },
    /// A permission, and what is odd about it.
    Rule {
        permission: Permission,
        warning: Option<Wrong>,
    },
}

/// Words that stand alone.
const WORDS: [&str; 5] = ["deny", "quiet", "raw", "private", "host"];

/// The words after the target, as they were said.
#[derive(Default, PartialEq, Debug)]
pub(super) struct Said {
    pub(super) deny: bool,
    pub(super) quiet: bool,
    pub(super) raw: bool,
    pub(super) private: bool,
    pub(super) host: bool,
    pub(super) up: Option<NonZeroU64>,
    pub(super) until: Option<Timestamp>,
    pub(super) methods: Option<Methods>,
    pub(super) path: Option<PathPattern>,
}

/// Reads a line without its line end. A fix in the error is a line that can be read.
pub(super) fn parse(line: &str) -> Result<Line<'_>, Wrong> {
    read(line).map_err(|wrong| {
        let fix = wrong.fix.clone().filter(|fix| read(fix).is_ok());
        wrong.write_if(fix)
    })
}

fn read(line: &str) -> Result<Line<'_>, Wrong> {
    if line.len() > MAX_LINE {
        return Err(Wrong::line(format!(
            "the line is longer than {MAX_LINE} bytes"
        )));
    }
    if let Some(c) = line.chars().find(|&c| is_deceptive(c)) {
        let code = u32::from(c);
        return Err(Wrong::line(format!(
            "the line has the character U+{code:04X}, which is not shown; take it out"
        )));
    }
    let hash = comment_start(line);
    let (text, comment) = line.split_at_checked(hash).unwrap_or((line, ""));
    let words = Words::of(text);
    let says = match words.first() {
        None => Says::Nothing,
        Some(word) => {
            check_glued_comment(text)?;
            check_quotes(word, text)?;
            match word.strip_prefix('@') {
                Some(name) => include(name, &words)?,
                None => rule(word, &words)?,
            }
        }
    };
    let start = text.len() - text.trim_start().len();
    let comment_text = comment.trim_start_matches('#').trim();
    let comment_at = hash + comment.len() - comment.trim_start_matches('#').trim_start().len();
    Ok(Line {
        says,
        text: start..start + text.trim().len(),
        comment: comment_at..comment_at + comment_text.len(),
    })
}

/// Controls, and the marks that reorder a line for the reader and not for us (CVE-2021-42574).
fn is_deceptive(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control() && c != '\t';
    }
    c.is_control()
        || matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

/// Where the comment begins: a `#` in front of the line or after a space.
fn comment_start(line: &str) -> usize {
    let mut after_space = true;
    for (at, byte) in line.bytes().enumerate() {
        if byte == b'#' && after_space {
            return at;
        }
        after_space = matches!(byte, b' ' | b'\t');
    }
    line.len()
}

fn check_glued_comment(text: &str) -> Result<(), Wrong> {
    match text.split_once('#') {
        None => Ok(()),
        Some((before, after)) => {
            let word = text
                .split([' ', '\t'])
                .find(|word| word.contains('#'))
                .unwrap_or(text);
            let what = "has a `#` glued to it; a comment begins after a space";
            Err(Wrong::word(word, what).write(format!("{} #{}", before.trim(), after.trim_end())))
        }
    }
}

fn check_quotes(word: &str, text: &str) -> Result<(), Wrong> {
    let quotes = ['"', '\''];
    if !word.starts_with(quotes) {
        return Ok(());
    }
    let fix = text.replace(quotes, "").trim().to_owned();
    Err(Wrong::word(word, "has quotes; nothing is quoted here").write(fix))
}

fn include<'a>(name: &'a str, words: &Words<'a>) -> Result<Says<'a>, Wrong> {
    let mut rest = words.rest();
    let except = match rest.next() {
        None => Vec::new(),
        Some((_, "except")) => {
            let except: Vec<&str> = rest.map(|(_, word)| word).collect();
            if except.is_empty() {
                let what = "names no line to leave out";
                return Err(Wrong::word("except", what).write(words.without(1)));
            }
            except
        }
        Some((place, word)) => {
            let what = "means nothing after an include, only `except` does";
            return Err(Wrong::word(word, what).write(words.without(place)));
        }
    };
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if name.is_empty() || !name.bytes().all(plain) {
        let what = "is not the name of a preset: small letters, digits and hyphens after the @";
        let small = name.to_ascii_lowercase();
        let usable = !small.is_empty() && small.bytes().all(plain);
        let fix = usable.then(|| words.with(0, &format!("@{small}")));
        return Err(Wrong::word(words.first().unwrap_or_default(), what).write_if(fix));
    }
    Ok(Says::Include { name, except })
}

fn rule<'a>(word: &'a str, words: &Words<'a>) -> Result<Says<'a>, Wrong> {
    if WORDS.contains(&word) || Methods::parse(word).is_ok() {
        let what = "stands where the target belongs; a line begins with a host";
        return Err(Wrong::word(word, what).write(words.second_first()));
    }
    let place = Place::parse(word).map_err(|wrong| {
        let fix = wrong.fix.as_ref().map(|fix| words.with(0, fix));
        wrong.write_if(fix)
    })?;
    let mut said = Said::default();
    for (at, word) in words.rest() {
        said.hear(at, word, words)?;
    }
    let (permission, warning) = check::permission(place, said, words)?;
    Ok(Says::Rule {
        permission,
        warning,
    })
}

impl Said {
    fn hear(&mut self, at: usize, word: &str, words: &Words<'_>) -> Result<(), Wrong> {
        let twice = match word {
            "deny" => std::mem::replace(&mut self.deny, true),
            "quiet" => std::mem::replace(&mut self.quiet, true),
            "raw" => std::mem::replace(&mut self.raw, true),
            "private" => std::mem::replace(&mut self.private, true),
            "host" => std::mem::replace(&mut self.host, true),
            _ if word.starts_with('/') => self.path.replace(path(word)?).is_some(),
            _ if Methods::is_meant(word) => {
                if self.methods.replace(methods(at, word, words)?).is_some() {
                    let what = "is a second list of methods; they stand in one, with commas";
                    return Err(Wrong::word(word, what).write(words.joined_to_method(at)));
                }
                false
            }
            _ => match word.split_once('=') {
                Some(("up", bytes)) => self.up.replace(up(at, bytes, words)?).is_some(),
                Some(("until", time)) => self.until.replace(until(at, time, words)?).is_some(),
                _ => return Err(unknown(at, word, words)),
            },
        };
        if twice {
            let what = "is a second word of its kind; write one line for each";
            return Err(Wrong::word(word, what).write(words.without(at)));
        }
        Ok(())
    }
}

fn path(word: &str) -> Result<PathPattern, Wrong> {
    PathPattern::parse(word).map_err(|error| {
        let fix = word.split(['?', '#']).next().filter(|path| *path != word);
        let what = error.words();
        match fix {
            Some(path) => Wrong::word(word, format!("{what}, so write the path alone: {path}")),
            None => Wrong::word(word, what),
        }
    })
}

fn methods(at: usize, word: &str, words: &Words<'_>) -> Result<Methods, Wrong> {
    Methods::parse(word).map_err(|error| match error {
        MethodsError::NeverListed("CONNECT") => {
            Wrong::word("CONNECT", "is ruled by the port and not listed as a method")
                .write(words.without(at))
        }
        MethodsError::NeverListed(method) => {
            Wrong::word(method, "is never forwarded and cannot be listed").write(words.without(at))
        }
        MethodsError::Unknown(method) => Wrong::word(
            if method.is_empty() { word } else { method },
            "is not a method that can be listed; methods stand as GET,HEAD",
        ),
    })
}

fn up(at: usize, bytes: &str, words: &Words<'_>) -> Result<NonZeroU64, Wrong> {
    let digits = bytes.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = bytes.split_at_checked(digits).unwrap_or((bytes, ""));
    let factor = |unit: &str| match unit {
        "B" => Some(1_u64),
        "KB" => Some(1_000),
        "MB" => Some(1_000_000),
        "GB" => Some(1_000_000_000),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1 << 30),
        _ => None,
    };
    let read = factor(unit)
        .zip(number.parse::<u64>().ok())
        .and_then(|(factor, number)| NonZeroU64::new(number.checked_mul(factor)?));
    read.ok_or_else(|| {
        let what = "is not a number of bytes from 1 with a unit: B, KB, MB, GB, KiB, MiB, GiB";
        let capitals = unit.to_ascii_uppercase();
        let guess = match capitals.as_str() {
            "K" | "M" | "G" => Some(format!("{capitals}B")),
            "" => Some("B".to_owned()),
            "B" | "KB" | "MB" | "GB" => Some(capitals),
            _ => None,
        };
        let usable = number.parse::<u64>().is_ok_and(|number| number > 0) && factor(unit).is_none();
        let fix = guess
            .filter(|_| usable)
            .map(|unit| words.with(at, &format!("up={number}{unit}")));
        Wrong::word(&format!("up={bytes}"), what).write_if(fix)
    })
}

fn until(at: usize, time: &str, words: &Words<'_>) -> Result<Timestamp, Wrong> {
    time.parse().map_err(|_| {
        let what = "is not a time like until=2026-11-20T22:00:00Z";
        let guess = [format!("{time}Z"), format!("{time}T00:00:00Z")];
        let fix = guess
            .iter()
            .find(|guess| guess.parse::<Timestamp>().is_ok());
        let fix = fix.map(|time| words.with(at, &format!("until={time}")));
        Wrong::word(&format!("until={time}"), what).write_if(fix)
    })
}

fn unknown(at: usize, word: &str, words: &Words<'_>) -> Wrong {
    if Methods::is_meant_in_lower_case(word) {
        let fix = words.with(at, &word.to_ascii_uppercase());
        return Wrong::word(word, "is a method; methods are written in capitals").write(fix);
    }
    let plain = match word {
        "allow" | "permit" => {
            let what = "says nothing: a line without `deny` allows";
            return Wrong::word(word, what).write(words.without(at));
        }
        "block" | "reject" | "drop" | "refuse" => Some("deny"),
        _ => nearest(word, WORDS),
    };
    if let Some(plain) = plain {
        let fix = words.with(at, plain);
        return Wrong::word(word, "is not a word of this language").write(fix);
    }
    if word.starts_with("for=") || word.starts_with("expires=") {
        let what = "is not a word of this language; a line ends at a moment, as in until=2026-11-20T22:00:00Z";
        return Wrong::word(word, what);
    }
    if word.contains('.') || word.starts_with(['@', '*', '[']) {
        let what = "is a second target; one permission stands on a line";
        return Wrong::word(word, what).write(words.without(at));
    }
    let what = "is not a word of this language; after the target may stand methods (GET,HEAD), a /path, raw, private, host, up=, until=, quiet, deny";
    Wrong::word(word, what).write(words.without(at))
}
