//! An HTTPS origin on a task's egress network: files, a git repository, what registries and model APIs answer.

use std::time::Duration;

use crate::engine::{BASE_IMAGE, Engine, Thing};
use crate::name::unique;
use crate::wait::until;

const SCRIPT: &str = include_str!("../origin/origin.py");

/// The name that whitelists allow.
pub const ALLOWED: &str = "origin.e2e.test";
/// A name of the same server that no whitelist has.
pub const UNLISTED: &str = "unlisted.e2e.test";

/// A running origin.
#[derive(Debug)]
pub struct Origin<'e> {
    engine: &'e Engine,
    name: String,
    /// Its host names.
    names: Vec<String>,
    _container: Thing<'e>,
}

impl<'e> Origin<'e> {
    /// Starts one on `network`, under both names.
    pub fn start(engine: &'e Engine, network: &str) -> Self {
        Self::start_with(engine, network, &[])
    }

    /// The same, under more names that no whitelist has.
    pub fn start_with(engine: &'e Engine, network: &str, also: &[String]) -> Self {
        let name = unique("origin");
        let names = [ALLOWED, UNLISTED].map(str::to_owned);
        let names: Vec<String> = names.into_iter().chain(also.iter().cloned()).collect();
        let network = format!("--network={network}");
        let aliases = names.iter().map(|alias| format!("--network-alias={alias}"));
        let aliases: Vec<_> = aliases.collect();
        let mut words = vec![network.as_str()];
        words.extend(aliases.iter().map(String::as_str));
        words.extend(["--init", BASE_IMAGE, "python3", "-c", SCRIPT]);
        words.extend(names.iter().map(String::as_str));
        let container = Thing::container(engine, &name, &words);
        until("the origin", Duration::from_secs(60), || {
            engine
                .docker(["logs", &name])
                .stdout
                .contains("ready")
                .then_some(())
        });
        Self {
            engine,
            name,
            names,
            _container: container,
        }
    }

    /// Puts it on another network as well, under the same names.
    #[track_caller]
    pub fn join(&self, network: &str) {
        let aliases = self.names.iter().map(|name| format!("--alias={name}"));
        let aliases: Vec<String> = aliases.collect();
        let words = ["network", "connect"].into_iter();
        let words = words.chain(aliases.iter().map(String::as_str));
        self.engine
            .docker(words.chain([network, &self.name]))
            .expect();
    }

    /// Takes it off that network again.
    #[track_caller]
    pub fn leave(&self, network: &str) {
        let words = ["network", "disconnect", network, &self.name];
        self.engine.docker(words).expect();
    }

    /// Makes it a model that asks for one tool after the other: a JSON list of `{"tool": NAME, "input": {…}}`, and at the
    /// end the text that it says.
    #[track_caller]
    pub fn follow(&self, steps: &str) {
        self.engine
            .write(&self.name, "/tmp/origin/steps.json", steps);
    }

    /// The requests of agents that followed, JSON each.
    pub fn asked(&self) -> Vec<String> {
        let script = "cat /tmp/origin/asked.jsonl 2>/dev/null || :";
        let asked = self.engine.shell(&self.name, script).stdout;
        asked.lines().map(str::to_owned).collect()
    }

    /// The authority that its certificate is from, PEM.
    pub fn authority(&self) -> String {
        self.engine
            .shell(&self.name, "cat /tmp/origin/ca.pem")
            .expect()
    }

    /// Lets root in over SSH with a key of its own; returns the private key. The repository is at
    /// `/tmp/origin/www/sample.git`.
    pub fn serve_ssh(&self) -> String {
        let script = "mkdir -p /run/sshd /root/.ssh && ssh-keygen -A >/dev/null && ssh-keygen -q -t ed25519 -N '' -f /root/key \
            && cp /root/key.pub /root/.ssh/authorized_keys && chmod -R go= /root/.ssh && /usr/sbin/sshd && cat /root/key";
        self.engine.shell(&self.name, script).expect() + "\n"
    }

    /// Lets root in with one more key, as OpenSSH writes public keys.
    #[track_caller]
    pub fn authorize(&self, key: &str) {
        let script = format!("echo '{}' >>/root/.ssh/authorized_keys", key.trim());
        self.engine.shell(&self.name, &script).expect();
    }

    /// The requests that it saw.
    pub fn requests(&self) -> Vec<String> {
        let logs = self.engine.docker(["logs", &self.name]).stderr;
        logs.lines().map(str::to_owned).collect()
    }
}

/// A whitelist that allows the origin by name, which a container network answers with a private address.
pub fn whitelist() -> String {
    format!("{ALLOWED} private   # the tests' origin\n")
}
