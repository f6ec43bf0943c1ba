//! The words of a line after its first.

use std::num::NonZeroU64;

use jiff::Timestamp;

use super::habits;
use super::wrong::{Words, Wrong, nearest};
use crate::bytes::{factor, parse_bytes, split};
use crate::rule::{Methods, MethodsError, PathPattern};

/// Words that stand alone.
pub(super) const WORDS: [&str; 5] = ["deny", "quiet", "raw", "private", "host"];

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

impl Said {
    /// Takes in the word at a place.
    pub(super) fn hear(&mut self, at: usize, word: &str, words: &Words<'_>) -> Result<(), Wrong> {
        let twice = match word {
            "deny" => std::mem::replace(&mut self.deny, true),
            "quiet" => std::mem::replace(&mut self.quiet, true),
            "raw" => std::mem::replace(&mut self.raw, true),
            "private" => std::mem::replace(&mut self.private, true),
            "host" => std::mem::replace(&mut self.host, true),
            _ if habits::is_comment(word) => {
                let what = "begins no comment here, `#` does";
                return Err(Wrong::word(word, what).write(words.commented(at)));
            }
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
    parse_bytes(bytes).ok_or_else(|| {
        let (number, unit) = split(bytes);
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
        let what = "is a second target, which stands on a line of its own";
        return Wrong::word(word, what).write(words.without(at));
    }
    let what = "is not a word of this language; after the target may stand methods (GET,HEAD), a /path, raw, private, host, up=, until=, quiet, deny";
    Wrong::word(word, what).write(words.without(at))
}
