//! What a reader of TOML says about a file, in the words of everything else that we say about files.
//!
//! The reader names types of its own language (`expected a sequence`) and never the key. Here it is
//! said what stands there, and how the line would read.

use crate::whitelist::wrong::nearest;

/// More keys than this are not listed in a message.
const MOST_KEYS: usize = 16;

/// A message of the reader about a line of the file, as a sentence that ends in what to write where
/// that is known. What is not recognised stays as it was said.
#[must_use]
pub fn toml_words(message: &str, line: &str) -> String {
    let message = message.trim();
    let line = line.trim();
    unknown_key(message)
        .or_else(|| unknown_word(message))
        .or_else(|| wrong_type(message, line))
        .or_else(|| wrong_line(message, line))
        .unwrap_or_else(|| message.to_owned())
}

fn wrong_line(message: &str, line: &str) -> Option<String> {
    let (key, value) = line.split_once('=')?;
    let (key, value) = (key.trim(), value.trim());
    if message == "duplicate key" {
        return Some(format!("{key} is said twice; take one of the lines out"));
    }
    let bare = |byte: u8| byte.is_ascii_graphic() && !b"\"'#[]{}@".contains(&byte);
    let is_bare = !value.is_empty() && value.bytes().all(bare);
    (message.starts_with("string values must be quoted") && is_bare)
        .then(|| format!("text stands in quotes; write: {key} = \"{value}\""))
}

fn unknown_key(message: &str) -> Option<String> {
    let (key, rest) = quoted(message.strip_prefix("unknown field ")?)?;
    let known = all_quoted(rest);
    // Of short words every other is near.
    let near = nearest(key, known.iter().copied()).filter(|_| key.len() > 3);
    Some(match near {
        Some(near) => format!("`{key}` is no key here; write: {near}"),
        None if known.len() <= MOST_KEYS => {
            format!(
                "`{key}` is no key here; the keys are {}",
                listed(&known, "and")
            )
        }
        None => format!("`{key}` is no key here"),
    })
}

fn unknown_word(message: &str) -> Option<String> {
    let (word, rest) = quoted(message.strip_prefix("unknown variant ")?)?;
    let words = listed(&all_quoted(rest), "or");
    Some(format!("`{word}` is not a value for it: write {words}"))
}

fn wrong_type(message: &str, line: &str) -> Option<String> {
    let rest = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "))?;
    let (found, wanted) = rest.rsplit_once(", expected ")?;
    let (key, value) = match line.split_once('=') {
        Some((key, value)) => (key.trim(), value.trim()),
        None => (line, ""),
    };
    let is_number = value.trim_matches('"').parse::<f64>().is_ok();
    let write = |value: String| format!("; write: {key} = {value}");
    // A fix is shown for a value that is whole, on one line and with nothing behind it; a URL may
    // hold a password.
    let whole = !value.is_empty() && !value.contains(['#', '[', '{', '@']);
    Some(match wanted {
        "a sequence" if found == "map" && key.starts_with('[') && !key.starts_with("[[") => {
            format!("{key} can stand more than once; write: [{key}]")
        }
        "a sequence" if whole => format!("{key} is a list{}", write(format!("[{value}]"))),
        "a sequence" => "a list is wanted here, in brackets: [\"…\", \"…\"]".to_owned(),
        "a string" if whole && is_number => {
            format!("{key} is text{}", write(format!("\"{value}\"")))
        }
        "a string" if !key.is_empty() => format!("{key} is text, in quotes"),
        "a string" => "text is wanted here, in quotes".to_owned(),
        "a boolean" => format!("{key} is true or false, without quotes"),
        "a map" => "a table is wanted here: { NAME = \"value\" }".to_owned(),
        number if is_number_type(number) => {
            let kind = match number.bytes().next() {
                Some(b'f') => "a number",
                Some(b'a') => "a whole number from 1 up",
                _ => "a whole number from 0 up",
            };
            let fix = (whole && value.starts_with('"') && is_number)
                .then(|| write(value.trim_matches('"').to_owned()));
            let plain = if value.starts_with('"') {
                ", without quotes and unit"
            } else {
                ""
            };
            let fix = fix.unwrap_or_else(|| plain.to_owned());
            format!("{key} is {kind}{fix}")
        }
        table if table.starts_with("struct ") => {
            format!("{key} is a table of its own, with a key a line")
        }
        // The reader quotes the value.
        _ if value.contains('@') => format!("{key} has a value of another kind than is wanted"),
        _ => return None,
    })
}

fn is_number_type(word: &str) -> bool {
    let bits = word.strip_prefix(['u', 'i', 'f']);
    bits.is_some_and(|bits| !bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit()))
        || word.starts_with("a nonzero")
}

/// The first word between backticks, and what follows it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let (_, rest) = text.split_once('`')?;
    rest.split_once('`')
}

fn all_quoted(mut text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    while let Some((word, rest)) = quoted(text) {
        words.push(word);
        text = rest;
    }
    words
}

fn listed(words: &[&str], joint: &str) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} {joint} {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_to_write_for_the_slips_of_a_hand() {
        for (message, line, says) in [
            (
                "unknown field `whitelists`, expected one of `listen`, `whitelist`, `mode`",
                "whitelists = [\"w.txt\"]",
                "`whitelists` is no key here; write: whitelist",
            ),
            (
                "unknown field `image`, expected one of `project`, `agent`, `network`",
                "image = \"x\"",
                "`image` is no key here; the keys are project, agent and network",
            ),
            (
                "unknown field `x`, expected `mode`",
                "x = 1",
                "`x` is no key here; the keys are mode",
            ),
            (
                "unknown variant `off`, expected one of `none`, `limited`, `full`",
                "mode = \"off\"",
                "`off` is not a value for it: write none, limited or full",
            ),
            (
                "invalid type: string \"127.0.0.1:1\", expected a sequence",
                "listen = \"127.0.0.1:1\"",
                "listen is a list; write: listen = [\"127.0.0.1:1\"]",
            ),
            (
                "invalid type: map, expected a sequence",
                "[listener]",
                "[listener] can stand more than once; write: [[listener]]",
            ),
            (
                "invalid type: integer `9100`, expected a string",
                "admin = 9100",
                "admin is text; write: admin = \"9100\"",
            ),
            (
                "invalid type: string \"100\", expected u32",
                "max_connections = \"100\"",
                "max_connections is a whole number from 0 up; write: max_connections = 100",
            ),
            (
                "invalid type: string \"15m\", expected u32",
                "idle_timeout_seconds = \"15m\"",
                "idle_timeout_seconds is a whole number from 0 up, without quotes and unit",
            ),
            (
                "invalid type: sequence, expected a map",
                "env = [\"A=B\"]",
                "a table is wanted here: { NAME = \"value\" }",
            ),
            (
                "invalid value: integer `-5`, expected u32",
                "pids = -5",
                "pids is a whole number from 0 up",
            ),
            (
                "invalid value: integer `0`, expected a nonzero u16",
                "port = 0",
                "port is a whole number from 1 up",
            ),
            (
                "invalid type: boolean `true`, expected a string",
                "ech = true",
                "ech is text, in quotes",
            ),
            (
                "invalid type: string \"x\", expected struct Service",
                "postgres = \"x\"",
                "postgres is a table of its own, with a key a line",
            ),
            (
                "string values must be quoted, expected literal string",
                "mode = observe",
                "text stands in quotes; write: mode = \"observe\"",
            ),
            (
                "duplicate key",
                "mode = \"observe\"",
                "mode is said twice; take one of the lines out",
            ),
            (
                "invalid type: string \"yes\", expected a boolean",
                "read_only = \"yes\"",
                "read_only is true or false, without quotes",
            ),
        ] {
            assert_eq!(toml_words(message, line), says, "{line}");
        }
    }

    #[test]
    fn tells_no_password() {
        let line = "upstream = \"http://me:hunter2@p:1\"";
        for wanted in ["a sequence", "a string", "u32", "something else"] {
            let message =
                format!("invalid type: string \"http://me:hunter2@p:1\", expected {wanted}");
            let said = toml_words(&message, line);
            assert!(!said.contains("hunter2"), "{said}");
        }
    }

    #[test]
    fn leaves_alone_what_it_does_not_know() {
        for message in [
            "unclosed array, expected `]`",
            "",
            "invalid type: a, expected b",
        ] {
            assert_eq!(toml_words(message, "x = 1"), message);
        }
    }
}
