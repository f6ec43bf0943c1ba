//! `[results] outputs`: the files that a task was asked for, by glob.

use std::path::Path;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// The patterns, compiled.
#[derive(Debug)]
pub struct Outputs {
    patterns: Vec<String>,
    set: GlobSet,
}

impl Outputs {
    /// Patterns below the task's files: `*` stays within a directory, `**` does not.
    pub fn new(patterns: &[String]) -> Result<Outputs, String> {
        let mut set = GlobSetBuilder::new();
        for pattern in patterns {
            let odd = |part: &str| matches!(part, "" | "." | ".." | ".git");
            if pattern.split('/').any(odd) || pattern.contains('\0') {
                return Err(format!(
                    "{pattern:?} must be a relative path without empty parts, . and .., and not git's"
                ));
            }
            let glob = GlobBuilder::new(pattern).literal_separator(true).build();
            set.add(glob.map_err(|e| format!("{pattern:?} is not a pattern: {}", e.kind()))?);
        }
        let set = set.build().map_err(|e| e.to_string())?;
        let patterns = patterns.to_vec();
        Ok(Outputs { patterns, set })
    }

    /// Nothing was declared.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Is this path, below the task's files, one of them?
    #[must_use]
    pub fn has(&self, path: &Path) -> bool {
        self.set.is_match(path)
    }

    /// For find's `-path`, whose `*` knows no directories and which has no braces: what a pattern
    /// matches and possibly more.
    #[must_use]
    pub fn broad(&self) -> Vec<String> {
        self.patterns.iter().map(|pattern| broad(pattern)).collect()
    }
}

fn broad(pattern: &str) -> String {
    let mut out = String::new();
    let mut inside = 0_u32;
    for c in pattern.replace("**/", "*").chars() {
        match c {
            '{' => inside += 1,
            '}' => {
                inside = inside.saturating_sub(1);
                out.push('*');
            }
            _ if inside > 0 => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(patterns: &[&str]) -> Outputs {
        let patterns: Vec<_> = patterns.iter().map(|p| (*p).to_owned()).collect();
        Outputs::new(&patterns).unwrap()
    }

    #[test]
    fn a_star_stays_in_its_directory_and_two_do_not() {
        let outputs = outputs(&["reports/*.xml", "target/**/*.log", "*.{json,txt}"]);
        for yes in ["reports/a.xml", "target/a.log", "target/a/b/c.log", "x.txt"] {
            assert!(outputs.has(Path::new(yes)), "{yes}");
        }
        for no in ["reports/a/b.xml", "a/x.txt", "x.md"] {
            assert!(!outputs.has(Path::new(no)), "{no}");
        }
        assert_eq!(outputs.broad(), ["reports/*.xml", "target/**.log", "*.*"]);
    }

    #[test]
    fn a_pattern_that_leads_elsewhere_is_refused() {
        for pattern in [
            "/etc/passwd",
            "../x",
            "a//b",
            "./x",
            ".git/config",
            "a[",
            "",
        ] {
            let refused = Outputs::new(&[pattern.to_owned()]);
            assert!(refused.is_err(), "{pattern}");
        }
    }
}
