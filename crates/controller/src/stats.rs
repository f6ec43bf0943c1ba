//! How a task is, in one record: what it does, what it wanted, what it cost. `status`, `ls` and
//! `watch` show the same one.

mod exposition;
pub mod figures;
mod scrape;

use std::collections::BTreeMap;
use std::time::Duration;

use agentnet_policy::Reason;
use futures_util::future::join_all;
use jiff::Timestamp;
use serde::Serialize;
use tokio::time::{Instant, sleep_until, timeout};

pub use self::exposition::{Budget, Traffic};
use crate::decisions::{Blocks, recent};
use crate::engine::{
    ContainerState, Engine, EngineError, EngineResult, HealthState, Running, Usage,
};
use crate::labels::Role;
use crate::output::printable;
use crate::record::Record;
use crate::spec::ExecSpec;

/// Longest wait for an engine: a listing must not hang on one task.
const PATIENCE: Duration = Duration::from_secs(10);
/// Least time between two looks at the CPU, for a rate that means something.
const BETWEEN: Duration = Duration::from_millis(150);
/// The proxy's last lines that are looked at.
const LINES: u32 = 200;
/// Hosts that are named.
const MOST_DENIALS: usize = 5;

/// One task.
#[derive(Debug, Clone, Serialize)]
pub struct Stats {
    /// `up`, or what else the agent's container is; the task's phase where it is not up.
    pub state: String,
    /// The worst of its containers', where one has a check.
    pub health: Option<HealthState>,
    /// When `up` began.
    pub since: Timestamp,
    /// Seconds since then.
    pub age_seconds: i64,
    /// What the agent uses.
    pub agent: Option<Load>,
    /// What went through its proxy; absent where there is none, or it does not answer.
    pub traffic: Option<Traffic>,
    /// Hosts that were refused or not reached lately, the last first.
    pub denials: Vec<Denial>,
    /// Its containers.
    pub containers: Vec<ContainerStats>,
}

/// One container.
#[derive(Debug, Clone, Serialize)]
pub struct ContainerStats {
    /// Its name.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// `running`, `exited 1`, `exited 137, out of memory`, `gone` …
    pub state: String,
    /// Its health, where it has a check.
    pub health: Option<HealthState>,
    /// Its addresses inside the task.
    pub addresses: Vec<std::net::IpAddr>,
    /// What it uses, while it runs.
    pub load: Option<Load>,
}

/// What a container uses.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Load {
    /// Of one CPU, over the last moments: two busy CPUs are 200.
    pub cpu_percent: Option<f64>,
    /// Seconds of CPU since its start.
    pub cpu_seconds: f64,
    /// Bytes in memory.
    pub memory: u64,
    /// The most it may have.
    pub memory_limit: Option<u64>,
    /// Processes and threads.
    pub pids: u64,
    /// The most it may have.
    pub pids_limit: Option<u64>,
}

/// A host that was refused or not reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Denial {
    /// `host:port`.
    pub target: String,
    /// Why, the last time.
    pub reason: Reason,
    /// How often, of the lines that were looked at.
    pub count: u64,
    /// The last time.
    pub last: Timestamp,
}

/// The figures of the last look, so that the next one has a rate without waiting.
pub type Before = BTreeMap<String, Usage>;

impl Stats {
    /// Of a task that is not up: nobody is asked.
    #[must_use]
    pub fn resting(record: &Record, now: Timestamp, state: String) -> Stats {
        Stats {
            state,
            health: None,
            since: record.since,
            age_seconds: now.duration_since(record.since).as_secs().max(0),
            agent: None,
            traffic: None,
            denials: Vec::new(),
            containers: Vec::new(),
        }
    }

    /// Of a task, asking its engine and its proxy at the same time for everything.
    pub async fn gather<E: Engine>(
        engine: &E,
        record: &Record,
        before: &mut Before,
        now: Timestamp,
    ) -> Stats {
        if !record.phase.is_up() {
            return Stats::resting(record, now, record.phase.to_string());
        }
        let asked = async {
            let proxy = record.container(Role::Proxy);
            let begun = Instant::now();
            let looked = look(engine, record).await;
            futures_util::join!(
                containers(engine, record, (begun, &looked), before),
                traffic(engine, record, &looked),
                denials(engine, proxy),
            )
        };
        let Ok((containers, traffic, denials)) = timeout(PATIENCE, asked).await else {
            return Stats::resting(record, now, "engine does not answer".to_owned());
        };
        let agent = containers.iter().find(|c| c.role == Role::Agent);
        Stats {
            state: match agent.map(|agent| agent.state.as_str()) {
                Some("running") => "up".to_owned(),
                Some("running, out of memory") => "up, out of memory".to_owned(),
                Some(other) => other.to_owned(),
                None => "gone".to_owned(),
            },
            health: containers
                .iter()
                .filter_map(|c| c.health)
                .max_by_key(badness),
            agent: agent.and_then(|agent| agent.load),
            traffic,
            denials,
            containers,
            ..Stats::resting(record, now, String::new())
        }
    }
}

fn badness(health: &HealthState) -> u8 {
    match health {
        HealthState::None => 0,
        HealthState::Healthy => 1,
        HealthState::Starting => 2,
        HealthState::Unhealthy => 3,
    }
}

/// A container's state as people read it.
#[must_use]
pub fn word(running: &Running) -> String {
    match running {
        Running::Created => "created".to_owned(),
        Running::Running => "running".to_owned(),
        Running::Exited(code) => format!("exited {code}"),
        Running::Other(word) => printable(word),
    }
}

/// What the engine says of one container: its state, and what it uses.
type Looked = (EngineResult<ContainerState>, EngineResult<Usage>);

/// Everything that the engine says at once, in the order of the places.
async fn look<E: Engine>(engine: &E, record: &Record) -> Vec<Looked> {
    join_all(record.places.iter().map(|place| async {
        futures_util::join!(
            engine.inspect_container(&place.container),
            engine.stats(&place.container)
        )
    }))
    .await
}

async fn containers<E: Engine>(
    engine: &E,
    record: &Record,
    (begun, looked): (Instant, &[Looked]),
    before: &mut Before,
) -> Vec<ContainerStats> {
    let running: Vec<_> = record
        .places
        .iter()
        .zip(looked)
        .filter(|(_, (state, _))| matches!(state, Ok(s) if s.running == Running::Running))
        .filter_map(|(place, (_, usage))| Some((&place.container, *usage.as_ref().ok()?)))
        .collect();
    let known = running.iter().all(|(name, _)| before.contains_key(*name));
    let mut rates = BTreeMap::new();
    if known {
        for (name, usage) in &running {
            rates.insert((*name).clone(), (before.get(*name).copied(), *usage));
        }
    } else {
        // The first look at a task has nothing to compare with: a second one, a moment later.
        sleep_until(begun + BETWEEN).await;
        let again = running.iter().map(|(name, _)| engine.stats(name));
        for ((name, first), second) in running.iter().zip(join_all(again).await) {
            rates.insert((*name).clone(), (Some(*first), second.unwrap_or(*first)));
        }
    }
    *before = rates
        .iter()
        .map(|(name, (_, now))| (name.clone(), *now))
        .collect();
    let made = record.places.iter().zip(looked).map(|(place, (state, _))| {
        let (state, health) = match state {
            Ok(state) if state.oom_killed => {
                let word = word(&state.running);
                (format!("{word}, out of memory"), Some(state.health))
            }
            Ok(state) => (word(&state.running), Some(state.health)),
            Err(EngineError::NotFound(_)) => ("gone".to_owned(), None),
            Err(EngineError::Unreachable { .. }) => ("engine unreachable".to_owned(), None),
            Err(e) => (printable(&e.to_string()), None),
        };
        ContainerStats {
            name: place.container.clone(),
            role: place.role,
            state,
            health: health.filter(|health| *health != HealthState::None),
            addresses: place.addresses.clone(),
            load: rates
                .get(&place.container)
                .map(|(then, now)| load(then.as_ref(), now)),
        }
    });
    made.collect()
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn load(then: Option<&Usage>, now: &Usage) -> Load {
    let rate = then.and_then(|then| {
        let elapsed = now.at?.duration_since(then.at?).as_nanos();
        // A container that was started again begins at 0.
        let used = now.cpu_nanos.checked_sub(then.cpu_nanos)?;
        (elapsed > 0).then(|| used as f64 * 100.0 / elapsed as f64)
    });
    Load {
        cpu_percent: rate.map(|rate| (rate * 10.0).round() / 10.0),
        cpu_seconds: (now.cpu_nanos as f64 / 1e7).round() / 100.0,
        memory: now.memory,
        memory_limit: now.memory_limit,
        pids: now.pids,
        pids_limit: now.pids_limit,
    }
}

/// Straight from the proxy where this is the engine's host, else by a command in its container: thirty of those take the
/// engine a second and more.
async fn traffic<E: Engine>(engine: &E, record: &Record, looked: &[Looked]) -> Option<Traffic> {
    let proxy = record.container(Role::Proxy);
    let mut places = record.places.iter().zip(looked);
    let state = places.find(|(place, _)| place.role == Role::Proxy);
    if let Some((_, (Ok(state), _))) = state
        && let Some(seat) = state.seats.get(&record.task.resource(Role::Egress))
        && let Some(text) = scrape::metrics(seat).await
    {
        return Some(Traffic::read(&text));
    }
    let spec = ExecSpec::quiet(["/agentnet-proxy", "admin", "metrics"]);
    let output = engine.exec(proxy?, &spec).await.ok()?;
    (output.code == 0).then(|| Traffic::read(&String::from_utf8_lossy(&output.stdout)))
}

async fn denials<E: Engine>(engine: &E, proxy: Option<&str>) -> Vec<Denial> {
    let Some(proxy) = proxy else {
        return Vec::new();
    };
    let events = recent(engine, proxy, LINES).await.unwrap_or_default();
    let mut blocks = Blocks::default();
    events.iter().for_each(|event| blocks.add(event));
    let mut hosts: Vec<_> = blocks.hosts().iter().filter(|host| !host.quiet).collect();
    hosts.sort_by_key(|host| std::cmp::Reverse(host.last));
    let last = hosts.into_iter().take(MOST_DENIALS).map(|host| Denial {
        target: host.target(),
        reason: host.reason,
        count: host.count,
        last: host.last,
    });
    last.collect()
}

#[cfg(test)]
mod tests;
