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

impl Problem {
    /// The sentence without how bad it is, for those who say that in front of it.
    pub fn unmarked(&self) -> impl fmt::Display + '_ {
        Sentence(self, ": ")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.severity {
            Severity::Warning => ": warning: ",
            Severity::Error => ": ",
        };
        Sentence(self, mark).fmt(f)
    }
}

/// A problem, and what stands between its place and its words.
struct Sentence<'a>(&'a Problem, &'static str);

impl fmt::Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(problem, mark) = *self;
        f.write_str(&problem.file)?;
        if problem.line > 0 {
            write!(f, ":{}", problem.line)?;
        }
        f.write_str(mark)?;
        if let Some(word) = &problem.word {
            // One that has quotes of its own is seen without more of them.
            let has = word.len() > 1 && word.starts_with('"') && word.ends_with('"');
            let quote = if has { "" } else { "\"" };
            write!(f, "{quote}{}{quote} ", AsTyped(word))?;
        }
        f.write_str(&problem.what)?;
        if let Some(fix) = &problem.fix {
            write!(f, "; write: {fix}")?;
        }
        Ok(())
    }
}

/// A word of a file as it stands there, so that a pattern can be searched for and copied; only what a
/// terminal would not show is escaped.
pub(crate) struct AsTyped<'a>(pub(crate) &'a str);

impl fmt::Display for AsTyped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        for character in self.0.chars() {
            match character {
                '\\' | '\'' | '"' => f.write_char(character)?,
                _ => write!(f, "{}", character.escape_debug())?,
            }
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
