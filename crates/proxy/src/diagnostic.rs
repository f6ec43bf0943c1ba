//! What the operator should know, on stderr. Decisions are events and go to stdout (`journal`).

use std::fmt;
use std::io::Write;

/// Something is wrong and stays wrong until somebody acts.
pub fn error(text: impl fmt::Display) {
    say("error", &text);
}

/// Something is not as it should be; the proxy goes on.
pub fn warn(text: impl fmt::Display) {
    say("warning", &text);
}

/// Something happened that an operator asked for.
pub fn note(text: impl fmt::Display) {
    say("note", &text);
}

fn say(level: &str, text: &dyn fmt::Display) {
    let line = format!("agentnet-proxy: {level}: {}\n", Plain(text));
    // A closed stderr is no reason to end a connection.
    std::io::stderr().lock().write_all(line.as_bytes()).ok();
}

/// Displays with control characters as escapes: a terminal never sees one that came from outside.
#[derive(Debug)]
pub struct Plain<T>(pub T);

impl<T: fmt::Display> fmt::Display for Plain<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        struct Escape<'a, 'b>(&'a mut fmt::Formatter<'b>);
        impl fmt::Write for Escape<'_, '_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                for character in text.chars() {
                    if character.is_control() {
                        write!(self.0, "{}", character.escape_default())?;
                    } else {
                        self.0.write_char(character)?;
                    }
                }
                Ok(())
            }
        }
        write!(Escape(f), "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_control_characters_as_escapes() {
        assert_eq!(
            Plain("a\u{1b}[31m\nb\r\u{9b}").to_string(),
            "a\\u{1b}[31m\\nb\\r\\u{9b}"
        );
    }
}
