//! Making one: the task is held, its places and its container's layer are copied, and it goes on.

use std::path::Path;
use std::time::Instant;

use futures_util::future::join_all;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::exclude::Excluded;
use super::keep::Kept;
use super::layer::{Wanted, filter, parent};
use super::manifest::{Manifest, Missed, Part, What};
use super::measure::reading;
use super::origin::Origin;
use super::place::{extractor, places};
use super::secrets;
use super::shelf::{Draft, REMOVED, Shelf, keep_passwords};
use crate::engine::{Engine, EngineError, Running};
use crate::error::{Error, Result};
use crate::labels::Role;
use crate::output::Progress;
use crate::passwords::Passwords;
use crate::paths::StateDir;
use crate::record::Record;
use crate::task::Slug;
use crate::teardown;
use crate::workspace::blocking;

/// What is wanted.
#[derive(Debug)]
pub struct Wish {
    /// Its name.
    pub name: Slug,
    /// What is left out.
    pub excluded: Excluded,
    /// The task stands still meanwhile.
    pub hold: bool,
    /// Bytes that each part may have.
    pub most: u64,
}

/// Makes one. The caller holds the task's lock, and the task is up. Whatever fails, the task goes on and nothing is
/// left of it.
pub async fn create<E: Engine>(
    engine: &E,
    state: &StateDir,
    record: &Record,
    wish: &Wish,
    cancel: &CancellationToken,
    progress: &Progress,
) -> Result<Manifest> {
    let origin = Origin::of(&record.workspace);
    let draft = Shelf::of(state, &record.task).draft(&wish.name, origin.clone())?;
    let maker = Maker {
        engine,
        state,
        record,
        wish,
        draft: &draft,
        progress,
    };
    let began = (Timestamp::now(), Instant::now());
    let made = tokio::select! {
        () = cancel.cancelled() => Err(Error::Interrupted),
        made = maker.make() => made,
    };
    let mut made = match made {
        Ok(made) => made,
        Err(error) => {
            // Interrupted, it may be held still, and an extractor may be at work.
            let mut undone = maker.release().await;
            undone.extend(maker.sweep().await);
            draft.abandon().await;
            return match undone.is_empty() {
                true => Err(error),
                false => Err(Error::AndUndo {
                    first: Box::new(error),
                    undo: undone.join("\n"),
                }),
            };
        }
    };
    made.origin = origin;
    made.taken = began.0;
    made.seconds = began.1.elapsed().as_secs_f64();
    draft.finish(&made)?;
    Ok(made)
}

struct Maker<'a, E> {
    engine: &'a E,
    state: &'a StateDir,
    record: &'a Record,
    wish: &'a Wish,
    draft: &'a Draft,
    progress: &'a Progress,
}

/// What there is of a container's layer.
#[derive(Default)]
struct Raws {
    wanted: Wanted,
    raw: Vec<Raw>,
    missed: Option<Missed>,
}

/// The engine's archive of a directory, not yet looked through.
struct Raw {
    file: std::path::PathBuf,
    root: String,
}

impl<E: Engine> Maker<'_, E> {
    async fn make(&self) -> Result<Manifest> {
        self.draft.pin().await?;
        let held = Instant::now();
        if self.wish.hold {
            self.hold().await?;
        }
        let copied = self.copy().await;
        let complaints = match self.wish.hold {
            true => self.release().await,
            false => Vec::new(),
        };
        let held = match self.wish.hold {
            true => held.elapsed().as_secs_f64(),
            false => 0.0,
        };
        let (mut parts, layer) = copied?;
        if let Some(complaint) = complaints.into_iter().next() {
            return Err(Error::Failed(complaint));
        }
        let mut manifest = Manifest {
            v: 1,
            of: self.record.task.clone(),
            name: self.wish.name.clone(),
            taken: Timestamp::now(),
            seconds: 0.0,
            held,
            image: self.image().await?,
            origin: None,
            excluded: self.wish.excluded.globs().to_vec(),
            parts: Vec::new(),
            removed: 0,
            left_out: Vec::new(),
        };
        manifest.removed = layer.wanted.removed.len() as u64;
        manifest.left_out.extend(layer.missed);
        parts.extend(self.layer(layer.wanted, layer.raw).await?);
        if parts
            .iter()
            .any(|part| matches!(part.what, What::Volume { .. }))
        {
            let known = Passwords::read(&self.state.task(&self.record.task).passwords())?;
            keep_passwords(self.draft, &known)?;
        }
        manifest.parts = self.look_through(parts).await?;
        Ok(manifest)
    }

    /// Places and layer, as they are at one moment.
    async fn copy(&self) -> Result<(Vec<Part>, Raws)> {
        let facts = self.engine.facts().await;
        let facts = facts.map_err(Error::engine("asking the engine"))?;
        let extractor = extractor(self.engine, self.state, &facts, self.record)?;
        let mut parts = Vec::new();
        for (number, place) in places(self.engine, self.state, self.record)
            .await?
            .iter()
            .enumerate()
        {
            let file = place.what.file(number);
            self.progress.step(&format!("storing {}", place.what));
            let doing = format!("storing {}", place.what);
            let job = reading(
                place,
                &self.wish.excluded,
                "storing",
                include_str!("scripts/pack.sh"),
            );
            let kept = Kept::new(
                &self.draft.at(&file),
                self.wish.most,
                format!("{} of task {}", place.what, self.record.task),
            )?;
            let trouble = kept.trouble();
            let ended = extractor.run(job.at_most(u64::MAX), None, kept).await;
            trouble.over(ended.and_then(|ended| ended.ok(&doing)))?;
            parts.push(Part {
                what: place.what.clone(),
                file,
                entries: 0,
                bytes: 0,
            });
        }
        self.progress.step("storing what the container changed");
        Ok((parts, self.raw().await?))
    }

    /// The layer's archives as the engine gives them.
    async fn raw(&self) -> Result<Raws> {
        let Some(agent) = self.record.container(Role::Agent) else {
            return Ok(Raws::default());
        };
        let (changes, state) = futures_util::join!(
            self.engine.changes(agent),
            self.engine.inspect_container(agent)
        );
        let state = state.map_err(Error::engine(format!("looking at {agent}")))?;
        let changes = match changes {
            Ok(changes) => changes,
            // An agent that makes the list too long keeps nothing else back.
            Err(e) => {
                return Ok(Raws {
                    missed: Some(Missed {
                        what: "container".to_owned(),
                        why: e.to_string(),
                    }),
                    ..Raws::default()
                });
            }
        };
        let wanted = Wanted::of(changes, &state.mounts, &self.wish.excluded)?;
        let mut raw = Vec::new();
        for (number, root) in wanted.roots.iter().enumerate() {
            let file = self.draft.at(&format!("container.{number}.raw"));
            let what = format!("{root} of the agent's container");
            let kept = Kept::new(&file, self.wish.most, what)?;
            let trouble = kept.trouble();
            let read = self.engine.read_archive(agent, root, Box::new(kept)).await;
            let reading = Error::engine(format!("reading {root} of {agent}"));
            match trouble.over(read.map_err(reading)) {
                Ok(()) => raw.push(Raw {
                    file,
                    root: root.clone(),
                }),
                // It went away meanwhile: a task that is not held.
                Err(Error::Engine {
                    source: EngineError::NotFound(_),
                    ..
                }) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(Raws {
            wanted,
            raw,
            missed: None,
        })
    }

    /// What is wanted of them.
    async fn layer(&self, wanted: Wanted, raw: Vec<Raw>) -> Result<Vec<Part>> {
        let directory = self.draft.directory().to_owned();
        blocking(move || {
            let mut parts = Vec::new();
            for (number, Raw { file, root }) in raw.into_iter().enumerate() {
                let what = What::Container {
                    directory: parent(&root).to_owned(),
                };
                let name = what.file(number);
                let target = directory.join(&name);
                let entries = filter(&file, &target, &root, &wanted.paths)?;
                fs_err::remove_file(&file)?;
                match entries {
                    0 => fs_err::remove_file(&target)?,
                    _ => parts.push(Part {
                        what,
                        file: name,
                        entries,
                        bytes: 0,
                    }),
                }
            }
            if !wanted.removed.is_empty() {
                let list: String = wanted
                    .removed
                    .iter()
                    .map(|path| format!("{path}\0"))
                    .collect();
                crate::paths::write_private(&directory.join(REMOVED), &list)?;
            }
            Ok(parts)
        })
        .await
    }

    /// Sizes, secrets, and everything on the disk for good.
    async fn look_through(&self, parts: Vec<Part>) -> Result<Vec<Part>> {
        let secrets = secrets::given(&self.state.task(&self.record.task))?;
        let directory = self.draft.directory().to_owned();
        blocking(move || {
            let mut parts = parts;
            for part in &mut parts {
                let path = directory.join(&part.file);
                secrets::refuse(&path, part, &secrets)?;
                let file = fs_err::File::open(&path)?;
                file.sync_all()?;
                part.bytes = file.metadata()?.len();
                if part.entries == 0 {
                    part.entries = entries(&path)?;
                }
            }
            Ok(parts)
        })
        .await
    }

    /// What the agent's container began from: where it was restored, what that began from.
    async fn image(&self) -> Result<String> {
        if let Some(image) = &self.record.agent_image {
            return Ok(image.clone());
        }
        let Some(agent) = self.record.container(Role::Agent) else {
            return Ok(String::new());
        };
        let state = self.engine.inspect_container(agent).await;
        Ok(state
            .map_err(Error::engine(format!("looking at {agent}")))?
            .image)
    }

    /// Agent and services stand still, the agent first: nothing asks a service that does not answer.
    async fn hold(&self) -> Result<()> {
        self.progress.step("holding the task");
        for container in self.containers() {
            let state = self.engine.inspect_container(container).await;
            let state = state.map_err(Error::engine(format!("looking at {container}")))?;
            if state.running != Running::Running {
                continue;
            }
            let paused = self.engine.pause(container).await;
            paused.map_err(Error::engine(format!(
                "holding {container} (--no-hold copies while the task works)"
            )))?;
        }
        Ok(())
    }

    /// Everything that stands still goes on; one sentence for what does not.
    async fn release(&self) -> Vec<String> {
        release(self.engine, self.record).await
    }

    fn containers(&self) -> Vec<&str> {
        held(self.record)
    }

    /// Removes extractors that nobody waits for any more.
    async fn sweep(&self) -> Vec<String> {
        let mut report = teardown::Report::default();
        let mine = |owner: &crate::labels::Owner| {
            owner.task == self.record.task && owner.role == Role::Extractor
        };
        teardown::objects(self.engine, self.state.id(), &mine, &[], &[], &mut report).await;
        report.errors
    }
}

/// The containers that stand still, the agent's first.
fn held(record: &Record) -> Vec<&str> {
    let of = |role| record.places.iter().filter(move |place| place.role == role);
    let all = of(Role::Agent).chain(of(Role::Service));
    all.map(|place| place.container.as_str()).collect()
}

/// Lets go on what a snapshot held; a sentence for each that does not.
pub(crate) async fn release<E: Engine>(engine: &E, record: &Record) -> Vec<String> {
    let outcomes = join_all(held(record).into_iter().map(|container| async move {
        let state = engine.inspect_container(container).await.ok()?;
        if state.running != Running::Other("paused".to_owned()) {
            return None;
        }
        let gone_on = engine.unpause(container).await;
        let why = gone_on.err()?;
        Some(format!(
            "{container} stands still and does not go on: {why}"
        ))
    }))
    .await;
    outcomes.into_iter().flatten().collect()
}

fn entries(archive: &Path) -> Result<u64> {
    let mut archive = tar::Archive::new(fs_err::File::open(archive)?);
    let mut count = 0;
    for entry in archive.entries_with_seek()? {
        entry?;
        count += 1;
    }
    Ok(count)
}
