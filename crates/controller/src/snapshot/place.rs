//! The places of a task that a snapshot reads and a restore writes, as a container of ours sees them.

use super::manifest::What;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::extractor::{Extractor, template, tools};
use crate::facts::Facts;
use crate::labels::{Owner, Role, SERVICE, VOLUME};
use crate::paths::StateDir;
use crate::record::Record;
use crate::spec::{Mount, VolumeSpec};
use crate::workspace::Workspace;

/// Where the task's files are mounted.
pub(super) const FILES: &str = "/agentnet/place/files";
/// Where its git directory is.
const GIT: &str = "/agentnet/place/git";

/// One place.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) what: What,
    target: String,
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    Directory(std::path::PathBuf),
    Volume(VolumeSpec),
}

impl Place {
    /// A directory of the host, or a volume.
    pub(super) fn files(directory: &std::path::Path) -> Place {
        Place {
            what: What::Files,
            target: FILES.to_owned(),
            source: Source::Directory(directory.to_owned()),
        }
    }

    pub(super) fn git(directory: &std::path::Path) -> Place {
        Place {
            what: What::Git,
            target: GIT.to_owned(),
            source: Source::Directory(directory.to_owned()),
        }
    }

    /// A service's volume, which says in its labels whose it is.
    pub(super) fn volume(volume: VolumeSpec) -> Option<Place> {
        let service = volume.labels.get(SERVICE)?.parse().ok()?;
        let name = volume.labels.get(VOLUME)?.clone();
        Some(Place {
            target: format!("/agentnet/place/volume/{service}.{name}"),
            what: What::Volume {
                service,
                volume: name,
            },
            source: Source::Volume(volume),
        })
    }

    /// Where it is in the container.
    pub(super) fn target(&self) -> &str {
        &self.target
    }

    pub(super) fn mount(&self, writable: bool) -> Mount {
        let target = self.target.clone();
        match &self.source {
            Source::Directory(source) => Mount::Bind {
                source: source.clone(),
                target,
                writable,
            },
            Source::Volume(volume) => Mount::Volume {
                volume: volume.clone(),
                target,
                writable,
                fill: false,
            },
        }
    }

    /// What of it is never stored: what is the host's, and what a restore that was killed left.
    pub(super) fn never(&self) -> Vec<String> {
        let own = ["./.agentnet-restore", "./.agentnet-gone"];
        let git = (self.what == What::Files).then_some("./.git");
        let words = own.into_iter().chain(git);
        words
            .flat_map(|path| ["-o", "-path", path])
            .map(str::to_owned)
            .collect()
    }
}

/// A task's places, its files first.
pub(super) async fn places<E: Engine>(
    engine: &E,
    state: &StateDir,
    record: &Record,
) -> Result<Vec<Place>> {
    let mut places = vec![Place::files(record.workspace.files())];
    if let Workspace::Worktree { git, .. } = &record.workspace {
        places.push(Place::git(&git.directory));
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
