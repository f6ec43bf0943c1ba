//! What of the person's a task is given, each by a word of its own: identity, tokens, named
//! variables, an agent's login. By default nothing.
//!
//! Secrets reach a container as a file that only its gate reads (`crates/gate/src/handover.rs`): no
//! plan, label, journal, record, image or answer of the engine holds one. docs/credentials.md says
//! what each word gives away.

mod gather;
mod grant;
mod want;

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::agents::Agent;
use crate::record::Record;
use crate::secret::Secret;
use crate::ssh_agent::SshAgent;

pub use gather::Person;
pub use grant::Grants;
pub use want::Want;
pub(crate) use want::is_variable;

/// Where the secrets are in the agent's container, and in the task's directory.
pub const SECRETS_DIR: &str = "/agentnet/secrets";
/// The file with the variables, below [`SECRETS_DIR`].
pub const SECRETS_FILE: &str = "env";
/// Where an agent's login is in the agent's container.
pub const LOGIN_DIR: &str = "/agentnet/login";

/// What a task is handed over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Handover {
    /// Variables that are no secrets: the person's name.
    pub plain: BTreeMap<String, String>,
    /// Variables that are.
    pub secrets: BTreeMap<String, Secret>,
    /// The directory with the agent's login, and the agent.
    pub login: Option<(Agent, PathBuf)>,
    /// The person's SSH agent.
    pub ssh_agent: Option<SshAgent>,
}

impl Handover {
    /// The secrets as the gate reads them.
    #[must_use]
    pub fn file(&self) -> Secret {
        let entries = self.secrets.iter();
        Secret::new(
            entries
                .map(|(name, value)| format!("{name}={}\0", value.expose()))
                .collect(),
        )
    }
}

/// The first of these variables that makes an agent overlook its login, and that agent: the one that is named, or any
/// while none is.
#[must_use]
pub fn overriding<'a>(
    agent: Option<Agent>,
    variables: impl IntoIterator<Item = &'a String>,
) -> Option<(Agent, String)> {
    let agents = Agent::ALL.into_iter();
    let agents: Vec<Agent> = agents
        .filter(|one| agent.is_none_or(|agent| agent == *one))
        .collect();
    variables.into_iter().find_map(|name| {
        let has = |agent: &&Agent| agent.traits().keys.contains(&name.as_str());
        let agent = agents.iter().find(has)?;
        Some((*agent, name.clone()))
    })
}

/// A command in a task's agent container, with the task's secrets in its environment.
#[must_use]
pub fn with_secrets(record: &Record, command: Vec<String>) -> Vec<String> {
    if record.secrets.is_empty() {
        return command;
    }
    let file = format!("{SECRETS_DIR}/{SECRETS_FILE}");
    let mut words = vec![
        crate::plan::GATE.to_owned(),
        "with".to_owned(),
        "--secrets".to_owned(),
        file,
        "--".to_owned(),
    ];
    words.extend(command);
    words
}
