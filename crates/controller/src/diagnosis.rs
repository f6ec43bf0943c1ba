//! Why a task's programs do not get where they want: what its proxy saw, what its container holds,
//! and what to do about each.
//!
//! Everything here was made by the agent: it is bounded and shown, never obeyed. No advice is a
//! command that can be pasted unless the host in it is nothing but a name.

mod advice;

use agentnet_gate::clients::{Clients, Override, Program};
use serde::Serialize;

use crate::decisions::{Blocked, Blocks, recent};
use crate::engine::{Engine, EngineError};
use crate::error::{Error, Result};
use crate::labels::Role;
use crate::output::printable;
use crate::plan::GATE;
use crate::record::Record;
use crate::spec::ExecSpec;

/// The proxy's last lines that are looked at.
pub const LINES: u32 = 5_000;

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Diagnosis {
    /// Format version.
    pub v: u8,
    /// The task's project.
    pub project: String,
    /// The task.
    pub task: String,
    /// Decisions that were looked at.
    pub decisions: usize,
    /// What did not get through, and what to do about each.
    pub blocked: Vec<Finding>,
    /// Refusals of hosts beyond those.
    pub others: u64,
    /// Programs that do not know the proxy, as they run now.
    pub programs: Vec<Suspect<Program>>,
    /// Settings of tools that win over the variables.
    pub overrides: Vec<Suspect<Override>>,
    /// What could not be looked at.
    pub problems: Vec<String>,
}

/// A host, and what to do about it.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// What was seen.
    #[serde(flatten)]
    pub seen: Blocked,
    /// What to do, a sentence each.
    pub advice: Vec<String>,
}

/// Something in the container, and what to do about it.
#[derive(Debug, Clone, Serialize)]
pub struct Suspect<T> {
    /// What was seen.
    #[serde(flatten)]
    pub seen: T,
    /// What to do.
    pub advice: String,
}

/// Asks the task's proxy and the agent's container.
pub async fn diagnose<E: Engine>(engine: &E, record: &Record) -> Result<Diagnosis> {
    let mut problems = Vec::new();
    let events = match record.container(Role::Proxy) {
        Some(proxy) => recent(engine, proxy, LINES)
            .await
            .map_err(Error::engine(format!("reading the log of {proxy}")))?,
        None => {
            problems.push(format!(
                "the task has network {}: no proxy decides, so nothing is recorded",
                record.mode
            ));
            Vec::new()
        }
    };
    let mut blocks = Blocks::default();
    events.iter().for_each(|event| blocks.add(event));
    let clients = match record.container(Role::Agent) {
        Some(agent) => look_inside(engine, agent).await,
        None => Err("the task has no agent".to_owned()),
    };
    let clients = clients.unwrap_or_else(|why| {
        problems.push(format!("the agent's container was not looked into: {why}"));
        Clients::default()
    });
    if clients.more {
        problems.push("the agent's container has more programs or settings than are told".into());
    }
    Ok(judged(record, events.len(), &blocks, clients, problems))
}

/// What is to be said about it all.
fn judged(
    record: &Record,
    decisions: usize,
    blocks: &Blocks,
    clients: Clients,
    problems: Vec<String>,
) -> Diagnosis {
    let task = &record.task.task;
    let mut hosts: Vec<_> = blocks.hosts().to_vec();
    hosts.sort_by_key(|host| (host.quiet, std::cmp::Reverse(host.last)));
    let blocked = hosts.into_iter().map(|seen| Finding {
        advice: advice::of_host(task, &seen),
        seen,
    });
    let programs = clients.programs.into_iter().filter_map(|seen| {
        let advice = advice::of_program(&seen)?;
        Some(Suspect { seen, advice })
    });
    let overrides = clients.overrides.into_iter().map(|seen| Suspect {
        advice: advice::of_override(&seen),
        seen,
    });
    Diagnosis {
        v: 1,
        project: record.task.project.to_string(),
        task: task.to_string(),
        decisions,
        blocked: blocked.collect(),
        others: blocks.other,
        programs: programs.collect(),
        overrides: overrides.collect(),
        problems,
    }
}

/// Has the gate look for clients that do not know the proxy.
async fn look_inside<E: Engine>(engine: &E, agent: &str) -> std::result::Result<Clients, String> {
    let spec = ExecSpec::quiet([GATE, "clients"]);
    let output = match engine.exec(agent, &spec).await {
        Ok(output) => output,
        Err(EngineError::NotFound(_)) => return Err("it is gone".into()),
        Err(e) => return Err(printable(&e.to_string())),
    };
    // The bounds are the gate's; what the engine handed on is bounded as well.
    serde_json::from_slice(&output.stdout).map_err(|_| {
        let said = String::from_utf8_lossy(&output.stderr);
        let said: String = said.chars().take(300).collect();
        format!("the gate gave no answer: {}", printable(said.trim()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decisions::made::{asked, denied};
    use agentnet_policy::event::Event;

    fn program(name: &str, without: &[&str]) -> Program {
        Program {
            name: name.into(),
            count: 1,
            without: without.iter().map(|name| (*name).into()).collect(),
            no_proxy: None,
        }
    }

    #[test]
    fn a_tool_that_asks_the_dns_is_told_from_one_that_asks_the_proxy() {
        let mut blocks = Blocks::default();
        blocks.add(&asked("around.example", 1));
        blocks.add(&Event {
            agent: Some("pip/24.0".into()),
            ..denied("through.example", 2)
        });
        let clients = Clients {
            programs: vec![
                program("node", &["https_proxy", "NODE_USE_ENV_PROXY"]),
                program("sleep", &[]),
            ],
            ..Clients::default()
        };
        let record = crate::record::made();
        let diagnosis = judged(&record, 2, &blocks, clients, Vec::new());
        let advice = |host: &str| -> String {
            let found = diagnosis
                .blocked
                .iter()
                .find(|f| f.seen.host.as_str() == host);
            found.unwrap().advice.join("\n")
        };
        assert!(advice("around.example").contains("does not ask the proxy"));
        assert!(!advice("through.example").contains("does not ask the proxy"));
        assert!(advice("through.example").contains("agentnet allow t through.example"));
        let [node] = diagnosis.programs.as_slice() else {
            panic!("{:?}", diagnosis.programs)
        };
        assert!(node.advice.contains("22.21"), "{}", node.advice);
    }

    #[tokio::test]
    async fn an_answer_that_is_none_is_said_and_bounded() {
        use crate::engine::Output;
        use crate::engine::fake::FakeEngine;
        let engine = FakeEngine::new(FakeEngine::docker28());
        let gone = look_inside(&engine, "agent").await.unwrap_err();
        assert_eq!(gone, "it is gone");
        engine.add_running("agent");
        engine.answer(
            GATE,
            Output {
                code: 0,
                stdout: b"\x1b[2J".to_vec(),
                stderr: vec![b'\x1b'; 10_000],
            },
        );
        let none = look_inside(&engine, "agent").await.unwrap_err();
        assert!(!none.contains('\u{1b}') && none.len() < 4_000, "{none}");
    }
}
