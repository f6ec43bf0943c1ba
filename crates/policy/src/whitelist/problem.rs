//! What the loader found wrong, in words that lead to the line that would be right.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How bad a problem is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The policy loads; somebody should look.
    Warning,
    /// The policy does not load.
    Error,
}

/// One thing that is wrong with one line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Problem {
    /// The file's name as it was given to the loader; `@name` for a preset.
    pub file: String,
    /// The line's number, from 1; 0 when the file as a whole is meant.
    pub line: u32,
    /// The word that offends, as written.
    pub word: Option<String>,
    /// What is wrong with it, and why.
    pub what: String,
    /// The line that would be right, when one can be told.
    pub fix: Option<String>,
    /// Whether it stops the load.
    pub severity: Severity,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        f.write_str(match self.severity {
            Severity::Warning => ": warning: ",
            Severity::Error => ": ",
        })?;
        if let Some(word) = &self.word {
            write!(f, "{word:?} ")?;
        }
        f.write_str(&self.what)?;
        if let Some(fix) = &self.fix {
            write!(f, "; write: {fix}")?;
        }
        Ok(())
    }
}

/// Everything that stops a load, in file order, and the warnings beside it. Displays one problem
/// a line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problems(Vec<Problem>);

impl Problems {
    pub(crate) fn new(problems: Vec<Problem>) -> Self {
        Self(problems)
    }

    /// The problems, errors and warnings mixed, in the order they were met.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
