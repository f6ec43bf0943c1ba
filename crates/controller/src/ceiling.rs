//! What ran into its ceilings, in words: whose, which, and which key raises it. `status` and `run` say it; whoever
//! notifies people can as well.

use agentnet_gate::Usage;
use futures_util::future::join_all;
use serde::Serialize;

use crate::engine::{Engine, EngineError, Running};
use crate::labels::Role;
use crate::plan::Place;
use crate::record::Record;
use crate::spec::ExecSpec;

/// Where the gate is in every container.
const GATE: &str = "/agentnet/bin/agentnet-gate";
/// Whom it runs as when it only looks.
const NOBODY: &str = "65534:65534";

/// One container that ran into a ceiling.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Strain {
    /// The container.
    pub container: String,
    /// It ended because its memory did not suffice.
    pub out_of_memory: bool,
    /// Processes of it that the kernel ended for that.
    pub oom_kills: u64,
    /// Times that it could not start a process or thread.
    pub pids_refused: u64,
    /// What to tell a person, one sentence each.
    pub sentences: Vec<String>,
}

/// Agent and services that ran into a ceiling since they were started. What cannot be asked is left out.
pub async fn strains<E: Engine>(engine: &E, record: &Record) -> Vec<Strain> {
    let tenants = record.places.iter();
    let tenants = tenants.filter(|place| matches!(place.role, Role::Agent | Role::Service));
    let all = join_all(tenants.map(|place| strain(engine, place))).await;
    all.into_iter().flatten().collect()
}

async fn strain<E: Engine>(engine: &E, place: &Place) -> Option<Strain> {
    let state = engine.inspect_container(&place.container).await.ok()?;
    let usage = match state.running {
        Running::Running => match ask(engine, &place.container, None, &[]).await {
            Answer::Usage(usage) => usage,
            Answer::Stuck => return stuck(place),
            Answer::Nothing => return None,
        },
        Running::Created | Running::Exited(_) | Running::Other(_) => Usage::default(),
    };
    judge(
        place,
        state.oom_killed && state.running != Running::Running,
        &usage,
    )
}

/// What became of the question.
enum Answer {
    Usage(Usage),
    Stuck,
    Nothing,
}

/// What is on disk below a running container's directories, as far as it can be told.
pub(crate) async fn written<E: Engine>(engine: &E, container: &str, directories: &[String]) -> u64 {
    // Root there may read every file of a service, and nothing is changed by reading.
    match ask(engine, container, Some("0:0"), directories).await {
        Answer::Usage(usage) => usage
            .directories
            .values()
            .fold(0, |sum, bytes| sum.saturating_add(*bytes)),
        Answer::Stuck | Answer::Nothing => 0,
    }
}

/// What a running container's gate says of its cgroup, and of these directories.
async fn ask<E: Engine>(
    engine: &E,
    container: &str,
    user: Option<&str>,
    directories: &[String],
) -> Answer {
    let mut command = vec![GATE.to_owned(), "usage".to_owned()];
    command.extend_from_slice(directories);
    let spec = ExecSpec {
        user: Some(user.unwrap_or(NOBODY).to_owned()),
        ..ExecSpec::quiet(command)
    };
    match engine.exec(container, &spec).await {
        // What an engine says when the runtime could not start the process.
        Ok(output) if output.code >= 125 => Answer::Stuck,
        Ok(output) => match serde_json::from_slice(&output.stdout) {
            Ok(usage) => Answer::Usage(usage),
            // A gate that is older than us.
            Err(_) => Answer::Nothing,
        },
        Err(EngineError::Refused { .. }) => Answer::Stuck,
        Err(_) => Answer::Nothing,
    }
}

/// Nothing can be started in it: with a fork bomb inside, not even the gate that would count.
fn stuck(place: &Place) -> Option<Strain> {
    let pids = place.limits.pids?;
    Some(Strain {
        container: place.container.clone(),
        sentences: vec![format!(
            "no process can be started in {} any more, as when it is at its ceiling of {pids}; {} raises it",
            place.who(),
            key(place, "pids")
        )],
        ..Strain::default()
    })
}

fn judge(place: &Place, ended: bool, usage: &Usage) -> Option<Strain> {
    let (killed, refused) = (
        usage.oom_kills.unwrap_or(0),
        usage.pids_refused.unwrap_or(0),
    );
    let mut sentences = Vec::new();
    let who = place.who();
    let memory = || match place.limits.memory {
        Some(bytes) => format!(
            "its ceiling is {}; {} raises it",
            binary(bytes),
            key(place, "memory")
        ),
        None => "the machine has no more".to_owned(),
    };
    if ended {
        sentences.push(format!(
            "{who} ended because it ran out of memory: {}",
            memory()
        ));
    } else if killed > 0 {
        let what = if killed == 1 {
            "a process"
        } else {
            "processes"
        };
        sentences.push(format!(
            "the kernel ended {what} of {who} ({killed} in all) because it ran out of memory: {}",
            memory()
        ));
    }
    if let (1.., Some(pids)) = (refused, place.limits.pids) {
        sentences.push(format!(
            "{who} could not start a process or thread ({refused} times): its ceiling is {pids}; {} raises it",
            key(place, "pids")
        ));
    }
    (!sentences.is_empty()).then(|| Strain {
        container: place.container.clone(),
        out_of_memory: ended,
        oom_kills: killed,
        pids_refused: refused,
        sentences,
    })
}

/// The key in `agentnet.toml`.
fn key(place: &Place, name: &str) -> String {
    let section = match &place.service {
        Some(service) => format!("services.{service}"),
        None => place.role.to_string(),
    };
    format!("{name} = in [{section}] of agentnet.toml")
}

/// Bytes as the settings have them: `4 GiB`, `512 MiB`, `1.5 GiB`.
#[must_use]
pub fn binary(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = UNITS.into_iter().find(|(size, _)| bytes >= *size);
    let Some((size, name)) = unit else {
        return format!("{bytes} bytes");
    };
    let tenths = (u128::from(bytes) * 10 + u128::from(size) / 2) / u128::from(size);
    match tenths % 10 {
        0 => format!("{} {name}", tenths / 10),
        rest => format!("{}.{rest} {name}", tenths / 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Limits;

    fn place(service: Option<&str>) -> Place {
        let role = service.map_or(Role::Agent, |_| Role::Service);
        Place {
            container: "c".into(),
            role,
            networks: Vec::new(),
            addresses: Vec::new(),
            service: service.map(|name| name.parse().unwrap()),
            limits: Limits {
                memory: Some(4 << 30),
                pids: Some(512),
                ..Limits::default()
            },
            filter: None,
            gpus: false,
            volumes: Vec::new(),
        }
    }

    fn said(service: Option<&str>, ended: bool, oom_kills: u64, pids_refused: u64) -> Vec<String> {
        let usage = Usage {
            oom_kills: Some(oom_kills),
            pids_refused: Some(pids_refused),
            ..Usage::default()
        };
        let strain = judge(&place(service), ended, &usage);
        strain.map(|strain| strain.sentences).unwrap_or_default()
    }

    #[test]
    fn who_ran_into_what_is_said_with_the_key_that_raises_it() {
        assert_eq!(said(None, false, 0, 0), [""; 0]);
        assert_eq!(
            said(Some("db"), true, 0, 0),
            [
                "service db ended because it ran out of memory: its ceiling is 4 GiB; memory = in [services.db] of \
              agentnet.toml raises it"
            ]
        );
        assert_eq!(
            said(None, false, 3, 9),
            [
                "the kernel ended processes of the agent (3 in all) because it ran out of memory: its ceiling is 4 GiB; \
                 memory = in [agent] of agentnet.toml raises it",
                "the agent could not start a process or thread (9 times): its ceiling is 512; pids = in [agent] of \
                 agentnet.toml raises it"
            ]
        );
    }

    #[test]
    fn bytes_are_written_as_in_the_settings() {
        let cases = [
            (4 << 30, "4 GiB"),
            (3 << 29, "1.5 GiB"),
            (512 << 20, "512 MiB"),
            (100, "100 bytes"),
            ((4 << 30) - 1, "4 GiB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(binary(bytes), text);
        }
    }
}
