//! The names a line is for.

use crate::host::{self, HostError};
use crate::rule::glob;
use crate::rule::suffix::{self, Suffix};

/// A name, or a glob over names. The rightmost label is always literal, so every pattern can be
/// found by its literal end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct NamePattern {
    kind: Kind,
    /// The literal for the first three kinds, the whole glob for the last.
    text: Box<str>,
    /// Where in `text` the literal end begins.
    tail: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// `x`
    Exact,
    /// `*.x`
    Below,
    /// `**.x`
    AtOrBelow,
    /// A `*` anywhere else.
    Glob,
}

/// Why a text is not a pattern, and the text that would be one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PatternError {
    pub(crate) what: String,
    pub(crate) fix: Option<String>,
}

impl PatternError {
    fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            fix: None,
        }
    }

    fn fixed(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            fix: Some(fix.into()),
        }
    }
}

impl NamePattern {
    /// Reads a pattern; what it would open is judged by [`check_allow`](Self::check_allow).
    pub(crate) fn parse(text: &str) -> Result<Self, PatternError> {
        check_characters(text)?;
        check_shape(text)?;
        let (kind, literal) = if let Some(rest) = text.strip_prefix("**.") {
            (Kind::AtOrBelow, rest)
        } else if let Some(rest) = text.strip_prefix("*.") {
            (Kind::Below, rest)
        } else {
            (Kind::Exact, text)
        };
        if !literal.contains('*') {
            return Ok(Self {
                kind,
                text: literal.into(),
                tail: 0,
            });
        }
        let star = text.rfind('*').unwrap_or(0);
        let dot = text
            .get(star..)
            .and_then(|rest| rest.find('.'))
            .unwrap_or(0);
        Ok(Self {
            kind: Kind::Glob,
            text: text.into(),
            tail: star + dot + 1,
        })
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// The longest literal end, whole labels.
    pub(crate) fn tail(&self) -> &str {
        self.text.get(self.tail..).unwrap_or_default()
    }

    /// For a glob: whether the labels left of [`tail`](Self::tail) match.
    pub(crate) fn matches_head(&self, labels: &str) -> bool {
        let head = self
            .text
            .get(..self.tail.saturating_sub(1))
            .unwrap_or_default();
        let (spanning, rest): (&[&str], &str) = if let Some(rest) = head.strip_prefix("**.") {
            (&["**"], rest)
        } else if let Some(rest) = head.strip_prefix("*.") {
            // In front, `*` is one label or more.
            (&["*", "**"], rest)
        } else {
            (&[], head)
        };
        glob::matches_parts(
            spanning.iter().copied().chain(rest.split('.')),
            labels.split('.'),
        )
    }

    /// Whether every name that `other` matches is matched. May say no where the answer is yes.
    pub(crate) fn covers(&self, other: &NamePattern) -> bool {
        let below = |tail: &str| {
            tail.strip_suffix(self.tail())
                .is_some_and(|labels| labels.ends_with('.'))
        };
        let (tail, same) = (other.tail(), self.tail() == other.tail());
        match (self.kind, other.kind) {
            _ if self == other => true,
            (Kind::Exact, _) => false,
            (Kind::AtOrBelow, _) => same || below(tail),
            (Kind::Below, Kind::Exact | Kind::AtOrBelow) => below(tail),
            (Kind::Below, Kind::Below | Kind::Glob) => same || below(tail),
            (Kind::Glob, Kind::Exact) => tail
                .strip_suffix(self.tail())
                .and_then(|labels| labels.strip_suffix('.'))
                .is_some_and(|labels| self.matches_head(labels)),
            (Kind::Glob, _) => false,
        }
    }

    /// What an allowing line must not say. A refusing one may be as wide as it likes.
    pub(crate) fn check_allow(&self) -> Result<(), PatternError> {
        if self.kind == Kind::Exact {
            return check_name(&self.text);
        }
        let tail = self.tail();
        let who = match suffix::of(tail) {
            Suffix::Registrable => return Ok(()),
            Suffix::Top => format!("`{tail}` is a top-level name"),
            Suffix::Registry => format!("`{tail}` is a public suffix"),
            Suffix::Platform => format!("`{tail}` is a platform that gives names to its customers"),
        };
        if let Some(fix) = self.unglued() {
            let what = format!(
                "has a `*` glued to letters where a dot belongs, so names of other owners match: {who}"
            );
            return Err(PatternError::fixed(what, fix));
        }
        let what = format!(
            "would allow names of other owners: {who}. Name the domain itself, as in `*.example.{tail}`"
        );
        Err(PatternError::new(what))
    }

    /// Whether names of unrelated owners match although no public suffix says so.
    pub(crate) fn is_shared(&self) -> bool {
        self.kind != Kind::Exact && suffix::is_shared(self.tail())
    }

    /// `*github.com` and `git*.com` with the dot where it was meant.
    fn unglued(&self) -> Option<String> {
        let first = self.text.split('.').next()?;
        let letters = first.replace('*', "");
        let rest = self.text.get(first.len()..)?;
        let meant = self.kind == Kind::Glob && !letters.is_empty() && !rest.contains('*');
        meant.then(|| format!("*.{letters}{rest}")).filter(|fix| {
            NamePattern::parse(fix).is_ok_and(|pattern| pattern.check_allow().is_ok())
        })
    }
}

fn check_characters(text: &str) -> Result<(), PatternError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'*');
    if text.bytes().all(plain) {
        return Ok(());
    }
    if !text.is_ascii() {
        let what = "is not ASCII; names on the wire are: write each such label in its `xn--` form";
        return Err(PatternError::new(what));
    }
    if let Some(c) = text.chars().find(|c| "[]{}?\\^$|()+".contains(*c)) {
        let what =
            format!("has a `{c}`, which means nothing here: `*` is the only sign for \"anything\"");
        return Err(PatternError::new(what));
    }
    match text
        .chars()
        .find(|&c| !(c.is_ascii_alphanumeric() || "._-*".contains(c)))
    {
        Some('@') => Err(PatternError::fixed(
            "has a user part; a line names a host",
            text.rsplit('@').next().unwrap_or_default(),
        )),
        Some(c) => Err(PatternError::new(format!(
            "has a {c:?}, which no host name has"
        ))),
        None => Ok(()),
    }
}

fn check_shape(text: &str) -> Result<(), PatternError> {
    if let Some(rest) = text.strip_prefix('.').filter(|rest| !rest.is_empty()) {
        let what = "begins with a dot; the name and everything below it is written `**.`";
        return Err(PatternError::fixed(what, format!("**.{rest}")));
    }
    if let Some(rest) = text.strip_suffix('.').filter(|rest| !rest.is_empty()) {
        return Err(PatternError::fixed(
            "ends in a dot; names are written without it",
            rest,
        ));
    }
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(PatternError::fixed(
            "has capitals; names are written small",
            text.to_ascii_lowercase(),
        ));
    }
    host::check_labels(text).map_err(|error| {
        let never = |error: HostError| format!("can never match: {error}");
        PatternError::new(if error == HostError::Empty {
            "names no host".to_owned()
        } else {
            never(error)
        })
    })?;
    if !text.bytes().any(|b| b.is_ascii_alphanumeric() || b == b'*') {
        return Err(PatternError::new("names no host"));
    }
    if text.bytes().all(|b| matches!(b, b'*' | b'.')) {
        return Err(PatternError::new(
            "would match every host; name the hosts that are needed",
        ));
    }
    let after_first = text.split('.').skip(1);
    if after_first.clone().any(|label| label.contains("**")) || is_glued_double(text) {
        let fix = match text.strip_prefix("**") {
            Some(rest) if !rest.starts_with('.') => format!("**.{rest}"),
            _ => text.replace("**", "*"),
        };
        let what = "has a `**` that is not the whole first label";
        return Err(PatternError::fixed(what, fix));
    }
    if text
        .rsplit('.')
        .next()
        .is_some_and(|label| label.contains('*'))
    {
        let what =
            "has a `*` in its last label; every top-level name would match. Write the domains out";
        return Err(PatternError::new(what));
    }
    if host::ends_in_number(text) {
        let what = "ends in a number, so a resolver may read it as an address; write the address as 192.0.2.1";
        return Err(PatternError::new(what));
    }
    Ok(())
}

fn is_glued_double(text: &str) -> bool {
    text.split('.')
        .next()
        .is_some_and(|first| first.contains("**") && first != "**")
}

/// Names that lead to the machine itself or to its cloud's credentials wherever they resolve.
fn check_name(name: &str) -> Result<(), PatternError> {
    match suffix::reserved(name) {
        Some(suffix::Reserved::Machine) => Err(PatternError::new(
            "names the machine itself and is never allowed; write the machine's address with a port and the word `host`",
        )),
        Some(suffix::Reserved::Metadata) => Err(PatternError::new(
            "names a cloud metadata service; nothing opens those",
        )),
        None => Ok(()),
    }
}
