//! The directory that results are put in: new or empty, the person's, and out of the agent's reach.

use std::path::{Path, PathBuf};

use tokio::io::AsyncWrite;

use super::report::Written;
use crate::error::{Error, Result};
use crate::output::printable;

/// The directory.
#[derive(Debug)]
pub(super) struct Shelf {
    root: PathBuf,
}

impl Shelf {
    /// Makes it. `off_limits` is what an agent writes in: a link there could lead anywhere.
    pub(super) fn make(path: &Path, off_limits: &Path) -> Result<Shelf> {
        match fs_err::read_dir(path) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    return Err(Error::Usage(format!(
                        "{} is not empty; results go into a new or an empty directory",
                        path.display()
                    )));
                }
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => fs_err::create_dir_all(path)?,
            Err(e) => return Err(Error::Usage(e.to_string())),
        }
        let root = fs_err::canonicalize(path)?;
        let agents = fs_err::canonicalize(off_limits);
        if agents.is_ok_and(|agents| root.starts_with(agents)) {
            return Err(Error::Usage(format!(
                "{} lies in the task's own files, where its agent writes; name another directory",
                path.display()
            )));
        }
        Ok(Shelf { root })
    }

    /// A place on it.
    #[must_use]
    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// A new file.
    pub(super) fn file(&self, name: &str) -> Result<fs_err::File> {
        let path = self.at(name);
        if let Some(parent) = path.parent() {
            fs_err::create_dir_all(parent)?;
        }
        Ok(fs_err::File::create_new(path)?)
    }

    /// A new file for somebody who does not wait.
    pub(super) fn writer(&self, name: &str) -> Result<impl AsyncWrite + Send + Unpin + use<>> {
        Ok(tokio::fs::File::from_std(self.file(name)?.into_file()))
    }

    /// A document.
    pub(super) fn json<T: serde::Serialize>(&self, name: &str, value: &T) -> Result<()> {
        let file = self.file(name)?;
        let mut out = std::io::BufWriter::new(file);
        serde_json::to_writer_pretty(&mut out, value).map_err(std::io::Error::from)?;
        std::io::Write::write_all(&mut out, b"\n")?;
        Ok(std::io::Write::flush(&mut out)?)
    }

    /// Removes a file if it is empty or there was nothing to say.
    pub(super) fn drop_empty(&self, name: &str) -> Result<()> {
        let path = self.at(name);
        match fs_err::metadata(&path) {
            Ok(meta) if meta.len() == 0 => Ok(fs_err::remove_file(path)?),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Everything on it, in order.
    pub(super) fn contents(&self) -> Result<Vec<Written>> {
        let mut found = Vec::new();
        let mut waiting = vec![self.root.clone()];
        while let Some(directory) = waiting.pop() {
            for entry in fs_err::read_dir(directory)? {
                let entry = entry?;
                let path = entry.path();
                let kind = entry.file_type()?;
                if kind.is_dir() {
                    waiting.push(path);
                } else if kind.is_file() {
                    let below = path.strip_prefix(&self.root).unwrap_or(&path);
                    found.push(Written {
                        path: printable(&below.to_string_lossy()),
                        bytes: entry.metadata()?.len(),
                    });
                }
            }
        }
        found.sort();
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_new_or_empty_and_not_where_the_agent_writes() {
        let directory = tempfile::tempdir().unwrap();
        let tree = directory.path().join("tree");
        fs_err::create_dir(&tree).unwrap();
        let new = directory.path().join("a/b");
        Shelf::make(&new, &tree).unwrap();
        let shelf = Shelf::make(&new, &tree).unwrap();
        shelf.json("x/y.json", &1).unwrap();
        let written = shelf.contents().unwrap();
        assert_eq!(written.len(), 1);
        assert_eq!(
            (written[0].path.as_str(), written[0].bytes),
            ("x/y.json", 2)
        );
        let full = Shelf::make(&new, &tree).unwrap_err().to_string();
        assert!(full.contains("is not empty"), "{full}");
        let inside = Shelf::make(&tree.join("out"), &tree).unwrap_err();
        assert!(inside.to_string().contains("its agent writes"), "{inside}");
    }
}
