//! Fetching what was asked for from where the person keeps it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;

use super::{Handover, Want};
use crate::agents::Agent;
use crate::error::{Error, Result};
use crate::secret::Secret;
use crate::ssh_agent::{Fingerprint, Keys, SshAgent};
use crate::workspace::Repository;

/// A token has fewer bytes.
const LONGEST_TOKEN: u64 = 16 << 10;
/// All secrets of a task together: the kernel takes little more as an environment.
const MOST_BYTES: usize = 512 << 10;
/// How long the GitHub CLI may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where the person keeps things.
pub struct Person<'a> {
    /// Reads a variable of the person's environment.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// The checkout, for git's settings.
    pub checkout: Option<Repository>,
    /// Where agents' logins are kept, a directory each.
    pub logins: PathBuf,
    /// The GitHub CLI.
    pub gh: &'a str,
}

impl std::fmt::Debug for Person<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Person").finish_non_exhaustive()
    }
}

impl Person<'_> {
    /// Gathers what is wanted; what is not there is an error that names it.
    pub async fn gather(&self, wants: &BTreeSet<Want>, agent: Option<Agent>) -> Result<Handover> {
        let mut handover = Handover::default();
        for want in wants {
            match want {
                Want::GitIdentity => self.identity(&mut handover).await?,
                Want::Gh => {
                    let token = self.token().await?;
                    handover.secrets.insert("GH_TOKEN".to_owned(), token);
                }
                Want::Login => {
                    let agent = agent.filter(|agent| *agent != Agent::Shell);
                    let agent = agent.ok_or_else(|| {
                        Error::Config(
                            "a login is an agent's: say name = \"claude\", \"codex\" or \"gemini\" in [agent], \
                             or --agent"
                                .into(),
                        )
                    })?;
                    handover.login = Some((agent, self.logins.join(agent.as_str())));
                }
                Want::SshAgent(key) => self.ssh_agent(&mut handover, *key)?,
                Want::Env(name) => {
                    let value = (self.variable)(name).filter(|value| !value.is_empty());
                    let value = value.ok_or_else(|| {
                        Error::Config(format!(
                            "the task is to be given {name}, which is not set in your environment"
                        ))
                    })?;
                    handover.secrets.insert(name.clone(), Secret::new(value));
                }
            }
        }
        if handover.file().expose().len() > MOST_BYTES {
            return Err(Error::Config(format!(
                "the variables that the task is to be given are longer than {} KiB altogether",
                MOST_BYTES >> 10
            )));
        }
        Ok(handover)
    }

    /// One more key of the agent, or all.
    fn ssh_agent(&self, handover: &mut Handover, key: Option<Fingerprint>) -> Result<()> {
        let failed = |why: String| {
            Error::Config(format!("the task is to be given your SSH agent, and {why}"))
        };
        let socket = (self.variable)("SSH_AUTH_SOCK").filter(|socket| !socket.is_empty());
        let socket = socket.ok_or_else(|| failed("SSH_AUTH_SOCK is not set".into()))?;
        let socket = std::path::absolute(socket)?;
        // Whether somebody listens there, so that it is said here and not in the middle of the task's work.
        std::os::unix::net::UnixStream::connect(&socket)
            .map_err(|e| failed(format!("nothing answers at {}: {e}", socket.display())))?;
        let agent = handover.ssh_agent.get_or_insert(SshAgent {
            program: std::env::current_exe()?,
            socket,
            keys: Keys::Named(BTreeSet::new()),
        });
        match (key, &mut agent.keys) {
            (Some(key), Keys::Named(keys)) => {
                keys.insert(key);
            }
            (Some(_), Keys::All) => {}
            (None, keys) => *keys = Keys::All,
        }
        Ok(())
    }

    async fn identity(&self, handover: &mut Handover) -> Result<()> {
        let identity = match &self.checkout {
            Some(repository) => repository.identity().await?,
            None => None,
        };
        let (name, email) = identity.ok_or_else(|| {
            Error::Config(
                "the task is to be given your git identity, and git has no user.name and user.email here"
                    .into(),
            )
        })?;
        for who in ["AUTHOR", "COMMITTER"] {
            let plain = &mut handover.plain;
            plain.insert(format!("GIT_{who}_NAME"), name.clone());
            plain.insert(format!("GIT_{who}_EMAIL"), email.clone());
        }
        Ok(())
    }

    /// As `gh` itself finds it: its variables, then its own store.
    async fn token(&self) -> Result<Secret> {
        for name in ["GH_TOKEN", "GITHUB_TOKEN"] {
            if let Some(token) = (self.variable)(name).filter(|token| !token.is_empty()) {
                return Ok(Secret::new(token));
            }
        }
        let failed = |why: String| {
            Error::Config(format!(
                "the task is to be given the GitHub CLI's token, and {} auth token gives none: {why}; set \
                 GH_TOKEN, best to a token for this repository alone",
                self.gh
            ))
        };
        let mut child = tokio::process::Command::new(self.gh)
            .args(["auth", "token"])
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| failed(e.to_string()))?;
        let mut text = String::new();
        let read = async {
            if let Some(out) = child.stdout.take() {
                out.take(LONGEST_TOKEN).read_to_string(&mut text).await?;
            }
            child.wait().await
        };
        let status = tokio::time::timeout(PATIENCE, read)
            .await
            .map_err(|_| failed(format!("no answer within {} s", PATIENCE.as_secs())))?
            .map_err(|e| failed(e.to_string()))?;
        let token = text.trim();
        let plain = !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
        if !status.success() || !plain {
            return Err(failed("it printed none".into()));
        }
        Ok(Secret::new(token.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn gather(words: &[&str], gh: &str, agent: Option<Agent>) -> Result<Handover> {
        let variable = |name: &str| (name == "KEY").then(|| "hunter2".to_owned());
        let person = Person {
            variable: &variable,
            checkout: None,
            logins: "/state/logins".into(),
            gh,
        };
        let wants = words.iter().map(|word| word.parse().unwrap()).collect();
        person.gather(&wants, agent).await
    }

    #[tokio::test]
    async fn takes_what_was_asked_for_and_nothing_else() {
        assert_eq!(gather(&[], "gh", None).await.unwrap(), Handover::default());
        let one = gather(&["env:KEY", "login"], "gh", Some(Agent::Codex))
            .await
            .unwrap();
        assert_eq!(one.file().expose(), "KEY=hunter2\0");
        assert_eq!(
            one.login,
            Some((Agent::Codex, "/state/logins/codex".into()))
        );
        assert!(one.plain.is_empty());
        assert!(!format!("{one:?}").contains("hunter2"));
    }

    #[tokio::test]
    async fn an_ssh_agent_is_all_of_its_keys_or_those_that_were_named() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("s");
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let variable = |name: &str| (name == "SSH_AUTH_SOCK").then(|| socket.display().to_string());
        let person = Person {
            variable: &variable,
            checkout: None,
            logins: "/state/logins".into(),
            gh: "gh",
        };
        let [one, two] = [b"one", b"two"].map(|key| Fingerprint::of(key));
        let [word_one, word_two] = [one, two].map(|key| format!("ssh-agent:{key}"));
        let named = |keys: &[Fingerprint]| Keys::Named(keys.iter().copied().collect());
        for (words, keys) in [
            (&[word_one.as_str(), &word_two][..], named(&[one, two])),
            (&[&word_two], named(&[two])),
            (&["ssh-agent"], Keys::All),
            (&["ssh-agent", &word_one], Keys::All),
        ] {
            let wants = words.iter().map(|word| word.parse().unwrap()).collect();
            let handover = person.gather(&wants, None).await.unwrap();
            let agent = handover.ssh_agent.unwrap();
            assert_eq!((agent.socket, agent.keys), (socket.clone(), keys));
        }
        drop(listener);
        let wants = [Want::SshAgent(None)].into();
        let error = person.gather(&wants, None).await.unwrap_err().to_string();
        assert!(error.contains("nothing answers at"), "{error}");
    }

    #[tokio::test]
    async fn what_is_not_there_is_said_by_its_name() {
        for (words, gh, why) in [
            (&["env:OTHER"][..], "gh", "OTHER, which is not set"),
            (&["gh"], "/nonexistent/gh", "/nonexistent/gh auth token"),
            (&["gh"], "false", "it printed none"),
            // It prints what it was called with: two words are no token.
            (&["gh"], "echo", "it printed none"),
            (&["git-identity"], "gh", "git has no user.name"),
            (&["login"], "gh", "a login is an agent's"),
            (&["ssh-agent"], "gh", "SSH_AUTH_SOCK is not set"),
        ] {
            let error = gather(words, gh, Some(Agent::Shell)).await.unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
