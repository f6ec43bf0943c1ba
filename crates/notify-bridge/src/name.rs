//! The names that alert files may have.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;

/// Longest stem, in bytes.
const LONGEST_STEM: usize = 64;

/// A checked file name: `[a-z0-9-]{1,64}.json`, so that it can be printed, compared and joined to a
/// path without a thought.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AlertName(String);

/// The name does not follow the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the name must be 1 to 64 of a-z, 0-9 and -, then .json")]
pub struct NameError;

impl AlertName {
    /// Checks a name as it stands in the directory, without its path.
    ///
    /// # Errors
    /// [`NameError`] for everything else, `.tmp` files that are still being written included.
    pub fn parse(name: &OsStr) -> Result<Self, NameError> {
        let stem = name.as_bytes().strip_suffix(b".json").ok_or(NameError)?;
        let allowed = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
        if stem.is_empty() || stem.len() > LONGEST_STEM || !stem.iter().all(allowed) {
            return Err(NameError);
        }
        let text = std::str::from_utf8(name.as_bytes()).map_err(|_| NameError)?;
        Ok(Self(text.to_owned()))
    }

    /// The whole name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AlertName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_are_taken() {
        let longest = format!("{}.json", "a".repeat(64));
        for name in ["a.json", "2026-11-21-0001.json", "-.json", &longest] {
            assert_eq!(AlertName::parse(OsStr::new(name)).unwrap().as_str(), name);
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let too_long = format!("{}.json", "a".repeat(65));
        let names: [&[u8]; 14] = [
            b"",
            b".json",
            b"a",
            b"a.tmp",
            b"a.json.tmp",
            b"A.json",
            b"a b.json",
            b"a.b.json",
            b"../a.json",
            b"a/b.json",
            b"a\n.json",
            b"\xff.json",
            "\u{e4}.json".as_bytes(),
            too_long.as_bytes(),
        ];
        for name in names {
            assert_eq!(
                AlertName::parse(OsStr::from_bytes(name)),
                Err(NameError),
                "{name:?}"
            );
        }
    }
}
