//! A snapshot as a person names it.

use std::str::FromStr;

use super::{Seed, Shelf};
use crate::error::{Error, Result};
use crate::paths::StateDir;
use crate::task::{Slug, TaskId};
use crate::workspace::Workspace;

/// `TASK/NAME`, or `TASK` for its latest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Which {
    task: Slug,
    name: Option<Slug>,
}

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Which, String> {
        let (task, name) = match text.split_once('/') {
            Some((task, name)) => (task, Some(name.parse()?)),
            None => (text, None),
        };
        Ok(Which {
            task: task.parse()?,
            name,
        })
    }
}

impl Which {
    /// What a new task begins with. Its commits begin where those of the snapshot's task did.
    pub async fn seed(
        &self,
        state: &StateDir,
        new: &TaskId,
        workspace: &mut Workspace,
    ) -> Result<Seed> {
        let shelf = Shelf::of(
            state,
            &TaskId {
                project: new.project.clone(),
                task: self.task.clone(),
            },
        );
        let stored = match &self.name {
            Some(name) => shelf.get(name)?,
            None => shelf.latest()?,
        };
        if let Some(origin) = &stored.manifest.origin {
            let modules: Vec<_> = origin
                .modules
                .iter()
                .map(|held| held.path.clone())
                .collect();
            let dir = state.task(new);
            workspace.begin_at(&origin.base, &modules, &dir).await?;
        }
        stored.manifest.fits(workspace)?;
        match &*workspace {
            Workspace::Directory { path, .. } => {
                if fs_err::read_dir(path)?.any(|entry| entry.is_ok_and(|e| e.file_name() != ".git"))
                {
                    return Err(Error::Usage(format!(
                        "{} is not empty, and what is in it is yours: name an empty directory to put the snapshot into",
                        path.display()
                    )));
                }
            }
            Workspace::Worktree { .. } => {}
        }
        Ok(Seed { stored })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_named_by_slugs() {
        let which = |text: &str| text.parse::<Which>();
        assert_eq!(which("t/one").unwrap().name.unwrap().as_str(), "one");
        assert_eq!(which("t").unwrap().name, None);
        for bad in ["", "/", "t/", "/x", "t/../x", "t/x/y", "T/x"] {
            assert!(which(bad).is_err(), "{bad}");
        }
    }
}
