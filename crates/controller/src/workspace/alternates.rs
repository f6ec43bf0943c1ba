//! Where a repository borrows objects from: `objects/info/alternates`, and so on from there.

use std::path::Path;

use super::private::Objects;
use crate::error::Result;

/// git follows five; a longer chain is none that git could use.
const DEPTH: usize = 5;

/// The object directory and everything it borrows from, in git's order, each once. A place that is
/// not there is left out, as git leaves it out.
pub(super) fn chain(objects: &Path) -> Result<Vec<Objects>> {
    let mut found: Vec<Objects> = Vec::new();
    let mut level = vec![fs_err::canonicalize(objects)?];
    for _ in 0..=DEPTH {
        let mut next = Vec::new();
        for directory in level {
            if found.iter().any(|known| known.directory == directory) {
                continue;
            }
            let file = directory.join("info/alternates");
            let text = match fs_err::read_to_string(&file) {
                Ok(text) => text,
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
                Err(e) => return Err(e.into()),
            };
            let named = text
                .lines()
                .filter(|line| !line.is_empty() && !line.starts_with('#'));
            // Relative to the object directory that names it.
            let real = named.filter_map(|line| fs_err::canonicalize(directory.join(line)).ok());
            next.extend(real.filter(|real| real.is_dir()));
            found.push(Objects {
                borrows: !text.is_empty(),
                directory,
            });
        }
        level = next;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// Object directories `a` to `d`.
    fn bed() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let root = fs_err::canonicalize(dir.path()).unwrap();
        for name in ["a", "b", "c", "d"] {
            fs_err::create_dir_all(root.join(name).join("info")).unwrap();
        }
        (dir, root)
    }

    #[test]
    fn follows_absolute_and_relative_ones_and_each_once() {
        let (_dir, root) = bed();
        let write = |name: &str, text: String| {
            fs_err::write(root.join(name).join("info/alternates"), text).unwrap();
        };
        write(
            "a",
            format!(
                "# a comment\n\n{}\n../c\n/nonexistent\n",
                root.join("b").display()
            ),
        );
        write("b", "../d\n".to_owned());
        write("d", "../a\n../b\n".to_owned());
        let expected = [("a", true), ("b", true), ("c", false), ("d", true)];
        let expected = expected.map(|(name, borrows)| Objects {
            directory: root.join(name),
            borrows,
        });
        assert_eq!(chain(&root.join("a")).unwrap(), expected);
    }

    #[test]
    fn a_repository_of_its_own_is_a_chain_of_one() {
        let (_dir, root) = bed();
        let found = chain(&root.join("a")).unwrap();
        assert_eq!(found.len(), 1);
        assert!(!found[0].borrows);
    }
}
