//! What puts a snapshot's parts somewhere, as data that a plan can hold, and what does it.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::PATIENCE;
use super::manifest::What;
use super::place::{FILES, LINKS, Place};
use super::shelf::Stored;
use crate::engine::{Engine, EngineError, Kind};
use crate::error::{Error, Result};
use crate::extractor::{Input, Job, Sink, attend, run_once, template};
use crate::facts::Facts;
use crate::labels::{Labels, Owner, Role};
use crate::plan::tool_limits;
use crate::spec::{Capability, ContainerSpec, ImageRef};
use crate::task::TaskId;
use crate::workspace::{Half, PrivateGit, Workspace};

/// What a new task begins with.
#[derive(Debug, Clone)]
pub struct Seed {
    /// The snapshot.
    pub stored: Stored,
}

/// An archive that a container of ours unpacks in a place, or another job of it there.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pour {
    /// What it is, as a participle.
    pub doing: String,
    /// The archive.
    pub archive: Option<Archive>,
    /// Whose submodules have the host's `.git` again afterwards: known when their worktrees are made.
    #[serde(skip)]
    pub links: Option<Workspace>,
    /// The container.
    pub spec: ContainerSpec,
}

/// Where an archive comes from.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Archive {
    /// A file.
    File(PathBuf),
    /// What the host has just made of a task, packed as it is read.
    Half {
        /// Whose.
        workspace: Box<Workspace>,
        /// Which half of it.
        half: Half,
        /// Who is to own it, `uid:gid` in the container.
        owner: (u32, u32),
    },
}

/// A layer that becomes an image.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Layer {
    /// What the plan calls the image, which has an id and no name.
    pub name: String,
    /// Archives, each with the directory it is unpacked in.
    pub parts: Vec<LayerPart>,
    /// A list of files that go, each with a NUL behind it.
    pub removed: Option<PathBuf>,
    /// The container that it is made in. Nothing is mounted there, and nothing of the agent's ever runs in it.
    pub spec: ContainerSpec,
    /// The image's labels.
    pub labels: Labels,
}

/// An archive of a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LayerPart {
    /// Where it is unpacked.
    pub directory: String,
    /// The archive.
    pub archive: PathBuf,
}

/// Who works on the places of a new task.
#[derive(Debug)]
pub struct Hands<'a> {
    /// The image of tools.
    pub tools: &'a ImageRef,
    /// The installation.
    pub state: &'a str,
    /// The task.
    pub task: &'a TaskId,
    /// Who owns its files.
    pub owner: (u32, u32),
    /// The engine.
    pub facts: &'a Facts,
}

impl Hands<'_> {
    fn template(&self) -> ContainerSpec {
        template(
            self.tools,
            self.state,
            self.task,
            Some(self.owner),
            self.facts,
        )
    }

    fn name(&self, what: &str) -> String {
        format!("{}-{what}", self.task.resource(Role::Extractor))
    }
}

/// The script that replaces what is in a place.
pub(super) const REPLACE: &str = concat!(
    include_str!("scripts/stage.sh"),
    "\nset -- \"$2\" \"$1\"\n",
    include_str!("scripts/swap.sh")
);

impl Seed {
    /// What fills the task's files and its git directory, in order.
    #[must_use]
    pub fn workspace(
        &self,
        workspace: &Workspace,
        covers: &std::path::Path,
        hands: &Hands<'_>,
    ) -> Vec<Pour> {
        let files = self.pour(&Place::files(workspace), hands, "files");
        let links = Some(workspace.clone());
        let mut steps = vec![files.map(|pour| Pour { links, ..pour })];
        if let Workspace::Worktree { git, branch, .. } = workspace {
            steps.push(self.pour(&Place::git(git), hands, "git"));
            steps.push(self.branch(git, branch, covers, hands));
        }
        steps.into_iter().flatten().collect()
    }

    /// What fills a service's volume, if the snapshot has it.
    #[must_use]
    pub fn volume(&self, volume: &crate::spec::VolumeSpec, hands: &Hands<'_>) -> Option<Pour> {
        let name = volume.name.rsplit('-').next().unwrap_or_default();
        self.pour(&Place::volume(volume.clone())?, hands, name)
    }

    fn pour(&self, place: &Place, hands: &Hands<'_>, name: &str) -> Option<Pour> {
        let part = self.stored.manifest.part(&place.what)?;
        let doing = format!("putting {} back", place.what);
        let job = Job::script(&doing, REPLACE)
            .arguments([place.target(), FILES])
            .mounts([place.mount(true)])
            .as_root(&Capability::WRITE)
            .within(PATIENCE);
        Some(Pour {
            doing,
            archive: Some(Archive::File(self.stored.at(&part.file))),
            links: None,
            spec: job.spec(&hands.template(), hands.name(name), true),
        })
    }

    /// The task's branch has the task's name.
    fn branch(
        &self,
        git: &PrivateGit,
        branch: &str,
        covers: &std::path::Path,
        hands: &Hands<'_>,
    ) -> Option<Pour> {
        let origin = self.stored.manifest.origin.as_ref()?;
        if origin.branch == branch {
            return None;
        }
        let doing = format!("calling the branch {branch}");
        let mut job = Job::script(&doing, include_str!("scripts/branch.sh"));
        let all = git.all_modules();
        let modules = all.iter().map(|module| module.git.place());
        let names = [origin.branch.clone(), branch.to_owned()];
        job = job
            .arguments(names.into_iter().chain(modules))
            .mounts(git.mounts(covers, true));
        let mut spec = job.spec(&hands.template(), hands.name("branch"), false);
        // Its own objects, and those that it borrows.
        for name in ["GIT_OBJECT_DIRECTORY", "GIT_WORK_TREE"] {
            spec.env.remove(name);
        }
        for (name, value) in git.environment(branch) {
            spec.env.insert(name.to_owned(), value);
        }
        let objects = std::iter::once(git).chain(all.iter().map(|module| &module.git));
        let objects: Vec<_> = objects.map(PrivateGit::object_path).collect();
        spec.env.insert(
            "GIT_ALTERNATE_OBJECT_DIRECTORIES".to_owned(),
            objects.join(":"),
        );
        Some(Pour {
            doing,
            archive: None,
            links: None,
            spec,
        })
    }

    /// Keeps what its commits stand on for the new task, whatever becomes of the snapshot.
    pub(crate) async fn pin(&self, workspace: &Workspace) -> Result<()> {
        self.stored.share(workspace).await
    }

    /// The image of the agent's container, unless that is the one it began from.
    #[must_use]
    pub fn layer(&self, hands: &Hands<'_>) -> Option<Layer> {
        Layer::of(&self.stored, hands.task, hands.state, hands.facts)
    }
}

impl Layer {
    /// What a snapshot's container had changed; `None`: nothing.
    #[must_use]
    pub fn of(stored: &Stored, task: &TaskId, state: &str, facts: &Facts) -> Option<Layer> {
        let parts = stored
            .manifest
            .parts
            .iter()
            .filter_map(|part| match &part.what {
                What::Container { directory } => Some(LayerPart {
                    directory: directory.clone(),
                    archive: stored.at(&part.file),
                }),
                What::Files | What::Git | What::Volume { .. } => None,
            });
        let (parts, removed): (Vec<_>, _) = (parts.collect(), stored.removed());
        if parts.is_empty() && removed.is_none() {
            return None;
        }
        let owner = |role| Owner {
            state: state.to_owned(),
            task: task.clone(),
            role,
        };
        let words = ["sh", "-c", "xargs -0 -r rm -rf --"];
        let spec = ContainerSpec {
            image: stored.manifest.image.clone(),
            user: Some("0:0".to_owned()),
            entrypoint: Some(words.map(str::to_owned).to_vec()),
            labels: owner(Role::Extractor).labels(),
            capabilities: Capability::WRITE.to_vec(),
            limits: tool_limits(facts),
            stdin_open: true,
            attached: true,
            ..ContainerSpec::bare(&format!("{}-layer", task.resource(Role::Extractor)))
        };
        Some(Layer {
            name: task.resource(Role::Snapshot),
            parts,
            removed,
            spec,
            labels: owner(Role::Snapshot).labels(),
        })
    }

    /// Makes the image; its id. The container goes in any case.
    pub(crate) async fn make<E: Engine>(&self, engine: &E) -> Result<String> {
        const DOING: &str = "making the container's files again";
        let container = engine.create_container(&self.spec).await;
        let container = container.map_err(|e| {
            if let EngineError::NotFound(what) = &e {
                return Error::Failed(format!(
                    "the image that the snapshot's container began from is not on the engine any more ({what}): fetch or \
                     build it again"
                ));
            }
            Error::engine(DOING)(e)
        })?;
        let made = self.fill(engine, &container).await;
        let removed = match engine.remove(Kind::Container, &container).await {
            Err(EngineError::NotFound(_)) => Ok(()),
            removed => removed,
        };
        let made = made?;
        removed.map_err(Error::engine(format!("removing {}", self.spec.name)))?;
        Ok(made)
    }

    async fn fill<E: Engine>(&self, engine: &E, container: &str) -> Result<String> {
        const DOING: &str = "making the container's files again";
        if let Some(list) = &self.removed {
            // Before anything of the agent's is there: what runs is the image's own.
            let list = Some(input(list).await?);
            let ended = run_once(engine, container, DOING, PATIENCE, list, Sink::new(0));
            ended.await?.ok(DOING)?;
        }
        for part in &self.parts {
            let archive = input(&part.archive).await?;
            let put = engine
                .write_archive(container, &part.directory, archive)
                .await;
            put.map_err(Error::engine(format!("unpacking into {}", part.directory)))?;
        }
        let image = engine.commit(container, &self.labels).await;
        image.map_err(Error::engine(DOING))
    }
}

impl Pour {
    /// Does it.
    pub(crate) async fn run<E: Engine>(&self, engine: &E) -> Result<()> {
        let (stdin, packing) = match &self.archive {
            Some(Archive::File(archive)) => (Some(input(archive).await?), None),
            Some(Archive::Half {
                workspace,
                half,
                owner,
            }) => {
                let (stdin, packing) = packed(workspace, *half, *owner)?;
                (Some(stdin), Some(packing))
            }
            None => (None, None),
        };
        let mut spec = self.spec.clone();
        if let Some(workspace) = &self.links {
            spec.env.insert(LINKS.to_owned(), workspace.links().await?);
        }
        let ended = attend(
            engine,
            &spec,
            &self.doing,
            PATIENCE + GRACE,
            stdin,
            Sink::new(0),
        );
        let ended = ended.await.and_then(|ended| ended.ok(&self.doing));
        if let Some(packing) = packing {
            match packing.await.map_err(std::io::Error::from)? {
                // Who unpacks does not wait for the last zeros; else it has its own story.
                Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => {}
                packed => packed?,
            }
        }
        ended
    }
}

/// An archive that is written while it is read.
fn packed(
    workspace: &Workspace,
    half: Half,
    owner: (u32, u32),
) -> Result<(Input, tokio::task::JoinHandle<std::io::Result<()>>)> {
    let (reader, writer) = std::os::unix::net::UnixStream::pair()?;
    reader.set_nonblocking(true)?;
    let reader = tokio::net::UnixStream::from_std(reader)?;
    let workspace = workspace.clone();
    let packing = tokio::task::spawn_blocking(move || {
        workspace.pack(
            half,
            owner,
            std::io::BufWriter::with_capacity(1 << 16, writer),
        )
    });
    Ok((Box::new(reader), packing))
}

/// A container ends by itself a little earlier than it is given up.
const GRACE: Duration = Duration::from_secs(20);

pub(super) async fn input(path: &std::path::Path) -> Result<Input> {
    let file = fs_err::File::open(path)?;
    Ok(Box::new(tokio::fs::File::from_std(file.into())))
}
