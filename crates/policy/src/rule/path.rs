//! The path of a line, and which paths may be compared with one at all.

use crate::rule::glob;

/// A path glob: `*` within a segment, `**` as a segment for any number of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PathPattern(Box<str>);

/// Why a text is not a path pattern. The words continue "`WORD` …".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PathError {
    GluedStars,
    Query,
    BadCharacter,
    NeverMatches,
}

impl PathError {
    pub(crate) fn words(self) -> &'static str {
        match self {
            PathError::GluedStars => "has a `**` that is not a whole segment",
            PathError::Query => "has a query; only the path is judged",
            PathError::BadCharacter => "has a character that no path has; write it percent-encoded",
            PathError::NeverMatches => {
                "can never match: a path with `//`, `.` or `..` segments, or encoded slashes, dots or backslashes is refused"
            }
        }
    }
}

/// What a path pattern says about a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PathMatch {
    Yes,
    No,
    /// Different servers would read the path differently. An allowing line does not match it; a
    /// refusing one does.
    Ambiguous,
}

impl PathPattern {
    pub(crate) fn parse(text: &str) -> Result<Self, PathError> {
        if text.contains(['?', '#']) {
            return Err(PathError::Query);
        }
        if text.contains('\\') || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(PathError::BadCharacter);
        }
        if text.contains(['[', ']', '{', '}', '<', '>', '"', '^', '`', '|']) {
            return Err(PathError::BadCharacter);
        }
        if text
            .split('/')
            .any(|segment| segment != "**" && segment.contains("**"))
        {
            return Err(PathError::GluedStars);
        }
        if is_ambiguous(text) {
            return Err(PathError::NeverMatches);
        }
        Ok(Self(text.into()))
    }

    /// Compares with a path in origin form. A query is cut off first.
    pub(crate) fn matches(&self, path: &str) -> PathMatch {
        // `http://host?query` asks for the root.
        let path = if path.starts_with('?') { "/" } else { path };
        let path = path.split('?').next().unwrap_or(path);
        if !path.starts_with('/') || is_ambiguous(path) {
            PathMatch::Ambiguous
        } else if glob::matches_parts(self.0.split('/'), path.split('/')) {
            PathMatch::Yes
        } else {
            PathMatch::No
        }
    }

    /// Whether every path that `other` matches is matched. May say no where the answer is yes.
    pub(crate) fn covers(&self, other: &PathPattern) -> bool {
        self == other
            || self.0.strip_suffix("**").is_some_and(|stem| {
                !stem.contains('*') && other.0.starts_with(stem) && other.0.len() > stem.len()
            })
    }
}

/// Whether two servers may disagree about which resource a path names. Envoy and Istio have a
/// line of CVEs here: `//` and `%2F` (CVE-2021-31920), path parameters (CVE-2026-73553).
fn is_ambiguous(path: &str) -> bool {
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        // An empty last segment is just a trailing slash.
        if segment.is_empty() && segments.peek().is_some() {
            return true;
        }
        // `..;x` is `..` to a server that strips path parameters.
        let bare = segment.split(';').next().unwrap_or(segment);
        if bare == "." || bare == ".." {
            return true;
        }
    }
    path.bytes()
        .any(|b| b == b'\\' || b == b'#' || !b.is_ascii_graphic())
        || has_hidden_byte(path)
}

/// Whether a percent-encoding hides a byte that would change how the path is read: `/`, `.`, `\`,
/// `;`, `%` before two digits, a control character, or one that is no encoding at all.
fn has_hidden_byte(path: &str) -> bool {
    path.split('%').skip(1).any(|after| {
        let Some(digits) = after
            .get(..2)
            .filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))
        else {
            return true;
        };
        let byte = u8::from_str_radix(digits, 16).unwrap_or(0);
        matches!(byte, b'/' | b'.' | b'\\' | b';' | b'%' | b'?' | b'#') || byte.is_ascii_control()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(pattern: &str, path: &str) -> PathMatch {
        PathPattern::parse(pattern).unwrap().matches(path)
    }

    #[test]
    fn stars_stay_in_their_segment_and_two_stars_do_not() {
        for (pattern, path) in [
            ("/v1/**", "/v1/"),
            ("/v1/**", "/v1/a/b"),
            ("/v1/**", "/v1/a?b=../c"),
            ("/**", "/"),
            ("/v1/*", "/v1/a"),
            ("/v1/*/x", "/v1/a/x"),
            ("/a*z", "/abcz"),
            ("/**/x", "/x"),
            ("/a b".trim_end_matches(" b"), "/a"),
        ] {
            assert_eq!(judged(pattern, path), PathMatch::Yes, "{pattern} {path}");
        }
        for (pattern, path) in [
            ("/v1/**", "/v2/a"),
            ("/v1/*", "/v1/a/b"),
            ("/v1", "/v1/"),
            ("/v1", "/V1"),
            ("/a*z", "/a/z"),
            ("/v1", "/%76%31"),
        ] {
            assert_eq!(judged(pattern, path), PathMatch::No, "{pattern} {path}");
        }
    }

    #[test]
    fn what_servers_read_differently_is_ambiguous() {
        for path in [
            "/v1/../admin",
            "/v1/./x",
            "/v1//x",
            "//v1/x",
            "/v1/%2e%2e/x",
            "/v1/%2Fx",
            "/v1/%5cx",
            "/v1/\\x",
            "/v1/..;/x",
            "/v1/%252e",
            "/v1/%00",
            "/v1/%",
            "/v1/%zz",
            "/v1/#x",
            "/v1/..",
            "v1/x",
            "",
            "*",
            "/v1/\u{e9}",
            "/v1/a\tb",
            "/v1/%3b",
        ] {
            assert_eq!(judged("/v1/**", path), PathMatch::Ambiguous, "{path}");
        }
    }

    #[test]
    fn patterns_that_can_never_match_are_refused() {
        for (pattern, error) in [
            ("/v1/**x", PathError::GluedStars),
            ("/v1?x", PathError::Query),
            ("/a/../b", PathError::NeverMatches),
            ("/a//b", PathError::NeverMatches),
            ("/[ab]", PathError::BadCharacter),
            ("/%2F", PathError::NeverMatches),
        ] {
            assert_eq!(PathPattern::parse(pattern), Err(error), "{pattern}");
        }
    }
}
