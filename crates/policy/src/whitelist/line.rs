//! One line: a comment, an include, or a permission.

use std::ops::Range;

use super::place::Place;
use super::said::{Said, WORDS};
use super::wrong::{Words, Wrong};
use super::{check, habits};
use crate::rule::{Methods, Permission};

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
        // One stands on a line.
        let small = name.split(',').next().unwrap_or(name).to_ascii_lowercase();
        let usable = !small.is_empty() && small.bytes().all(plain);
        let fix = usable.then(|| words.with(0, &format!("@{small}")));
        return Err(Wrong::word(words.first().unwrap_or_default(), what).write_if(fix));
    }
    Ok(Says::Include { name, except })
}

fn rule<'a>(word: &'a str, words: &Words<'a>) -> Result<Says<'a>, Wrong> {
    if WORDS.contains(&word) || Methods::is_meant(word) && Methods::parse(word).is_ok() {
        let what = "stands where the target belongs; a line begins with a host";
        return Err(Wrong::word(word, what).write(words.second_first()));
    }
    habits::check_line(words)?;
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
