//! What a purse is known by.

use std::fmt;

/// The listener and the words of a rule without its `up=`, in one line of text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    /// The purse of the rule `rule` at `listener`. A listener's name has no spaces.
    #[must_use]
    pub fn new(listener: &str, rule: &str) -> Self {
        let mut key = listener.to_owned();
        let words = rule.split([' ', '\t']).filter(|word| !word.is_empty());
        for word in words.filter(|word| !word.starts_with("up=")) {
            key.push(' ');
            for character in word.chars() {
                // It becomes a line of a file.
                if character.is_control() {
                    key.extend(character.escape_default());
                } else {
                    key.push(character);
                }
            }
        }
        Self(key)
    }

    /// A key as it was written.
    pub(super) fn read(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_words_without_the_limit() {
        let key = Key::new("agent", "a.example  raw\tup=12B");
        assert_eq!(key, Key::new("agent", "a.example up=5GB raw"));
        assert_eq!(key.to_string(), "agent a.example raw");
        assert_ne!(key, Key::new("docker", "a.example raw"));
    }

    #[test]
    fn is_one_line() {
        assert_eq!(Key::new("a", "x\ny").to_string(), "a x\\ny");
    }
}
