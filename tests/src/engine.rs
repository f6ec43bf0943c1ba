//! One container engine, driven by its own command line.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use crate::command::{Outcome, run, run_with};

/// The prefix of the images that the tests build, so that a user's own are left alone.
pub const IMAGES: &str = "agentnet-e2e";
/// What test containers start from.
pub const BASE_IMAGE: &str = "agentnet-test-base";

/// An engine that answers.
#[derive(Debug)]
pub struct Engine {
    /// `docker28`, `docker20`, `docker28-remap`, `podman`, `rootless` or `own`.
    pub name: String,
    /// The server's version as it says it.
    pub version: String,
    /// What a client needs to find it: `DOCKER_HOST` and friends.
    environment: Vec<(String, String)>,
    /// The network namespace of the engine's host, where it is not ours.
    namespace: Option<PathBuf>,
    /// Who runs it, where that is not root: a user without any rights, as the person who types `agentnet`.
    pub user: Option<u32>,
    images: OnceLock<()>,
}

impl Engine {
    /// An engine that a client finds with `environment`. `None` when it does not answer.
    pub fn reach(name: &str, environment: Vec<(String, String)>) -> Option<Self> {
        let told = |name: &str| environment.iter().find(|(key, _)| key == name);
        let namespace = told("AGENTNET_ENGINE_NETNS").map(|(_, value)| PathBuf::from(value));
        let user = told("AGENTNET_ENGINE_USER").and_then(|(_, value)| value.parse().ok());
        let mut engine = Self {
            name: name.to_owned(),
            version: String::new(),
            environment,
            namespace,
            user,
            images: OnceLock::new(),
        };
        let outcome = engine.docker(["version", "--format", "{{.Server.Version}}"]);
        outcome.ok().then(|| {
            engine.version = outcome.stdout.trim().to_owned();
            engine
        })
    }

    /// The first number of the version.
    pub fn major(&self) -> u32 {
        self.version
            .split('.')
            .next()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0)
    }

    /// Can it build the `network` fence?
    pub fn isolates(&self) -> bool {
        self.major() >= 28
    }

    /// A command on the engine's host: in its network namespace, with a client's environment.
    pub fn command(&self, program: &str) -> Command {
        self.words(vec![program.to_owned()])
    }

    /// The same, as the person whose engine it is.
    pub fn command_of_its_user(&self, program: &str) -> Command {
        let mut words = Vec::new();
        if let Some(user) = self.user {
            words.extend(["setpriv".to_owned(), "--clear-groups".to_owned()]);
            words.extend([format!("--reuid={user}"), format!("--regid={user}")]);
        }
        words.push(program.to_owned());
        self.words(words)
    }

    fn words(&self, mut words: Vec<String>) -> Command {
        if let Some(namespace) = &self.namespace {
            let enter = format!("--net={}", namespace.display());
            words.splice(0..0, ["nsenter".to_owned(), enter]);
        }
        let mut command = Command::new(words.remove(0));
        command.args(words);
        command.envs(self.environment.iter().map(|(key, value)| (key, value)));
        command
    }

    /// `docker WORDS…`, whatever comes of it.
    pub fn docker<I: IntoIterator<Item: AsRef<std::ffi::OsStr>>>(&self, words: I) -> Outcome {
        run(self.command("docker").args(words))
    }

    /// A shell script in a running container, as the container's user.
    pub fn shell(&self, container: &str, script: &str) -> Outcome {
        self.docker(["exec", container, "sh", "-c", script])
    }

    /// Writes a file in a running container, as the container's user.
    #[track_caller]
    pub fn write(&self, container: &str, path: &str, text: &str) {
        let words = [
            "exec",
            "--interactive",
            container,
            "sh",
            "-c",
            "cat >\"$0\"",
            path,
        ];
        run_with(
            self.command("docker").args(words),
            text,
            crate::command::PATIENCE,
        )
        .expect();
    }

    /// A throw-away container with the host's network, for looking at the host as the host does.
    pub fn on_host(&self, script: &str) -> Outcome {
        let words = [
            "run",
            "--rm",
            "--network=host",
            "--cap-add=NET_ADMIN",
            BASE_IMAGE,
            "sh",
            "-c",
            script,
        ];
        self.docker(words)
    }

    /// Builds the images of this checkout, once.
    pub fn with_images(&self, build: impl FnOnce(&Self)) -> &Self {
        self.images.get_or_init(|| build(self));
        self
    }

    /// The name under which the tests build an image of ours.
    pub fn image(name: &str) -> String {
        format!("{IMAGES}/{name}:latest")
    }
}

/// A container, network or volume that goes away with its guard.
#[derive(Debug)]
pub struct Thing<'e> {
    engine: &'e Engine,
    removal: Vec<String>,
}

impl<'e> Thing<'e> {
    /// Starts a container with `docker run --detach` and these words.
    #[track_caller]
    pub fn container(engine: &'e Engine, name: &str, words: &[&str]) -> Self {
        let removal = ["rm", "--force", "--volumes", name]
            .map(str::to_owned)
            .to_vec();
        // The guard first: a container that is created but cannot start must go as well.
        let guard = Self { engine, removal };
        engine
            .docker(["run", "--detach", "--name", name].iter().chain(words))
            .expect();
        guard
    }

    /// Creates a network.
    #[track_caller]
    pub fn network(engine: &'e Engine, name: &str, words: &[&str]) -> Self {
        let removal = ["network", "rm", name].map(str::to_owned).to_vec();
        let guard = Self { engine, removal };
        engine
            .docker(["network", "create"].iter().chain(words).chain([&name]))
            .expect();
        guard
    }
}

impl Drop for Thing<'_> {
    fn drop(&mut self) {
        self.engine.docker(&self.removal);
    }
}
