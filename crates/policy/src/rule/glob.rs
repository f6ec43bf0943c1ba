//! `*` within one part of a name or path. No brackets, no classes, no escapes, so nothing to
//! compile, nothing to allocate, and nothing that a pattern can make slow: the cost is at most the
//! product of the two lengths. The tests hold it against globset.

/// Whether `text` is `pattern` with every `*` replaced by some bytes, possibly none. Neither side
/// is divided: the caller passes one label or one path segment.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    // Where to go on when the latest `*` has to take one byte more.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern.split_first(), text.split_first()) {
            (Some((b'*', rest)), _) => {
                pattern = rest;
                retry = Some((rest, text));
            }
            (Some((p, pattern_rest)), Some((t, text_rest))) if p == t => {
                (pattern, text) = (pattern_rest, text_rest);
            }
            (None, None) => return true,
            _ => match retry {
                Some((after, [_, rest @ ..])) => {
                    (pattern, text) = (after, rest);
                    retry = Some((after, rest));
                }
                Some((_, [])) | None => return false,
            },
        }
    }
}

/// Matches parts against patterns in order. `**` stands for any number of parts, none included,
/// but at the end for one at least, as globset has it: `/v1/**` is not `/v1`.
pub(crate) fn matches_parts<'p, 't, P, T>(patterns: P, parts: T) -> bool
where
    P: Iterator<Item = &'p str> + Clone,
    T: Iterator<Item = &'t str> + Clone,
{
    let (mut patterns, mut parts) = (patterns, parts);
    let mut retry: Option<(P, T)> = None;
    loop {
        let mut next_pattern = patterns.clone();
        let mut next_part = parts.clone();
        match (next_pattern.next(), next_part.next()) {
            (Some("**"), part) => {
                if next_pattern.clone().next().is_none() {
                    return part.is_some();
                }
                retry = Some((next_pattern.clone(), parts.clone()));
                patterns = next_pattern;
            }
            (Some(pattern), Some(part)) if matches(pattern.as_bytes(), part.as_bytes()) => {
                (patterns, parts) = (next_pattern, next_part);
            }
            (None, None) => return true,
            _ => {
                let Some((after, mut rest)) = retry.take() else {
                    return false;
                };
                if rest.next().is_none() {
                    return false;
                }
                (patterns, parts) = (after.clone(), rest.clone());
                retry = Some((after, rest));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use globset::GlobBuilder;
    use proptest::prelude::*;

    use super::*;

    /// What globset makes of the same, with the separator it has to be told of.
    fn globset(pattern: &str, text: &str) -> bool {
        let glob = GlobBuilder::new(pattern)
            .literal_separator(true)
            .build()
            .unwrap();
        glob.compile_matcher().is_match(text)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_agrees_with_globset_within_a_part(pattern in "[ab]{0,2}(\\*[ab]{1,2}){0,3}\\*?", text in "[ab]{0,8}") {
            prop_assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), globset(&pattern, &text));
        }

        #[test]
        fn it_agrees_with_globset_across_parts(
            pattern in prop::collection::vec("a|b|ab|a\\*|\\*|\\*\\*", 1..6),
            text in prop::collection::vec("a|b|ab|aab", 1..7),
        ) {
            // globset reads `**` beside `**` in its own way; a path that says so means one.
            prop_assume!(pattern.windows(2).all(|pair| pair != ["**", "**"]));
            let (pattern, text) = (pattern.join("/"), text.join("/"));
            prop_assert_eq!(parts(&pattern, &text), globset(&pattern, &text), "{} {}", pattern, text);
        }
    }

    fn parts(pattern: &str, text: &str) -> bool {
        matches_parts(pattern.split('/'), text.split('/'))
    }

    #[test]
    fn a_star_takes_what_it_has_to() {
        for (pattern, text) in [
            ("*", ""),
            ("*", "a"),
            ("a*", "a"),
            ("*a*b*", "xaxbx"),
            ("a*a", "aa"),
            ("*ab", "aab"),
        ] {
            assert!(
                matches(pattern.as_bytes(), text.as_bytes()),
                "{pattern} {text}"
            );
        }
        for (pattern, text) in [
            ("", "a"),
            ("a", ""),
            ("a*a", "a"),
            ("*ab", "aba"),
            ("a", "b"),
        ] {
            assert!(
                !matches(pattern.as_bytes(), text.as_bytes()),
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn two_stars_take_whole_parts() {
        for (pattern, text) in [
            ("**", "a"),
            ("**/z", "z"),
            ("a/**/z", "a/b/c/z"),
            ("**/b/**/z", "a/b/b/z"),
        ] {
            assert!(parts(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("**/z", "az"),
            ("a/**/z", "a/b"),
            ("*", "a/b"),
            ("a/*", "a"),
            ("a/**", "a"),
        ] {
            assert!(!parts(pattern, text), "{pattern} {text}");
        }
    }
}
