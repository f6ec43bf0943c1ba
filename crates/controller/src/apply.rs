//! Follows a plan: every step as soon as what it waits for is done, a journal line before and after.
//! It decides nothing. On an error or Ctrl-C it begins nothing new and waits for what is under way,
//! so that undoing finds everything that was made.

mod refusal;

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use crate::engine::{Engine, EngineError, HealthState, Kind, Running};
use crate::error::{Error, Result};
use crate::journal::{Entry, Journal};
use crate::labels::SERVICE;
use crate::link;
use crate::output::Progress;
use crate::paths::{make_for, make_shared, make_spool, write_atomically, write_for};
use crate::plan::{Plan, Step};
use crate::spec::{ContainerNetwork, ContainerSpec};

/// The ids that the engine gave, by the plan's names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ids(BTreeMap<String, String>);

impl Ids {
    /// The id of a network or container. A name alone is not enough: an older engine can have two
    /// networks of one name (moby#18864).
    fn of(&self, name: &str) -> String {
        self.0.get(name).cloned().unwrap_or_else(|| name.to_owned())
    }
}

/// Runs the plan to its end, or to the first error. Undoing is the caller's.
pub async fn apply<E: Engine>(
    engine: &E,
    plan: &Plan,
    journal: &mut Journal,
    cancel: &CancellationToken,
    progress: &Progress,
) -> Result<Ids> {
    let mut ids = Ids::default();
    let mut done = vec![false; plan.steps.len()];
    let mut begun = vec![false; plan.steps.len()];
    let mut failure: Option<Error> = None;
    let mut under_way = FuturesUnordered::new();
    loop {
        if failure.is_none() && !cancel.is_cancelled() {
            for (place, planned) in plan.steps.iter().enumerate() {
                let ready = planned
                    .after
                    .iter()
                    .all(|n| done.get(*n).copied().unwrap_or(false));
                let Some(begun) = begun.get_mut(place) else {
                    continue;
                };
                if *begun || !ready {
                    continue;
                }
                let entry = Entry::Begin {
                    step: place,
                    doing: planned.step.doing(),
                    inverse: planned.step.inverse(),
                };
                if let Err(e) = journal.add(entry) {
                    failure.get_or_insert(e);
                    break;
                }
                *begun = true;
                progress.step(&planned.step.doing());
                let step = with_ids(&planned.step, &ids);
                // Said with the plan's names: an id means nothing to a person.
                let doing = planned.step.doing();
                under_way.push(async move { (place, run(engine, step, doing, cancel).await) });
            }
        }
        let Some((place, outcome)) = under_way.next().await else {
            break;
        };
        match outcome {
            Ok(id) => {
                let entry = Entry::Done {
                    step: place,
                    id: id.clone(),
                };
                if let Err(e) = journal.add(entry) {
                    failure.get_or_insert(e);
                }
                if let (Some(id), Some(planned)) = (id, plan.steps.get(place)) {
                    remember(&mut ids, &planned.step, id);
                }
                if let Some(done) = done.get_mut(place) {
                    *done = true;
                }
            }
            Err(error) => {
                let error = refusal::explained(&plan.steps, place, error);
                // The first failure is the story; a journal that cannot be written is not a second.
                drop(journal.add(Entry::Failed {
                    step: place,
                    why: error.to_string(),
                }));
                failure.get_or_insert(error);
            }
        }
    }
    match failure {
        Some(error) => Err(error),
        None if cancel.is_cancelled() => Err(Error::Interrupted),
        None => Ok(ids),
    }
}

fn remember(ids: &mut Ids, step: &Step, id: String) {
    match step {
        Step::Network(spec) => {
            ids.0.insert(spec.name.clone(), id);
        }
        Step::Container(spec) => {
            ids.0.insert(spec.name.clone(), id);
        }
        Step::Layer(layer) => {
            ids.0.insert(layer.name.clone(), id);
        }
        Step::Files { .. }
        | Step::Passwords { .. }
        | Step::Secret { .. }
        | Step::SshAgent { .. }
        | Step::Shared { .. }
        | Step::Spool { .. }
        | Step::Workspace(_)
        | Step::Vacate(_)
        | Step::Pour(_)
        | Step::GuardLink { .. }
        | Step::Volume(_)
        | Step::Connect { .. }
        | Step::Start { .. }
        | Step::AwaitHealthy { .. }
        | Step::Remove { .. } => {}
    }
}

/// The step with ids where the plan could only know names.
fn with_ids(step: &Step, ids: &Ids) -> Step {
    let mut step = step.clone();
    match &mut step {
        Step::Container(spec) => container_with_ids(spec, ids),
        Step::Connect {
            container,
            attachment,
        } => {
            *container = ids.of(container);
            attachment.network = ids.of(&attachment.network);
        }
        Step::Start { container, .. }
        | Step::AwaitHealthy { container, .. }
        | Step::Remove { container } => *container = ids.of(container),
        Step::GuardLink { network } => *network = ids.of(network),
        Step::Files { .. }
        | Step::Passwords { .. }
        | Step::Secret { .. }
        | Step::SshAgent { .. }
        | Step::Shared { .. }
        | Step::Spool { .. }
        | Step::Workspace(_)
        | Step::Vacate(_)
        | Step::Pour(_)
        | Step::Layer(_)
        | Step::Network(_)
        | Step::Volume(_) => {}
    }
    step
}

fn container_with_ids(spec: &mut ContainerSpec, ids: &Ids) {
    spec.image = ids.of(&spec.image);
    match &mut spec.network {
        ContainerNetwork::Joined(relay) => *relay = ids.of(relay),
        ContainerNetwork::Attached(all) => {
            for attachment in all {
                attachment.network = ids.of(&attachment.network);
            }
        }
        ContainerNetwork::None => {}
    }
}

async fn run<E: Engine>(
    engine: &E,
    step: Step,
    doing: String,
    cancel: &CancellationToken,
) -> Result<Option<String>> {
    let failed = |e| Error::Engine {
        doing: doing.clone(),
        source: e,
    };
    match &step {
        Step::Files { directory, files } => write_files(directory, files).map(|()| None),
        Step::Passwords { file, passwords } => passwords.write(file).map(|()| None),
        Step::Secret { path, owner, text } => write_for(path, *owner, text.expose()).map(|()| None),
        Step::SshAgent {
            directory,
            owner,
            agent,
        } => agent.start(directory, *owner).await.map(|()| None),
        Step::Shared { path, owner } => make_for(path, *owner).map(|()| None),
        Step::Spool { path, owner } => make_spool(path, *owner).map(|()| None),
        Step::Workspace(workspace) => workspace.prepare().await.map(|()| None),
        Step::Vacate(workspace) => workspace.vacate().map(|()| None),
        Step::Pour(pour) => Box::pin(pour.run(engine)).await.map(|()| None),
        Step::Layer(layer) => Box::pin(layer.make(engine)).await.map(Some),
        Step::Network(spec) => engine.create_network(spec).await.map(Some).map_err(failed),
        Step::GuardLink { network } => guard(engine, network).await.map(|()| None),
        Step::Volume(spec) => {
            engine.create_volume(spec).await.map_err(failed)?;
            Ok(Some(spec.name.clone()))
        }
        Step::Container(spec) => engine
            .create_container(spec)
            .await
            .map(Some)
            .map_err(failed),
        Step::Connect {
            container,
            attachment,
        } => engine
            .connect(container, attachment)
            .await
            .map(|()| None)
            .map_err(failed),
        Step::Start { container, .. } => {
            engine.start(container).await.map(|()| None).map_err(failed)
        }
        Step::AwaitHealthy { container, seconds } => healthy(engine, container, *seconds, cancel)
            .await
            .map(|()| None),
        Step::Remove { container } => match engine.remove(Kind::Container, container).await {
            Ok(()) | Err(EngineError::NotFound(_)) => Ok(None),
            Err(e) => Err(failed(e)),
        },
    }
}

/// An isolated network has no gateway. One that has took an address for the host from the engine's
/// range, whatever it was asked for, and our static `.1` would not notice.
async fn guard<E: Engine>(engine: &E, network: &str) -> Result<()> {
    let state = engine.inspect_network(network).await;
    let state = state.map_err(Error::engine(format!("looking at network {network}")))?;
    if let Some(gateway) = state.gateways.first() {
        return Err(Error::Unfit(format!(
            "the engine gave the host the address {gateway} in the sealed network {}: it does not \
             isolate gateways; --fence socket works on any engine",
            state.name
        )));
    }
    link::guard(network)
}

fn write_files(directory: &std::path::Path, files: &BTreeMap<String, String>) -> Result<()> {
    for (name, text) in files {
        let path = directory.join(name);
        if let Some(parent) = path.parent() {
            make_shared(parent)?;
        }
        write_atomically(&path, text)?;
    }
    Ok(())
}

/// How often a health check is asked for: the engine offers nothing to wait on.
const HEALTH_INTERVAL: Duration = Duration::from_millis(100);

/// Waits until a container can be used, or says why it cannot.
pub(crate) async fn healthy<E: Engine>(
    engine: &E,
    container: &str,
    seconds: u32,
    cancel: &CancellationToken,
) -> Result<()> {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(u64::from(seconds));
    loop {
        let state = engine
            .inspect_container(container)
            .await
            .map_err(Error::engine(format!("looking at {container}")))?;
        let name = &state.name;
        match (&state.running, state.health) {
            // Its gate says why; the caller reads that.
            (Running::Exited(code), _) => {
                let why = match (state.oom_killed, state.labels.get(SERVICE)) {
                    (true, Some(service)) => format!(
                        ": it ran out of memory; memory = in [services.{service}] of agentnet.toml raises its ceiling"
                    ),
                    (true, None) => ": it ran out of memory".to_owned(),
                    (false, _) => String::new(),
                };
                return Err(Error::Failed(format!(
                    "{name} ended with {code} before it was ready{why}"
                )));
            }
            (_, HealthState::Healthy | HealthState::None) => return Ok(()),
            (_, HealthState::Unhealthy) => {
                return Err(Error::Failed(format!("the health check of {name} fails")));
            }
            (_, HealthState::Starting) => {}
        }
        if tokio::time::Instant::now() >= deadline {
            return Err(Error::Failed(format!(
                "{name} was not healthy within {seconds} s; [services] wait_seconds = waits longer"
            )));
        }
        tokio::select! {
            () = cancel.cancelled() => return Err(Error::Interrupted),
            () = tokio::time::sleep(HEALTH_INTERVAL) => {}
        }
    }
}
