//! What a person leaves out. A glob that begins with a slash is of the agent's container, any other of its files; one
//! without a slash matches a name wherever it is. `*` also stands for slashes, and what lies below goes too.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::error::{Error, Result};

/// More than anybody writes by hand.
const MOST: usize = 200;
/// Longest glob.
const LONGEST: usize = 1000;

/// The globs.
#[derive(Debug, Clone)]
pub struct Excluded {
    globs: Vec<String>,
    container: GlobSet,
}

impl Excluded {
    /// Reads them.
    pub fn new(globs: Vec<String>) -> Result<Excluded> {
        if globs.len() > MOST {
            return Err(Error::Usage(format!("at most {MOST} --exclude are taken")));
        }
        let bad = |glob: &str, why: String| Error::Usage(format!("--exclude {glob:?}: {why}"));
        let mut set = GlobSetBuilder::new();
        for glob in &globs {
            if glob.is_empty() || glob.len() > LONGEST {
                return Err(bad(glob, format!("1 to {LONGEST} characters are a glob")));
            }
            // Read by find, and by us: what one of them refuses must be neither's.
            let parsed = GlobBuilder::new(glob.trim_end_matches('/'))
                .build()
                .map_err(|e| bad(glob, e.kind().to_string()))?;
            if glob.contains(['{', '}']) {
                return Err(bad(
                    glob,
                    "alternatives are two globs: say --exclude twice".into(),
                ));
            }
            if glob.starts_with('/') {
                set.add(parsed);
            }
        }
        let container = set.build().map_err(|e| Error::Usage(e.to_string()))?;
        Ok(Excluded { globs, container })
    }

    /// As they were given.
    #[must_use]
    pub fn globs(&self) -> &[String] {
        &self.globs
    }

    /// The tests of find(1) for what of the files stays out.
    #[must_use]
    pub(super) fn tests(&self) -> Vec<String> {
        let mut words = Vec::new();
        for glob in self.globs.iter().filter(|glob| !glob.starts_with('/')) {
            let glob = glob.trim_start_matches("./").trim_end_matches('/');
            let (test, glob) = match glob.contains('/') {
                true => ("-path", format!("./{glob}")),
                false => ("-name", glob.to_owned()),
            };
            words.extend(["-o".to_owned(), test.to_owned(), glob]);
        }
        words
    }

    /// Does a path of the container, or what it is in, stay out?
    #[must_use]
    pub(super) fn covers(&self, path: &str) -> bool {
        !self.container.is_empty()
            && std::iter::successors(Some(path), |path| {
                path.rsplit_once('/')
                    .map(|(above, _)| above)
                    .filter(|above| !above.is_empty())
            })
            .any(|path| self.container.is_match(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excluded(globs: &[&str]) -> Excluded {
        Excluded::new(globs.iter().map(|g| (*g).to_owned()).collect()).unwrap()
    }

    #[test]
    fn a_slash_first_is_the_container_and_the_rest_are_tests_of_find() {
        let some = excluded(&[
            "node_modules",
            "build/out/",
            "./a/*.o",
            "/home/agent/.cache",
        ]);
        let words = [
            "-o",
            "-name",
            "node_modules",
            "-o",
            "-path",
            "./build/out",
            "-o",
            "-path",
            "./a/*.o",
        ];
        assert_eq!(some.tests(), words);
        assert!(some.covers("/home/agent/.cache"));
        assert!(some.covers("/home/agent/.cache/pip/x"));
        assert!(!some.covers("/home/agent/.cached") && !some.covers("/home/agent"));
        assert!(!excluded(&["tmp"]).covers("/tmp"));
        assert!(excluded(&["/tmp/*.log"]).covers("/tmp/a/b.log"));
    }

    #[test]
    fn what_is_no_glob_is_refused() {
        for bad in ["", "a[", "{a,b}", &"x".repeat(2000)] {
            let error = Excluded::new(vec![bad.to_owned()]).unwrap_err();
            assert!(error.to_string().starts_with("--exclude"), "{error}");
        }
    }
}
