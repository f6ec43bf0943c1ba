//! `up`: from nothing to a proven task, or back to nothing.

mod fenced;
mod setup;
mod users;
mod way;

use ipnet::IpNet;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::apply::apply;
use crate::engine::{Engine, EngineError, NetworkState, Running};
use crate::error::{Error, Result};
use crate::facts::Facts;
use crate::images::{Missing, Recipe};
use crate::journal::{Entry, Journal};
use crate::labels::Role;
use crate::lock::TaskLock;
use crate::output::Progress;
use crate::paths::{StateDir, TaskDir};
use crate::plan::{ImageSet, Plan};
use crate::pool::{Block, host_routes};
use crate::record::{Phase, Record};
use crate::snapshot::Seed;
use crate::teardown::{self, Changes};
use crate::verify::{self, Before, Proof};
use crate::workspace::Fate;

pub use setup::Setup;

/// How often another block is tried when the engine says that one is taken.
const OVERLAP_TRIES: usize = 16;

/// A task that is up.
#[derive(Debug)]
pub struct Up {
    /// Its record, as stored.
    pub record: Record,
    /// Its proof, as stored.
    pub proof: Proof,
    /// The engine.
    pub facts: Facts,
    /// Something was left over from an interrupted `up` and was removed first.
    pub cleaned: bool,
}

/// What `up` would do. Changes nothing, not even images.
pub async fn dry_run<E: Engine>(
    engine: &E,
    state: &StateDir,
    setup: &Setup,
    progress: &Progress,
) -> Result<(Plan, Facts)> {
    let (facts, networks, (images, _)) = survey(engine, setup, Missing::Assume, progress).await?;
    let setup = &setup.fitted(engine, state, &facts).await?;
    let blocks = setup.pick(&taken(&networks))?;
    setup.fits(&images, &state.task(&setup.task))?;
    let passwords = setup.passwords(&state.task(&setup.task))?;
    let plan = setup.plan(state, &facts, &images, blocks, &passwords)?;
    Ok((plan, facts))
}

/// Brings a task up. On any failure, a leak or a cancelled token nothing is left behind.
pub async fn up<E: Engine>(
    engine: &E,
    state: &StateDir,
    setup: &Setup,
    cancel: &CancellationToken,
    progress: &Progress,
) -> Result<Up> {
    let _lock = TaskLock::take(state, &setup.task).await?;
    let dir = state.task(&setup.task);
    let cleaned = way::make_way(engine, state, setup, &dir).await?;
    // Fetching or building an image can take minutes; nothing of the task exists yet.
    let surveyed = tokio::select! {
        () = cancel.cancelled() => Err(Error::Interrupted),
        surveyed = survey(engine, setup, Missing::Get, progress) => surveyed,
    };
    let (facts, networks, (mut images, pending)) = surveyed?;
    refuse_unfit(&facts)?;
    let setup = &setup.fitted(engine, state, &facts).await?;
    names_are_free(setup, &networks)?;
    let mut taken = taken(&networks);
    if !pending.is_empty() {
        let site = fenced::Site {
            engine,
            state,
            setup,
            facts: &facts,
            images: &images,
        };
        let built = site.build(pending, &mut taken, cancel, progress).await?;
        images.agent = Some(built);
    }
    setup.fits(&images, &dir)?;
    let passwords = setup.passwords(&dir)?;
    let plan = |blocks| setup.plan(state, &facts, &images, blocks, &passwords);
    let attempt = Attempt {
        engine,
        state,
        setup,
        facts: &facts,
        images: &images,
    };
    let mut record = attempt.apply(plan, &mut taken, cancel, progress).await?;
    progress.step("proving the fence");
    let phase = if setup.once { Phase::Run } else { Phase::Up };
    let seed = setup.seed.as_ref();
    match finish(engine, state, &dir, &mut record, seed, phase, cancel).await {
        Ok(proof) => Ok(Up {
            record,
            proof,
            facts,
            cleaned,
        }),
        Err(error) => Err(undo(engine, state, setup, error, &record).await),
    }
}

/// A plan that is followed, on another block when the engine says that one is taken.
struct Attempt<'a, E> {
    engine: &'a E,
    state: &'a StateDir,
    setup: &'a Setup,
    facts: &'a Facts,
    images: &'a ImageSet,
}

impl<E: Engine> Attempt<'_, E> {
    /// Follows it to the end, or undoes it.
    async fn apply(
        &self,
        plan: impl Fn([Block; 2]) -> Result<Plan>,
        taken: &mut Vec<IpNet>,
        cancel: &CancellationToken,
        progress: &Progress,
    ) -> Result<Record> {
        let Attempt {
            engine,
            state,
            setup,
            facts,
            images,
        } = self;
        let dir = state.task(&setup.task);
        let since = Timestamp::now();
        // Volumes that an earlier `down` kept are not undone with this.
        let kept = Record::read(&dir)?
            .map(|record| record.kept_volumes)
            .unwrap_or_default();
        let mut tries = 0;
        loop {
            let blocks = setup.pick(taken)?;
            let plan = plan(blocks)?;
            let mut record = setup.record(&plan, facts, images, since);
            record.kept_volumes.clone_from(&kept);
            let outcome = follow(*engine, &dir, &plan, &record, cancel, progress).await;
            match outcome {
                Ok(()) => return Ok(record),
                Err(error) => {
                    let retry = is_overlap(&error) && tries < OVERLAP_TRIES;
                    let error = undo(*engine, state, setup, error, &record).await;
                    if !retry || matches!(error, Error::AndUndo { .. }) {
                        return Err(error);
                    }
                    taken.extend(blocks.map(|block| IpNet::V4(block.net())));
                    tries += 1;
                }
            }
        }
    }
}

/// Journal, record, steps.
async fn follow<E: Engine>(
    engine: &E,
    dir: &TaskDir,
    plan: &Plan,
    record: &Record,
    cancel: &CancellationToken,
    progress: &Progress,
) -> Result<()> {
    fs_err::create_dir_all(dir.root())?;
    record.write(dir)?;
    let mut journal = Journal::begin(&dir.journal())?;
    apply(engine, plan, &mut journal, cancel, progress)
        .await
        .map(drop)
}

/// The proof, and the record that says so.
async fn finish<E: Engine>(
    engine: &E,
    state: &StateDir,
    dir: &TaskDir,
    record: &mut Record,
    seed: Option<&Seed>,
    phase: Phase,
    cancel: &CancellationToken,
) -> Result<Proof> {
    if let Some(seed) = seed {
        seed.pin(&record.workspace).await?;
    }
    let proof = tokio::select! {
        () = cancel.cancelled() => return Err(Error::Interrupted),
        proof = verify::prove(engine, state, record, None, Before::JustStarted) => proof?,
    };
    if !proof.sealed {
        return Err(Error::Leak(proof.sentence()));
    }
    proof.write(dir)?;
    record.phase = phase;
    record.write(dir)?;
    Journal::reopen(&dir.journal())?.add(Entry::Up)?;
    Ok(proof)
}

/// Everything that has to be known, at once.
async fn survey<E: Engine>(
    engine: &E,
    setup: &Setup,
    missing: Missing,
    progress: &Progress,
) -> Result<(Facts, Vec<NetworkState>, (ImageSet, Vec<Recipe>))> {
    progress.step("looking at the engine");
    let sources = setup.sources();
    let facts = async {
        engine
            .facts()
            .await
            .map_err(Error::engine("asking the engine"))
    };
    let networks = async {
        engine
            .networks()
            .await
            .map_err(Error::engine("listing networks"))
    };
    let images = sources.resolve(engine, missing, progress);
    // Facts first: an engine that is not there has no images either, and that is the story.
    let (facts, networks, images) = futures_util::join!(facts, networks, images);
    Ok((facts?, networks?, images?))
}

fn refuse_unfit(facts: &Facts) -> Result<()> {
    if !facts.local {
        return Err(Error::Unfit(format!(
            "the engine at {} is not on this machine, and a task's files and whitelist are mounted \
             from here; use an engine with a unix socket",
            facts.endpoint
        )));
    }
    if let Some(user) = facts.user.filter(|_| facts.rootless)
        && user != rustix::process::geteuid().as_raw()
    {
        return Err(Error::Unfit(format!(
            "the engine at {} is run by the user with number {user}, to whom the task's files would not belong; run \
             agentnet as that user",
            facts.endpoint
        )));
    }
    Ok(())
}

/// An older engine makes a second network of one name without a word.
fn names_are_free(setup: &Setup, networks: &[NetworkState]) -> Result<()> {
    let ours = [Role::Fence, Role::Egress].map(|role| setup.task.resource(role));
    match networks.iter().find(|network| ours.contains(&network.name)) {
        None => Ok(()),
        Some(network) => Err(Error::InUse(format!(
            "there is a network {} that is not this task's; choose another task name",
            network.name
        ))),
    }
}

fn taken(networks: &[NetworkState]) -> Vec<IpNet> {
    let routes = fs_err::read_to_string("/proc/self/net/route").unwrap_or_default();
    let engine = networks
        .iter()
        .flat_map(|network| network.blocks.iter().copied());
    engine.chain(host_routes(&routes)).collect()
}

fn is_overlap(error: &Error) -> bool {
    matches!(
        error,
        Error::Engine {
            source: EngineError::Overlap(_),
            ..
        }
    )
}

/// Undoes a failed `up`, and tells both stories if that fails too.
async fn undo<E: Engine>(
    engine: &E,
    state: &StateDir,
    setup: &Setup,
    error: Error,
    record: &Record,
) -> Error {
    let error = gate_story(engine, record, error).await;
    let workspace = Some(&setup.workspace);
    let report = teardown::task(engine, state, &setup.task, workspace, Changes::Keep).await;
    if let Some(Fate::Kept(path)) = &report.fate {
        crate::output::tell(&format!(
            "the files in {} were changed and are kept",
            match setup.workspace.is_in_volumes() {
                true => setup.workspace.whereabouts(),
                false => path.display().to_string(),
            }
        ));
    }
    if report.errors.is_empty() {
        return error;
    }
    Error::AndUndo {
        first: Box::new(error),
        undo: report.errors.join("\n"),
    }
}

/// A service or agent that ended at once was stopped by its gate: then its words are the story.
async fn gate_story<E: Engine>(engine: &E, record: &Record, error: Error) -> Error {
    const LEAK: Running = Running::Exited(125);
    if matches!(error, Error::Leak(_) | Error::Interrupted) {
        return error;
    }
    for place in &record.places {
        if !matches!(place.role, Role::Agent | Role::Service) {
            continue;
        }
        let Ok(state) = engine.inspect_container(&place.container).await else {
            continue;
        };
        if state.running == LEAK {
            let source = EngineError::Broken("it ended".into());
            return verify::why_not_running(engine, record, &place.container, source).await;
        }
    }
    error
}
