//! Putting one back into a task that is up: its containers stop, everything is put beside what is there, then names
//! change, and the containers start again behind their gate. Until names change, every failure leaves the old state.

use std::path::PathBuf;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::PATIENCE;
use super::manifest::{Part, What};
use super::measure::room;
use super::place::{FILES, LINKS, Place, extractor, places};
use super::seed::{Layer, input};
use super::shelf::Stored;
use crate::apply::healthy;
use crate::engine::{Engine, EngineError, Kind, Resource};
use crate::error::{Error, Result};
use crate::extractor::{Extractor, Job, Sink};
use crate::labels::{Owner, Role};
use crate::output::Progress;
use crate::passwords::Passwords;
use crate::paths::{StateDir, TaskDir, remove_if_there, write_private};
use crate::record::Record;
use crate::spec::Capability;
use crate::teardown;
use crate::verify::{self, Before, Proof};
use crate::workspace::Workspace;

/// In a task's directory while a restore is under way: the snapshot's name. The task's commands wait for its end.
pub const RESTORING: &str = "restoring";
/// How long a service may take to be ready again, in seconds.
const READY: u32 = 120;

/// Puts a snapshot back. The caller holds the task's lock, and the task is up.
pub async fn restore<E: Engine>(
    engine: &E,
    state: &StateDir,
    record: &Record,
    stored: &Stored,
    cancel: &CancellationToken,
    progress: &Progress,
) -> Result<Proof> {
    let agent = record
        .container(Role::Agent)
        .ok_or_else(|| Error::Failed(format!("task {} has no agent container", record.task)))?;
    let dir = state.task(&record.task);
    let image = image(engine, record, agent).await?;
    check(state, &dir, record, stored, &image)?;
    let facts = engine.facts().await;
    let facts = facts.map_err(Error::engine("asking the engine"))?;
    let places = places(engine, state, record).await?;
    let there = stored.manifest.parts.iter().filter_map(|part| {
        let place = places.iter().find(|place| place.what == part.what)?;
        Some((place.clone(), part.clone()))
    });
    let keeper = Keeper {
        engine,
        state,
        record,
        stored,
        agent: agent.to_owned(),
        places: there.collect(),
        extractor: extractor(engine, state, &facts, record)?,
        layer: Layer::of(stored, &record.task, state.id(), &facts),
        image,
        progress,
    };
    let marker = dir.root().join(RESTORING);
    write_private(&marker, stored.manifest.name.as_str())?;
    let staged = tokio::select! {
        () = cancel.cancelled() => Err(Error::Interrupted),
        staged = keeper.stage() => staged,
    };
    let image = match staged {
        Ok(image) => image,
        Err(error) => return Err(keeper.back(error, &marker).await),
    };
    // From here on the old state goes: who is killed says `restore` again.
    keeper.swap(&image).await?;
    stored.share(&record.workspace).await?;
    let proof = keeper.start().await?;
    proof.write(&dir)?;
    remove_if_there(&marker)?;
    Ok(proof)
}

/// What cannot go well is said before anything stops.
fn check(
    state: &StateDir,
    dir: &TaskDir,
    record: &Record,
    stored: &Stored,
    image: &str,
) -> Result<()> {
    let manifest = &stored.manifest;
    manifest.fits(&record.workspace)?;
    if let Workspace::Directory { path, .. } = &record.workspace {
        return Err(Error::Usage(format!(
            "task {} works on {}, which is yours: agentnet does not replace what is in it; put the snapshot into an empty \
             one: agentnet up NEW --workspace DIR --config FILE --snapshot {}/{}",
            record.task,
            path.display(),
            manifest.of,
            manifest.name
        )));
    }
    if manifest.needs_another(image) {
        return Err(other_image(stored, image));
    }
    let (then, now) = (stored.passwords()?, Passwords::read(&dir.passwords())?);
    for part in &manifest.parts {
        if let What::Volume { service, .. } = &part.what
            && then.service(service) != now.service(service)
        {
            return Err(Error::Failed(format!(
                "the volume of service {service} knows the passwords of then, and the task has others since it was brought \
                 up again; agentnet down {0}, then agentnet up {0} --snapshot {1}/{2} brings it up with both",
                record.task, manifest.of, manifest.name
            )));
        }
    }
    stored.check()?;
    room(
        crate::disk::free(state.root()),
        manifest.bytes(),
        "putting the snapshot back",
    )
}

/// The sentence for a container that began from another image.
pub(crate) fn other_image(stored: &Stored, image: &str) -> Error {
    let manifest = &stored.manifest;
    Error::Config(format!(
        "the container of snapshot {} began from the image {}, and this task's begins from {image}: what it changed belongs to \
         that one; --image {} takes it, if the engine still has it",
        manifest.name, manifest.image, manifest.image
    ))
}

/// What the agent's container began from before any restore.
async fn image<E: Engine>(engine: &E, record: &Record, agent: &str) -> Result<String> {
    match &record.agent_image {
        Some(image) => Ok(image.clone()),
        None => {
            let state = engine.inspect_container(agent).await;
            Ok(state
                .map_err(Error::engine(format!("looking at {agent}")))?
                .image)
        }
    }
}

struct Keeper<'a, E> {
    engine: &'a E,
    state: &'a StateDir,
    record: &'a Record,
    stored: &'a Stored,
    agent: String,
    places: Vec<(Place, Part)>,
    extractor: Extractor<'a, E>,
    layer: Option<Layer>,
    image: String,
    progress: &'a Progress,
}

impl<E: Engine> Keeper<'_, E> {
    /// The new agent's container until it has the old one's name.
    fn next(&self) -> String {
        format!("{}-next", self.agent)
    }

    fn services(&self) -> impl Iterator<Item = &str> {
        let all = self.record.places.iter();
        all.filter(|place| place.role == Role::Service)
            .map(|place| place.container.as_str())
    }

    /// Everything is there beside what is there now, and nothing runs; the image of the container to come.
    async fn stage(&self) -> Result<String> {
        // What an earlier one left of extractors.
        self.sweep().await?;
        // A restore that was killed left a container too many, or had only its name still to change.
        match self.engine.inspect_container(&self.agent).await {
            Err(EngineError::NotFound(_)) => {
                let renamed = self.engine.rename(&self.next(), &self.agent).await;
                renamed.map_err(Error::engine(format!("naming {}", self.agent)))?;
            }
            Ok(_) | Err(_) => self.discard(&self.next()).await?,
        }
        self.progress.step("stopping the containers");
        self.stop().await?;
        let links = self.record.workspace.links().await?;
        for (place, part) in &self.places {
            self.progress.step(&format!("putting {} back", place.what));
            let doing = format!("putting {} back", place.what);
            let job = self
                .writing(&doing, include_str!("scripts/stage.sh"), [place])
                .arguments([place.target()]);
            let job = match place.what {
                What::Files => job.variable(LINKS, &links),
                What::Git | What::Volume { .. } | What::Container { .. } => job,
            };
            let archive = input(&self.stored.at(&part.file)).await?;
            let ended = self.extractor.run(job, Some(archive), Sink::new(0)).await?;
            ended.ok(&doing)?;
        }
        let image = match &self.layer {
            Some(layer) => {
                self.progress.step("making the container's files again");
                layer.make(self.engine).await?
            }
            None => self.image.clone(),
        };
        let made = self
            .engine
            .recreate(&self.agent, &self.next(), &image)
            .await;
        made.map_err(Error::engine(format!("creating {}", self.next())))?;
        Ok(image)
    }

    fn writing<'p>(
        &self,
        doing: &str,
        script: &str,
        places: impl IntoIterator<Item = &'p Place>,
    ) -> Job {
        Job::script(doing, script)
            .mounts(places.into_iter().map(|place| place.mount(true)))
            .as_root(&Capability::WRITE)
            .within(PATIENCE)
    }

    /// A job on all places at once.
    async fn everywhere(&self, doing: &str, script: &str, first: Option<&str>) -> Result<()> {
        let places = || self.places.iter().map(|(place, _)| place);
        if self.places.is_empty() {
            return Ok(());
        }
        let words = first.into_iter().chain(places().map(Place::target));
        let job = self.writing(doing, script, places()).arguments(words);
        let ended = self.extractor.run(job, None, Sink::new(0)).await?;
        ended.ok(doing)
    }

    /// The old state again, as far as it can be had.
    async fn back(&self, error: Error, marker: &std::path::Path) -> Error {
        let unstage = include_str!("scripts/unstage.sh");
        let outcomes = [
            self.sweep().await,
            self.everywhere("taking back what was unpacked", unstage, None)
                .await,
            self.discard(&self.next()).await,
            self.images(None).await,
            self.start().await.map(drop),
        ];
        let undone = outcomes.into_iter().filter_map(Result::err);
        let mut undone: Vec<_> = undone.map(|e| e.to_string()).collect();
        if undone.is_empty() {
            undone.extend(remove_if_there(marker).err().map(|e| e.to_string()));
        }
        match undone.is_empty() {
            true => error,
            false => Error::AndUndo {
                first: Box::new(error),
                undo: undone.join("\n"),
            },
        }
    }

    /// Names change.
    async fn swap(&self, image: &str) -> Result<()> {
        self.progress.step("taking the old state's place");
        self.everywhere(
            "taking the old state's place",
            include_str!("scripts/swap.sh"),
            Some(FILES),
        )
        .await?;
        self.discard(&self.agent).await?;
        let renamed = self.engine.rename(&self.next(), &self.agent).await;
        renamed.map_err(Error::engine(format!("naming {}", self.agent)))?;
        self.images(Some(image)).await
    }

    /// Services in their order, the agent, and the proof.
    async fn start(&self) -> Result<Proof> {
        let never = CancellationToken::new();
        for container in self.services() {
            self.progress.step(&format!("starting {container}"));
            self.begin(container).await?;
            healthy(self.engine, container, READY, &never).await?;
        }
        self.progress.step(&format!("starting {}", self.agent));
        self.begin(&self.agent).await?;
        self.progress.step("proving the fence");
        let proof = verify::prove(
            self.engine,
            self.state,
            self.record,
            None,
            Before::JustStarted,
        );
        let proof = match proof.await {
            Ok(proof) if proof.sealed => return Ok(proof),
            Ok(proof) => Error::Leak(proof.sentence()),
            Err(e) => e,
        };
        // Nothing runs that is not proven.
        drop(self.stop().await);
        Err(proof)
    }

    /// All containers at once: each has its time to end. All of them are told, whatever one answers.
    async fn stop(&self) -> Result<()> {
        let all = [self.agent.as_str()].into_iter().chain(self.services());
        let stopped = join_all(all.map(|container| async move {
            let stopped = self.engine.stop(container).await;
            stopped.map_err(Error::engine(format!("stopping {container}")))
        }));
        stopped.await.into_iter().collect()
    }

    async fn begin(&self, container: &str) -> Result<()> {
        let started = self.engine.start(container).await;
        started.map_err(Error::engine(format!("starting {container}")))
    }

    /// Removes a container; not found is done.
    async fn discard(&self, container: &str) -> Result<()> {
        match self.engine.remove(Kind::Container, container).await {
            Ok(()) | Err(EngineError::NotFound(_)) => Ok(()),
            Err(e) => Err(Error::engine(format!("removing {container}"))(e)),
        }
    }

    /// Removes the images of earlier restores.
    async fn images(&self, but: Option<&str>) -> Result<()> {
        let listed = self.engine.owned(self.state.id()).await;
        let listed = listed.map_err(Error::engine("listing what is ours"))?;
        let used = self.engine.inspect_container(&self.agent).await;
        let used = used.map(|state| state.image).unwrap_or_default();
        let mine = |r: &Resource| {
            Owner::read(&r.labels)
                .is_some_and(|o| o.task == self.record.task && o.role == Role::Snapshot)
        };
        for image in listed.into_iter().filter(mine) {
            if Some(image.id.as_str()) == but || image.id == used {
                continue;
            }
            match self.engine.remove(Kind::Image, &image.id).await {
                Ok(()) | Err(EngineError::NotFound(_)) => {}
                Err(e) => return Err(Error::engine(format!("removing image {}", image.id))(e)),
            }
        }
        Ok(())
    }

    /// Removes containers of ours that an interrupt left at work.
    async fn sweep(&self) -> Result<()> {
        let mut report = teardown::Report::default();
        let mine = |owner: &Owner| owner.task == self.record.task && owner.role == Role::Extractor;
        teardown::objects(self.engine, self.state.id(), &mine, &[], &[], &mut report).await;
        match report.errors.is_empty() {
            true => Ok(()),
            false => Err(Error::LeftBehind(report.errors.join("\n"))),
        }
    }
}

/// Which snapshot a restore that did not end was putting back.
#[must_use]
pub fn unfinished(dir: &TaskDir) -> Option<String> {
    let marker: PathBuf = dir.root().join(RESTORING);
    crate::paths::read_bounded(&marker, 100).ok()
}
