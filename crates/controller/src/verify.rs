//! The proof that a task is fenced: the gate's rows from inside, and what only the engine and its
//! host can show.

mod canary;
mod outside;
mod topic;
mod transcript;

use std::net::SocketAddr;

use agentnet_gate::{Outcome, Report};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::outside::breached;
pub(crate) use self::outside::opened;
pub use self::topic::Topic;
use self::transcript::last_words;
use crate::config::{Fence, Mode};
use crate::engine::{Engine, EngineError, Running};
use crate::error::{Error, Result};
use crate::labels::Role;
use crate::output::printable;
use crate::paths::{StateDir, TaskDir, write_atomically};
use crate::plan::{ADMIN_PORT, GATE, PROXY_PORT};
use crate::record::Record;
use crate::spec::ExecSpec;

/// The gate's exit code when the fence leaks.
const GATE_LEAK: i64 = 125;
/// Whom the gate runs as when it is a witness.
const WITNESS_USER: &str = "65534:65534";
/// Bound on addresses handed to the gate; it takes 256.
const MOST_FOREIGN: usize = 200;

/// Who found a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Witness {
    /// The gate, inside.
    Gate,
    /// The controller, through the engine and on its host.
    Controller,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProofRow {
    /// Which way out.
    pub id: String,
    /// In words.
    pub what: String,
    /// What became of it.
    pub outcome: Outcome,
    /// What happened.
    pub detail: String,
    /// Who says so.
    pub by: Witness,
}

/// The whole proof.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    /// Format version.
    pub v: u8,
    /// The task.
    pub task: String,
    /// When.
    pub at: Timestamp,
    /// No row counts against the fence.
    pub sealed: bool,
    /// How much network the task has: in mode `full` nothing was promised.
    pub mode: Mode,
    /// Which fence was promised.
    pub fence: Option<Fence>,
    /// The rows.
    pub rows: Vec<ProofRow>,
}

impl Proof {
    /// Rows that count against the fence.
    pub fn against(&self) -> impl Iterator<Item = &ProofRow> {
        self.rows.iter().filter(|row| row.outcome.counts_against())
    }

    /// How many rows were proven.
    #[must_use]
    pub fn proven(&self) -> usize {
        self.rows
            .iter()
            .filter(|row| row.outcome == Outcome::Sealed)
            .count()
    }

    /// The ways that are open, in a sentence each.
    #[must_use]
    pub fn sentence(&self) -> String {
        let open: Vec<_> = self
            .against()
            .map(|row| format!("  {}: {}", row.what, printable(&row.detail)))
            .collect();
        format!(
            "the fence of task {} is not sealed:\n{}",
            self.task,
            open.join("\n")
        )
    }

    /// Keeps it with the task.
    pub fn write(&self, dir: &TaskDir) -> Result<()> {
        let text = serde_json::to_string_pretty(self).map_err(std::io::Error::from)?;
        write_atomically(&dir.verify(), &text)
    }

    /// The last one, if there is one that can be read.
    #[must_use]
    pub fn read(dir: &TaskDir) -> Option<Proof> {
        serde_json::from_str(&fs_err::read_to_string(dir.verify()).ok()?).ok()
    }
}

/// How long ago the gate asked the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// It may have asked at any time, so the proof waits for the kernel to ask again if it must.
    AnyTime,
    /// The containers have just been started by us, and their gates have asked.
    JustStarted,
}

/// Proves a running task's fence.
pub async fn prove<E: Engine>(
    engine: &E,
    state: &StateDir,
    record: &Record,
    allowed: Option<&str>,
    before: Before,
) -> Result<Proof> {
    let agent = record
        .container(Role::Agent)
        .ok_or_else(|| Error::Failed(format!("task {} has no agent container", record.task)))?;
    let canary = canary::Canary::new();
    let foreign = foreign(engine, state, record, &canary).await?;
    let mut command = vec![GATE.to_owned(), "verify".to_owned()];
    command.extend(record.expectation.iter().cloned());
    for address in foreign.iter().take(MOST_FOREIGN) {
        command.extend(["--foreign".to_owned(), address.to_string()]);
    }
    if let Some(host) = allowed {
        command.extend(["--allowed-host".to_owned(), host.to_owned()]);
    }
    if before == Before::JustStarted {
        command.push("--just-proven".to_owned());
    }
    command.push("--json".to_owned());
    // Not as the agent's user: what the agent runs must not be able to trace or signal the witness.
    let inside = ExecSpec {
        user: Some(WITNESS_USER.to_owned()),
        ..ExecSpec::quiet(command)
    };
    let (inside, outside) =
        futures_util::join!(engine.exec(agent, &inside), outside::rows(engine, record));
    let inside = match inside {
        Ok(output) => output,
        Err(error) => return Err(why_not_running(engine, record, agent, error).await),
    };
    let report = match Report::parse(&inside.stdout) {
        Ok(report) => report,
        Err(e) => {
            let words = printable(String::from_utf8_lossy(&inside.stderr).trim());
            let silent =
                || Error::Failed(format!("the gate in {agent} gave no proof: {e} {words}"));
            return Err(ended(engine, record, agent).await.unwrap_or_else(silent));
        }
    };
    let mut rows: Vec<ProofRow> = report.rows.into_iter().map(from_gate).collect();
    rows.extend(outside?);
    if record.mode != Mode::Full {
        rows.extend(canary.row());
    }
    Ok(Proof {
        v: 1,
        task: record.task.to_string(),
        at: Timestamp::now(),
        sealed: !rows.iter().any(|row| row.outcome.counts_against()),
        mode: record.mode,
        fence: record.fence,
        rows,
    })
}

fn from_gate(row: agentnet_gate::Row) -> ProofRow {
    ProofRow {
        id: row.id.as_str().to_owned(),
        what: printable(&row.what),
        outcome: row.outcome,
        detail: printable(&row.detail),
        by: Witness::Gate,
    }
}

/// Addresses that must not answer: other tasks, our proxy's far side, services of the host.
async fn foreign<E: Engine>(
    engine: &E,
    state: &StateDir,
    record: &Record,
    canary: &canary::Canary,
) -> Result<Vec<SocketAddr>> {
    if record.mode == Mode::Full {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    let egress = record.task.resource(Role::Egress);
    let networks = if record.mode == Mode::Limited {
        let (ours, all) = futures_util::join!(engine.inspect_network(&egress), engine.networks());
        for endpoint in ours
            .map_err(Error::engine("looking at the egress network"))?
            .endpoints
        {
            let far = endpoint.v4.into_iter();
            found.extend(
                far.flat_map(|a| [ADMIN_PORT, PROXY_PORT].map(|p| SocketAddr::from((a, p)))),
            );
        }
        all.map_err(Error::engine("listing networks"))?
    } else {
        Vec::new()
    };
    found.extend(canary.addresses(&networks));
    for id in state.tasks()? {
        if id == record.task {
            continue;
        }
        // Another task's record that cannot be read is its own problem.
        let Ok(Some(other)) = Record::read(&state.task(&id)) else {
            continue;
        };
        if other.phase.is_up() {
            let places = other.places.iter().flat_map(|place| &place.addresses);
            found.extend(places.map(|address| SocketAddr::from((*address, PROXY_PORT))));
        }
    }
    Ok(found)
}

/// Why a container that should run does not, as far as it can be found out.
pub async fn why_not_running<E: Engine>(
    engine: &E,
    record: &Record,
    container: &str,
    error: EngineError,
) -> Error {
    let doing = format!("running the gate in {container}");
    let other = || Error::Engine {
        doing,
        source: error,
    };
    ended(engine, record, container).await.unwrap_or_else(other)
}

/// The story of a container that ended. A gate that found a leak ends its container with 125 and
/// says why on stderr: that is the story, not "container is not running".
async fn ended<E: Engine>(engine: &E, record: &Record, container: &str) -> Option<Error> {
    let state = engine.inspect_container(container).await.ok()?;
    let Running::Exited(code) = state.running else {
        return None;
    };
    let words = last_words(engine, container).await;
    if code == GATE_LEAK {
        return Some(Error::Leak(format!(
            "the fence of task {} is not sealed; the gate did not let {container} start:\n{words}",
            record.task
        )));
    }
    let said = if words.is_empty() {
        String::new()
    } else {
        format!(":\n{words}")
    };
    Some(Error::Failed(format!(
        "{container} ended with {code} as soon as it was started (agentnet run is for a command \
         that ends){said}"
    )))
}
