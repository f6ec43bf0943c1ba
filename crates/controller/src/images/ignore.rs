//! `.dockerignore`, as the Docker client reads it: one pattern a line relative to the context, `#` for
//! comments, `!` for exceptions, the last line that matches decides, and what lies below an ignored
//! directory is ignored with it. `*`, `?` and `[…]` stay within a name (Go's `filepath.Match`), `**`
//! stands for any number of directories. A pattern that we would read otherwise is an error.

use std::path::Path;

use crate::error::{Error, Result};

/// More patterns than anybody writes by hand.
const MOST: usize = 1000;

/// The lines of one file.
#[derive(Debug, Default)]
pub(super) struct Ignore {
    patterns: Vec<Pattern>,
}

#[derive(Debug)]
struct Pattern {
    keep: bool,
    parts: Vec<Part>,
}

/// One name of a pattern.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    /// `**`
    AnyDepth,
    Name(Vec<Letter>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Letter {
    One(char),
    AnyOne,
    AnyMany,
    /// Ranges, and whether they are excluded.
    Class(bool, Vec<(char, char)>),
}

impl Ignore {
    /// Reads the file of a context; an absent one ignores nothing.
    pub(super) fn read(root: &Path) -> Result<Ignore> {
        let path = root.join(".dockerignore");
        let text = match fs_err::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Ignore::default()),
            Err(e) => return Err(Error::Config(e.to_string())),
        };
        Ignore::parse(&text)
            .map_err(|(line, why)| Error::Config(format!("{}:{line}: {why}", path.display())))
    }

    fn parse(text: &str) -> std::result::Result<Ignore, (usize, String)> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut patterns = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (keep, rest) = match line.strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, line),
            };
            let parts = parts(rest).map_err(|why| (number + 1, format!("{line:?} {why}")))?;
            patterns.push(Pattern { keep, parts });
            if patterns.len() > MOST {
                return Err((number + 1, format!("more than {MOST} patterns")));
            }
        }
        Ok(Ignore { patterns })
    }

    /// Is this path of the context left out? The Dockerfile and this file itself are always sent.
    pub(super) fn excludes(&self, path: &Path) -> bool {
        if path == Path::new("Dockerfile") || path == Path::new(".dockerignore") {
            return false;
        }
        let names: Vec<_> = path.iter().map(|name| name.to_string_lossy()).collect();
        let mut excluded = false;
        for pattern in &self.patterns {
            // Nothing to change.
            if excluded != pattern.keep {
                continue;
            }
            // The path, or a directory above it.
            if (1..=names.len()).any(|n| {
                names
                    .get(..n)
                    .is_some_and(|above| fits(&pattern.parts, above))
            }) {
                excluded = !pattern.keep;
            }
        }
        excluded
    }

    /// May something below an excluded directory be kept?
    pub(super) fn has_exceptions(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.keep)
    }
}

fn parts(text: &str) -> std::result::Result<Vec<Part>, String> {
    if text.is_empty() {
        return Err("excepts nothing; remove the line".into());
    }
    let mut parts = Vec::new();
    for name in text.split('/') {
        match name {
            // As Go's `filepath.Clean` has it.
            "" | "." => {}
            ".." => {
                if parts.pop().is_none() {
                    return Err("leaves the context; name something below it".into());
                }
            }
            "**" => parts.push(Part::AnyDepth),
            name if name.contains("**") => {
                return Err(
                    "glues ** to a name, which agentnet does not read; write **/ and a pattern"
                        .into(),
                );
            }
            name => parts.push(Part::Name(letters(name)?)),
        }
    }
    Ok(parts)
}

fn letters(name: &str) -> std::result::Result<Vec<Letter>, String> {
    let mut letters = Vec::new();
    let mut rest = name.chars();
    while let Some(c) = rest.next() {
        letters.push(match c {
            '*' => Letter::AnyMany,
            '?' => Letter::AnyOne,
            '\\' => Letter::One(
                rest.next()
                    .ok_or("ends in a backslash that escapes nothing")?,
            ),
            '[' => class(&mut rest)?,
            c => Letter::One(c),
        });
    }
    Ok(letters)
}

/// The rest of `[…]`, as `filepath.Match` reads it.
fn class(rest: &mut std::str::Chars<'_>) -> std::result::Result<Letter, String> {
    const OPEN: &str = "has a [ without its ]";
    let negated = rest.as_str().starts_with('^');
    if negated {
        rest.next();
    }
    let mut ranges = Vec::new();
    loop {
        let from = match rest.next().ok_or(OPEN)? {
            ']' if !ranges.is_empty() => return Ok(Letter::Class(negated, ranges)),
            ']' => return Err("has an empty []".into()),
            '-' => return Err("has a - in [] that is no range".into()),
            '\\' => rest.next().ok_or(OPEN)?,
            c => c,
        };
        let mut to = from;
        if rest.as_str().starts_with('-') {
            rest.next();
            to = match rest.next().ok_or(OPEN)? {
                '\\' => rest.next().ok_or(OPEN)?,
                ']' | '-' => return Err("has a - in [] that is no range".into()),
                c => c,
            };
        }
        ranges.push((from, to));
    }
}

/// Do these parts fit the whole path? Linear in both by remembering which parts may come next.
fn fits(parts: &[Part], names: &[std::borrow::Cow<'_, str>]) -> bool {
    let mut open = vec![false; parts.len() + 1];
    if let Some(first) = open.first_mut() {
        *first = true;
    }
    skip_depths(parts, &mut open);
    for name in names {
        let mut next = vec![false; parts.len() + 1];
        for (at, part) in parts.iter().enumerate() {
            if !open.get(at).copied().unwrap_or(false) {
                continue;
            }
            let to = match part {
                Part::AnyDepth => at,
                Part::Name(letters) if name_fits(letters, name) => at + 1,
                Part::Name(_) => continue,
            };
            if let Some(place) = next.get_mut(to) {
                *place = true;
            }
        }
        open = next;
        skip_depths(parts, &mut open);
    }
    open.last().copied().unwrap_or(false)
}

/// `**` may stand for nothing.
fn skip_depths(parts: &[Part], open: &mut [bool]) {
    for (at, part) in parts.iter().enumerate() {
        if *part == Part::AnyDepth
            && open.get(at).copied().unwrap_or(false)
            && let Some(after) = open.get_mut(at + 1)
        {
            *after = true;
        }
    }
}

fn name_fits(letters: &[Letter], name: &str) -> bool {
    let mut open = vec![false; letters.len() + 1];
    if let Some(first) = open.first_mut() {
        *first = true;
    }
    skip_many(letters, &mut open);
    for c in name.chars() {
        let mut next = vec![false; letters.len() + 1];
        for (at, letter) in letters.iter().enumerate() {
            if !open.get(at).copied().unwrap_or(false) {
                continue;
            }
            let to = match letter {
                Letter::AnyMany => at,
                Letter::AnyOne => at + 1,
                Letter::One(one) if *one == c => at + 1,
                Letter::Class(negated, ranges)
                    if ranges.iter().any(|(a, b)| (*a..=*b).contains(&c)) != *negated =>
                {
                    at + 1
                }
                Letter::One(_) | Letter::Class(..) => continue,
            };
            if let Some(place) = next.get_mut(to) {
                *place = true;
            }
        }
        open = next;
        skip_many(letters, &mut open);
    }
    open.last().copied().unwrap_or(false)
}

fn skip_many(letters: &[Letter], open: &mut [bool]) {
    for (at, letter) in letters.iter().enumerate() {
        if *letter == Letter::AnyMany
            && open.get(at).copied().unwrap_or(false)
            && let Some(after) = open.get_mut(at + 1)
        {
            *after = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excluded(text: &str, path: &str) -> bool {
        Ignore::parse(text).unwrap().excludes(Path::new(path))
    }

    #[test]
    fn reads_what_the_docker_client_reads() {
        for (text, path, expected) in [
            // The reference's own examples (docs.docker.com, .dockerignore).
            ("*/temp*", "somedir/temporary.txt", true),
            ("*/temp*", "somedir/temp", true),
            ("*/temp*", "temp", false),
            ("*/*/temp*", "somedir/subdir/temporary.txt", true),
            ("temp?", "tempa", true),
            ("temp?", "temp", false),
            ("**/*.go", "a.go", true),
            ("**/*.go", "x/y/a.go", true),
            ("*.md\n!README.md", "README.md", false),
            ("*.md\n!README.md", "CHANGES.md", true),
            (
                "*.md\n!README*.md\nREADME-secret.md",
                "README-secret.md",
                true,
            ),
            (
                "*.md\nREADME-secret.md\n!README*.md",
                "README-secret.md",
                false,
            ),
            // What lies below an ignored directory, and an exception in it.
            ("node_modules", "node_modules/a/b.js", true),
            ("node_modules", "x/node_modules/b.js", false),
            ("dir\n!dir/keep", "dir/keep", false),
            ("dir\n!dir/keep", "dir/keep/below", false),
            ("dir\n!dir/keep", "dir/other", true),
            ("/a/", "a/x", true),
            ("./a//b", "a/b", true),
            ("x/../a", "a", true),
            ("# a\n\n  b  ", "b", true),
            ("# a", "a", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("\\*x", "*x", true),
            ("\\*x", "ax", false),
            ("**", "a/b", true),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("a/*b*c*", "a/xxbxxcxx", true),
            // Always sent.
            ("*", "Dockerfile", false),
            ("*", ".dockerignore", false),
            ("*", "sub/Dockerfile", true),
        ] {
            assert_eq!(excluded(text, path), expected, "{text:?} {path}");
        }
    }

    #[test]
    fn what_it_would_read_otherwise_is_an_error_with_its_line() {
        for (text, line, why) in [
            ("a\nb**", 2, "glues **"),
            ("../x", 1, "leaves the context"),
            ("[a", 1, "without its ]"),
            ("[]", 1, "empty []"),
            ("a\\", 1, "escapes nothing"),
            ("!", 1, "excepts nothing"),
        ] {
            let (at, said) = Ignore::parse(text).unwrap_err();
            assert!(at == line && said.contains(why), "{text:?}: {at} {said}");
        }
    }

    #[test]
    fn a_hostile_pattern_takes_no_time() {
        let text = "*a".repeat(200) + "b";
        assert!(!excluded(&text, &"a".repeat(4000)));
    }
}
