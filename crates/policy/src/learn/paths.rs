//! The methods and paths of plain requests to one target, as narrow as a person can still read.

use std::collections::BTreeMap;

use crate::rule::{Methods, PathMatch, PathPattern};

/// The most lines with a path for one target; beyond, one without.
const MAX_GROUPS: usize = 4;
/// The longest path that is proposed, in bytes.
const MAX_PATH: usize = 256;

/// What was asked for at one target.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Paths {
    /// By first segment.
    groups: BTreeMap<Box<str>, Group>,
    /// All of them, once there were too many.
    any: Option<Plain>,
    /// Requests whose method or path no line can name, and the first of them.
    odd: u64,
    odd_sample: Option<(Box<str>, Box<str>)>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Group {
    prefix: Box<str>,
    /// Whether the prefix itself was asked for, and whether something below it was.
    itself: bool,
    below: bool,
    plain: Plain,
}

/// Methods, and a path that was seen with them.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Plain {
    methods: Methods,
    sample: Box<str>,
}

/// One line's worth.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct PathLine {
    pub(super) pattern: Option<String>,
    pub(super) methods: Methods,
    /// A path that was seen and that the pattern is for.
    pub(super) sample: Box<str>,
}

impl Paths {
    /// `again` is for what was probably counted before.
    pub(super) fn see(&mut self, method: &str, path: &str, again: bool) {
        let Some(methods) = expressible(method, path) else {
            if !again || self.odd == 0 {
                self.odd = self.odd.saturating_add(1);
            }
            if self.odd_sample.is_none() && path.len() <= 2 * MAX_PATH && method.len() <= 32 {
                self.odd_sample = Some((method.into(), path.into()));
            }
            return;
        };
        if let Some(any) = &mut self.any {
            any.methods = any.methods.union(methods);
            return;
        }
        let first = path.split('/').nth(1).unwrap_or_default();
        match self.groups.get_mut(first) {
            Some(group) => group.see(methods, path),
            None => {
                let group = Group {
                    prefix: path.into(),
                    itself: true,
                    below: false,
                    plain: Plain {
                        methods,
                        sample: path.into(),
                    },
                };
                self.groups.insert(first.into(), group);
            }
        }
        if self.groups.len() > MAX_GROUPS {
            let groups = std::mem::take(&mut self.groups).into_values();
            self.any = groups.map(|group| group.plain).reduce(|one, other| Plain {
                methods: one.methods.union(other.methods),
                sample: one.sample,
            });
        }
    }

    pub(super) fn odd(&self) -> u64 {
        self.odd
    }

    /// The method and path of one request that no line with a path is for.
    pub(super) fn odd_sample(&self) -> Option<(&str, &str)> {
        let (method, path) = self.odd_sample.as_ref()?;
        Some((method, path))
    }

    pub(super) fn lines(&self) -> Vec<PathLine> {
        if let Some(any) = &self.any {
            return vec![PathLine {
                pattern: None,
                methods: any.methods,
                sample: any.sample.clone(),
            }];
        }
        let mut lines = Vec::new();
        for group in self.groups.values() {
            let mut line = |pattern: String, sample: &str| {
                lines.push(PathLine {
                    pattern: Some(pattern),
                    methods: group.plain.methods,
                    sample: sample.into(),
                });
            };
            if group.itself {
                line(group.prefix.to_string(), &group.prefix);
            }
            if group.below {
                let pattern = format!("{}/**", group.prefix);
                let below = format!("{}/", group.prefix);
                let seen = group.plain.sample.starts_with(&below);
                line(pattern, if seen { &group.plain.sample } else { &below });
            }
        }
        lines
    }
}

impl Group {
    /// Widens the prefix to what this path and all before it have in common, whole segments.
    fn see(&mut self, methods: Methods, path: &str) {
        self.plain.methods = self.plain.methods.union(methods);
        let common: Vec<&str> = self
            .prefix
            .split('/')
            .zip(path.split('/'))
            .take_while(|(one, other)| one == other)
            .map(|(one, _)| one)
            .collect();
        let common = common.join("/");
        let shrunk = common.len() < self.prefix.len();
        if shrunk {
            // What was the prefix, or below it, is now below the shorter one.
            (self.itself, self.below) = (false, true);
        }
        if common.len() == path.len() {
            self.itself = true;
        } else {
            self.below = true;
        }
        self.prefix = common.into();
    }
}

/// The method as a set, where a line could be for exactly this request.
fn expressible(method: &str, path: &str) -> Option<Methods> {
    let methods = Methods::parse(method)
        .ok()
        .filter(|_| !method.contains(','))?;
    // A star in a request is a star; in a line it is anything.
    let plain = path.len() <= MAX_PATH && !path.contains('*');
    let pattern = PathPattern::parse(path).ok().filter(|_| plain)?;
    (pattern.matches(path) == PathMatch::Yes).then_some(methods)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(asked: &[(&str, &str)]) -> Vec<String> {
        let mut paths = Paths::default();
        for (method, path) in asked {
            paths.see(method, path, false);
        }
        let words = |line: PathLine| match line.pattern {
            Some(pattern) => format!("{} {pattern}", line.methods),
            None => line.methods.to_string(),
        };
        paths.lines().into_iter().map(words).collect()
    }

    #[test]
    fn a_line_is_as_wide_as_what_was_asked_for_and_not_wider_than_a_segment() {
        type Row<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);
        let table: &[Row<'_>] = &[
            (&[("GET", "/")], &["GET /"]),
            (&[("GET", "/a"), ("GET", "/a")], &["GET /a"]),
            (&[("HEAD", "/a"), ("GET", "/a")], &["GET,HEAD /a"]),
            (&[("GET", "/a/b"), ("GET", "/a/c")], &["GET /a/**"]),
            (&[("GET", "/a/bb"), ("GET", "/a/bc")], &["GET /a/**"]),
            (&[("GET", "/a/b/c"), ("GET", "/a/b/d/e")], &["GET /a/b/**"]),
            (&[("GET", "/a"), ("GET", "/a/b")], &["GET /a", "GET /a/**"]),
            (&[("GET", "/a/b"), ("GET", "/a")], &["GET /a", "GET /a/**"]),
            (
                &[("GET", "/a/b"), ("GET", "/a/b/c"), ("GET", "/a/d")],
                &["GET /a/**"],
            ),
            (&[("GET", "/a/"), ("GET", "/a/b")], &["GET /a/**"]),
            (&[("GET", "/a/x"), ("POST", "/b")], &["GET /a/x", "POST /b"]),
            (
                &[
                    ("GET", "/a"),
                    ("GET", "/b"),
                    ("GET", "/c"),
                    ("PUT", "/d"),
                    ("GET", "/e"),
                ],
                &["GET,PUT"],
            ),
            (
                &[
                    ("GET", "/a/../b"),
                    ("GET", "/a*"),
                    ("GET,HEAD", "/a"),
                    ("BREW", "/a"),
                ],
                &[],
            ),
            (
                &[("GET", "/a deny"), ("GET", "a"), ("GET", "/é"), ("GET", "")],
                &[],
            ),
        ];
        for (asked, expected) in table {
            assert_eq!(lines(asked), *expected, "{asked:?}");
        }
    }

    #[test]
    fn a_path_that_no_line_can_name_is_counted() {
        let mut paths = Paths::default();
        paths.see("GET", "/a/%2e%2e/b", false);
        paths.see("GET", &format!("/{}", "x".repeat(5_000)), false);
        assert_eq!((paths.odd(), paths.lines().len()), (2, 0));
        assert_eq!(paths.odd_sample(), Some(("GET", "/a/%2e%2e/b")));
    }
}
