//! One line of a filter file, understood.

use regex_syntax::hir::Hir;

use super::{posix, shell};
use crate::tinyproxy::conf::FilterType;

/// How the lines of a file are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::tinyproxy) struct Syntax {
    pub(in crate::tinyproxy) kind: FilterType,
    /// Means nothing for [`FilterType::Fnmatch`].
    pub(in crate::tinyproxy) case_sensitive: bool,
}

/// A pattern, ready to compile. The expression is over bytes.
#[derive(Debug)]
pub(in crate::tinyproxy) struct Pattern {
    pub(in crate::tinyproxy) hir: Hir,
    /// A letter behind a backslash where that means nothing: glibc compares it with the text in
    /// capitals when case is ignored, so a small one never matches.
    pub(in crate::tinyproxy) dead_letter: Option<char>,
}

/// Why a text is not a pattern, as the end of a sentence that begins with it.
pub(in crate::tinyproxy) type Fault = &'static str;

impl Syntax {
    /// Reads a pattern as glibc does in the locale `C`.
    pub(in crate::tinyproxy) fn read(self, pattern: &[u8]) -> Result<Pattern, Fault> {
        match self.kind {
            FilterType::Bre => posix::read(pattern, posix::Grammar::Basic, !self.case_sensitive),
            FilterType::Ere => posix::read(pattern, posix::Grammar::Extended, !self.case_sensitive),
            FilterType::Fnmatch => shell::read(pattern).map(|hir| Pattern {
                hir,
                dead_letter: None,
            }),
        }
    }
}
