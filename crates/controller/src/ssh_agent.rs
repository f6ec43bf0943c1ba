//! The person's SSH agent in a task: a socket of the task's own that can be withdrawn, and between it and the person's
//! agent a process of ours that lets a list of keys and signatures pass and nothing else.
//!
//! The process belongs to no command: it is started by `up` and ends by itself when its socket is gone, which is what
//! `withdraw`, `down`, a failed `up` and `gc` do. So nothing has to find it again.

mod fingerprint;
mod forwarder;
mod keys;
mod message;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Serialize;
use tokio::io::AsyncReadExt;

pub use fingerprint::Fingerprint;
pub use forwarder::Forwarder;
pub use keys::Keys;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::labels::Role;
use crate::paths::make_shared;
use crate::plan::GATE;
use crate::record::Record;
use crate::spec::ExecSpec;

/// The socket's name in its directory.
pub const SOCKET: &str = "agent.sock";
/// What the process says when its socket is there.
pub const READY: &str = "ready";
/// How long it may take to say so.
const PATIENCE: Duration = Duration::from_secs(10);
/// Where it is in the container.
pub const DIRECTORY: &str = "/agentnet/ssh";
/// Its last words have no more bytes.
const LONGEST: u64 = 4 << 10;

/// What of the person's SSH agent a task is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SshAgent {
    /// `agentnet`, which stands between the two.
    #[serde(skip)]
    pub program: PathBuf,
    /// The person's own socket.
    pub socket: PathBuf,
    /// The keys that may be used.
    pub keys: Keys,
}

impl SshAgent {
    /// Starts the process that serves `directory`; returns when the socket is there. It runs on after us.
    ///
    /// # Errors
    /// When it does not come up, with its own words.
    pub async fn start(&self, directory: &Path, owner: (u32, u32)) -> Result<()> {
        let failed = |why: &str| {
            Error::Failed(format!(
                "the process between the task and your SSH agent did not start: {why}"
            ))
        };
        make_shared(directory)?;
        let mut command = tokio::process::Command::new(&self.program);
        command
            .arg("ssh-agent")
            .arg("--agent")
            .arg(&self.socket)
            .args(["--owner", &format!("{}:{}", owner.0, owner.1)]);
        match &self.keys {
            Keys::All => {
                command.arg("--all");
            }
            // None at all is refused there.
            Keys::Named(keys) => {
                command.args(
                    keys.iter()
                        .flat_map(|key| ["--key".to_owned(), key.to_string()]),
                );
            }
        }
        // In the directory: a path of a socket has at most 107 bytes, and a state directory may be deep. Without
        // our environment: it lives long, and has no use for what is in there.
        let mut child = command
            .current_dir(directory)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| failed(&e.to_string()))?;
        let (Some(mut out), Some(err)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(failed("it has no output"));
        };
        let mut said = [0; READY.len()];
        let ready = tokio::time::timeout(PATIENCE, out.read_exact(&mut said)).await;
        match ready {
            Ok(Ok(_)) if said == READY.as_bytes() => Ok(()),
            Ok(_) => {
                let mut why = String::new();
                err.take(LONGEST).read_to_string(&mut why).await?;
                Err(failed(why.trim()))
            }
            Err(_) => {
                child.kill().await?;
                Err(failed("it took too long"))
            }
        }
    }
}

/// Why the agent in the container does not get to its socket, although it is mounted there; `None` when it does, and
/// when the task was given none.
pub async fn unreachable<E: Engine>(engine: &E, record: &Record) -> Option<String> {
    let agent = record.container(Role::Agent).filter(|_| record.ssh_agent)?;
    let socket = format!("{DIRECTORY}/{SOCKET}");
    let spec = ExecSpec::quiet([GATE, "reaches", &socket]);
    let why = match engine.exec(agent, &spec).await {
        Ok(output) if output.code == 0 => return None,
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(e) => e.to_string(),
    };
    Some(format!(
        "the task does not get to your SSH agent ({why}): where SELinux confines containers, or the engine runs in a \
         virtual machine, sockets of this machine cannot be used in one"
    ))
}
