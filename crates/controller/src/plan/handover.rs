//! What of the person's the agent is given: a file that only its gate reads, a directory for a
//! login, a socket that leads to the SSH agent.

use super::{Draft, Inputs, Step};
use crate::agents::Agent;
use crate::credentials::{LOGIN_DIR, SECRETS_DIR, SECRETS_FILE};
use crate::spec::{ContainerSpec, Mount};
use crate::ssh_agent::{DIRECTORY, SOCKET};

/// The steps before the agent's container may be created.
pub(super) fn steps(inputs: &Inputs<'_>, draft: &mut Draft) -> Vec<usize> {
    let handover = inputs.handover;
    let owner = inputs.facts.outside(inputs.reader);
    let mut steps = Vec::new();
    if !handover.secrets.is_empty() {
        let secret = Step::Secret {
            path: inputs.directory.join("secrets").join(SECRETS_FILE),
            owner,
            text: handover.file(),
        };
        steps.push(draft.add(secret, &[]));
    }
    if let Some(agent) = &handover.ssh_agent {
        let agent = Step::SshAgent {
            directory: inputs.directory.join("ssh"),
            owner,
            agent: agent.clone(),
        };
        steps.push(draft.add(agent, &[]));
    }
    if let Some((_, path)) = &handover.login {
        let shared = Step::Shared {
            path: path.clone(),
            owner,
        };
        steps.push(draft.add(shared, &[]));
    }
    steps
}

/// Mounts and variables, and what the gate is told of them.
pub(super) fn give(inputs: &Inputs<'_>, spec: &mut ContainerSpec) {
    let handover = inputs.handover;
    // What the project sets itself stays.
    for (name, value) in &handover.plain {
        let entry = spec.env.entry(name.clone());
        entry.or_insert_with(|| value.clone());
    }
    let mut flags = Vec::new();
    if !handover.secrets.is_empty() {
        spec.mounts.push(Mount::Bind {
            // The directory: what is withdrawn from it is gone in the container as well.
            source: inputs.directory.join("secrets"),
            target: SECRETS_DIR.to_owned(),
            writable: false,
        });
        flags.push("--secrets".to_owned());
        flags.push(format!("{SECRETS_DIR}/{SECRETS_FILE}"));
    }
    if handover.ssh_agent.is_some() {
        spec.mounts.push(Mount::Bind {
            // The directory, for the same reason.
            source: inputs.directory.join("ssh"),
            target: DIRECTORY.to_owned(),
            writable: false,
        });
        let entry = spec.env.entry("SSH_AUTH_SOCK".to_owned());
        entry.or_insert_with(|| format!("{DIRECTORY}/{SOCKET}"));
    }
    if let Some((agent, path)) = &handover.login {
        spec.mounts.push(Mount::Bind {
            source: path.clone(),
            target: LOGIN_DIR.to_owned(),
            writable: true,
        });
        match login(*agent) {
            Some(Place::Variable(name)) => {
                spec.env.insert(name.to_owned(), LOGIN_DIR.to_owned());
            }
            Some(Place::Link(name, file)) => {
                flags.push("--link".to_owned());
                flags.push(format!("{name}={LOGIN_DIR}/{file}"));
            }
            None => {}
        }
    }
    let end = spec.command.iter().position(|word| word == "--");
    if let Some(end) = end {
        spec.command.splice(end..end, flags);
    }
}

/// How an agent is told where its login is. Tested with the programs: docs/credentials.md.
enum Place {
    /// A variable names the directory, its lock included.
    Variable(&'static str),
    /// A link in the home leads to the file; the program writes through it.
    Link(&'static str, &'static str),
}

fn login(agent: Agent) -> Option<Place> {
    match agent {
        Agent::Claude => Some(Place::Variable("CLAUDE_SECURESTORAGE_CONFIG_DIR")),
        Agent::Codex => Some(Place::Link(".codex/auth.json", "auth.json")),
        Agent::Gemini => Some(Place::Link(".gemini/oauth_creds.json", "oauth_creds.json")),
        Agent::Shell => None,
    }
}
