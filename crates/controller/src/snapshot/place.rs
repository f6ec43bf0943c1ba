//! The places of a task that a snapshot reads and a restore writes, as a container of ours sees them.

use std::path::PathBuf;

use super::manifest::What;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::extractor::{Extractor, template, tools};
use crate::facts::Facts;
use crate::labels::{Owner, Role, SERVICE, VOLUME};
use crate::paths::StateDir;
use crate::record::Record;
use crate::spec::{Mount, VolumeSpec};
use crate::workspace::{PrivateGit, Workspace};

/// Where the task's files are mounted.
pub(super) const FILES: &str = "/agentnet/place/files";
/// The variable that says what is to be in `.git` of submodules: [`Workspace::links`].
pub(super) const LINKS: &str = "AGENTNET_LINKS";
/// Where its git directory is.
pub(super) const GIT: &str = "/agentnet/place/git";

/// One place.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) what: What,
    target: String,
    /// As it is mounted, to be read.
    mount: Mount,
    /// Submodules in it: their `.git` is the host's.
    modules: Vec<PathBuf>,
}

impl Place {
    /// A task's files.
    pub(super) fn files(workspace: &Workspace) -> Place {
        let modules = match workspace {
            Workspace::Worktree { git, .. } => git.all_modules(),
            Workspace::Directory { .. } => Vec::new(),
        };
        Place {
            what: What::Files,
            target: FILES.to_owned(),
            mount: workspace.mount(FILES, false),
            modules: modules.iter().map(|module| module.path.clone()).collect(),
        }
    }

    pub(super) fn git(git: &PrivateGit) -> Place {
        let (volume, target) = (git.volume.as_ref(), GIT.to_owned());
        Place {
            modules: Vec::new(),
            what: What::Git,
            target: target.clone(),
            mount: Mount::either(volume, &git.directory, target, false),
        }
    }

    /// A service's volume, which says in its labels whose it is.
    pub(super) fn volume(volume: VolumeSpec) -> Option<Place> {
        let service = volume.labels.get(SERVICE)?.parse().ok()?;
        let name = volume.labels.get(VOLUME)?.clone();
        let target = format!("/agentnet/place/volume/{service}.{name}");
        let mount = Mount::Volume {
            volume,
            target: target.clone(),
            writable: false,
            fill: false,
        };
        Some(Place {
            modules: Vec::new(),
            target,
            what: What::Volume {
                service,
                volume: name,
            },
            mount,
        })
    }

    /// Where it is in the container.
    pub(super) fn target(&self) -> &str {
        &self.target
    }

    pub(super) fn mount(&self, may_write: bool) -> Mount {
        let mut mount = self.mount.clone();
        if let Mount::Bind { writable, .. } | Mount::Volume { writable, .. } = &mut mount {
            *writable = may_write;
        }
        mount
    }

    /// What of it is never stored: what is the host's, and what a restore that was killed left.
    pub(super) fn never(&self) -> Vec<String> {
        let own = ["./.agentnet-restore", "./.agentnet-gone"];
        let git = (self.what == What::Files).then_some("./.git");
        let words = own.into_iter().chain(git);
        let mut words: Vec<_> = words
            .flat_map(|path| ["-o", "-path", path])
            .map(str::to_owned)
            .collect();
        for module in &self.modules {
            let path = format!("./{}/.git", literal(&module.to_string_lossy()));
            words.extend(["-o", "-path", &path, "-type", "f"].map(str::to_owned));
        }
        words
    }
}

/// A path as `-path` of find(1) takes it: no character stands for others.
fn literal(path: &str) -> String {
    let mut out = String::new();
    for c in path.chars() {
        if "*?[]\\".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// A task's places, its files first.
pub(super) async fn places<E: Engine>(
    engine: &E,
    state: &StateDir,
    record: &Record,
) -> Result<Vec<Place>> {
    let mut places = vec![Place::files(&record.workspace)];
    if let Workspace::Worktree { git, .. } = &record.workspace {
        places.push(Place::git(git));
    }
    let listed = engine.owned(state.id()).await;
    let listed = listed.map_err(Error::engine("listing what is ours"))?;
    let mut volumes: Vec<_> = listed
        .into_iter()
        .filter(|r| {
            Owner::read(&r.labels).is_some_and(|o| o.task == record.task && o.role == Role::Volume)
        })
        .filter_map(|r| {
            Place::volume(VolumeSpec {
                name: r.name,
                labels: r.labels,
            })
        })
        .collect();
    volumes.sort_by(|a, b| a.target.cmp(&b.target));
    places.extend(volumes);
    Ok(places)
}

/// What reads and writes them.
pub(super) fn extractor<'e, E: Engine>(
    engine: &'e E,
    state: &StateDir,
    facts: &Facts,
    record: &Record,
) -> Result<Extractor<'e, E>> {
    let image = tools(record)?;
    let template = template(image, state.id(), &record.task, record.owner, facts);
    Ok(Extractor::bare(engine, &record.task, template))
}
