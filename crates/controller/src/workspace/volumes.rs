//! The task's files in volumes of the engine, where that maps users (`userns-remap`): a directory of the
//! host that its containers could write would belong to nobody there, and only root could give it away
//! (docs/adr/0012). The worktree is made on the host as everywhere, with a git directory that borrows
//! nothing; then both are packed into volumes and leave an empty worktree behind. Commits come back as
//! everywhere, through an extractor, which mounts the volumes.

use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{GITFILE, PrivateGit, Workspace, tree};
use crate::error::Result;
use crate::paths::remove_if_there;
use crate::spec::{Mount, VolumeSpec};

/// What leads git to the git directory. In a volume nothing needs to cover it: no tool of the host reads it there.
const DOT_GIT: &str = ".git";

/// One of the two things that a task's files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Half {
    /// What is checked out.
    Files,
    /// The private git directory.
    Git,
}

impl Half {
    /// In names and sentences.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Half::Files => "files",
            Half::Git => "git",
        }
    }
}

/// It borrows nothing, nor do its submodules.
fn alone(git: &mut PrivateGit) {
    git.own = true;
    git.objects.clear();
    for module in &mut git.modules {
        alone(&mut module.git);
    }
}

impl Workspace {
    /// The same in two volumes, and as a clone: the user's objects are not the mapped user's to read.
    #[must_use]
    pub fn in_volumes(mut self, files: VolumeSpec, its_git: VolumeSpec) -> Workspace {
        if let Workspace::Worktree { git, volume, .. } = &mut self {
            alone(git);
            git.volume = Some(its_git);
            *volume = Some(files);
        }
        self
    }

    /// The volumes that they are in: files, git directory. None where they are directories of the host.
    pub fn volumes(&self) -> impl Iterator<Item = &VolumeSpec> {
        let both = match self {
            Workspace::Worktree { git, volume, .. } => [volume.as_ref(), git.volume.as_ref()],
            Workspace::Directory { .. } => [None, None],
        };
        both.into_iter().flatten()
    }

    /// The names of the volumes.
    #[must_use]
    pub fn volume_names(&self) -> Vec<String> {
        self.volumes().map(|volume| volume.name.clone()).collect()
    }

    /// Are they in volumes?
    #[must_use]
    pub fn is_in_volumes(&self) -> bool {
        self.volumes().next().is_some()
    }

    /// The files, in a container.
    #[must_use]
    pub fn mount(&self, target: &str, writable: bool) -> Mount {
        let volume = match self {
            Workspace::Worktree { volume, .. } => volume.as_ref(),
            Workspace::Directory { .. } => None,
        };
        Mount::either(volume, self.files(), target.to_owned(), writable)
    }

    /// Where the files are, for a person: a path, or a volume's name.
    #[must_use]
    pub fn whereabouts(&self) -> String {
        match self.volumes().next() {
            Some(volume) => format!("volume {}", volume.name),
            None => self.files().display().to_string(),
        }
    }

    /// There once everything is in the volumes. Lies outside the tree.
    pub(super) fn moved(&self) -> PathBuf {
        self.files().with_extension("moved")
    }

    /// Everything is in volumes, and maybe changed there.
    #[must_use]
    pub fn is_moved(&self) -> bool {
        self.is_in_volumes() && self.moved().exists()
    }

    /// Writes one half as an archive that belongs to the container's user. Host and git made it, and nobody else has
    /// been there.
    pub(crate) fn pack(&self, half: Half, owner: (u32, u32), to: impl Write) -> io::Result<()> {
        let Workspace::Worktree { tree, git, .. } = self else {
            return Ok(());
        };
        let root = match half {
            Half::Files => tree,
            Half::Git => &git.directory,
        };
        let covers = match half {
            Half::Git => Vec::new(),
            Half::Files => {
                let modules = git.all_modules().into_iter();
                let of_modules =
                    modules.map(|module| (module.path.join(DOT_GIT), module.gitfile().1));
                let whole = (PathBuf::from(DOT_GIT), GITFILE.to_owned());
                of_modules.chain([whole]).collect()
            }
        };
        let mut archive = tar::Builder::new(to);
        let mut waiting = vec![PathBuf::new()];
        while let Some(path) = waiting.pop() {
            let cover = covers.iter().find(|(covered, _)| *covered == path);
            add(
                &mut archive,
                root,
                &path,
                cover.map(|(_, text)| text.as_str()),
                owner,
            )?;
            let place = root.join(&path);
            if cover.is_none() && fs_err::symlink_metadata(&place)?.is_dir() {
                for entry in fs_err::read_dir(&place)? {
                    waiting.push(path.join(entry?.file_name()));
                }
            }
        }
        archive.into_inner()?.flush()
    }

    /// Leaves an empty worktree, and says that everything is in the volumes.
    pub(crate) fn vacate(&self) -> Result<()> {
        let Workspace::Worktree { tree, git, .. } = self else {
            return Ok(());
        };
        // Killed half way, it is a tree that was never finished: nobody's changes are in it.
        remove_if_there(&self.marker())?;
        for entry in fs_err::read_dir(tree)? {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => tree::remove(&entry.path())?,
                false if entry.file_name() == DOT_GIT => {}
                false => fs_err::remove_file(entry.path())?,
            }
        }
        tree::remove(&git.directory)?;
        fs_err::create_dir(&git.directory)?;
        fs_err::write(self.moved(), "")?;
        self.mark()
    }
}

/// One entry; `text` instead of what is there.
fn add<W: Write>(
    archive: &mut tar::Builder<W>,
    root: &Path,
    path: &Path,
    text: Option<&str>,
    (uid, gid): (u32, u32),
) -> io::Result<()> {
    let place = root.join(path);
    let meta = fs_err::symlink_metadata(&place)?;
    let name = Path::new(".").join(path);
    let mut header = tar::Header::new_gnu();
    header.set_metadata(&meta);
    header.set_uid(uid.into());
    header.set_gid(gid.into());
    header.set_mtime(u64::try_from(meta.mtime()).unwrap_or_default());
    if let Some(text) = text {
        header.set_entry_type(tar::EntryType::Regular);
        header.set_mode(0o644);
        header.set_size(text.len() as u64);
        return archive.append_data(&mut header, name, text.as_bytes());
    }
    if meta.is_symlink() {
        header.set_size(0);
        return archive.append_link(&mut header, name, fs_err::read_link(&place)?);
    }
    if meta.is_dir() {
        header.set_size(0);
        return archive.append_data(&mut header, name, io::empty());
    }
    archive.append_data(&mut header, name, fs_err::File::open(&place)?)
}
