//! The kinds of alerts that an agent may raise.

use std::fmt;
use std::str::FromStr;

/// What an alert is about. There is no kind for blocked requests here: those come from the proxy's
/// own side, never from a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The agent has finished.
    Complete,
    /// The agent cannot go on.
    Error,
    /// The agent asks a question.
    Clarification,
    /// Something worth knowing.
    Info,
    /// Somebody tries out whether alerts arrive.
    Test,
}

/// The word that is refused by name.
const BLOCKED: &str = "blocked";

impl Kind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[
        Self::Complete,
        Self::Error,
        Self::Clarification,
        Self::Info,
        Self::Test,
    ];

    /// The word in the file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Error => "error",
            Self::Clarification => "clarification",
            Self::Info => "info",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a word is not a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KindError {
    /// Somebody tries to forge what only the proxy may say. Counted apart from typing errors.
    Blocked,
    /// Any other word.
    Unknown,
}

impl fmt::Display for KindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blocked => {
                "kind `blocked` is never taken from a file: it comes from the proxy's own side"
            }
            Self::Unknown => "unknown kind; use one of complete, error, clarification, info, test",
        })
    }
}

impl std::error::Error for KindError {}

impl FromStr for Kind {
    type Err = KindError;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        if let Some(kind) = Self::ALL.iter().find(|kind| kind.as_str() == word) {
            return Ok(*kind);
        }
        // Also when disguised: a forgery must not hide among the typing errors.
        let looks_blocked = word.trim().eq_ignore_ascii_case(BLOCKED);
        Err(if looks_blocked {
            KindError::Blocked
        } else {
            KindError::Unknown
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_reads_back_from_its_word_and_stands_in_the_hint() {
        for kind in Kind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(*kind));
            assert!(KindError::Unknown.to_string().contains(kind.as_str()));
        }
    }

    #[test]
    fn blocked_is_refused_by_name_however_it_is_written() {
        for word in ["blocked", "BLOCKED", " blocked\n"] {
            assert_eq!(word.parse::<Kind>(), Err(KindError::Blocked));
        }
        for word in ["", "Complete", "done", "block"] {
            assert_eq!(word.parse::<Kind>(), Err(KindError::Unknown));
        }
    }
}
