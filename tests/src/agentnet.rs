//! The controller as a user runs it: in a checkout, with a state directory of its own.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use fs_err as fs;
use tempfile::TempDir;

use crate::bed::program;
use crate::command::{Outcome, run};
use crate::engine::{BASE_IMAGE, Engine};
use crate::name::unique;
use crate::repository;

/// A user's checkout on one engine. What its tasks leave behind goes with the guard.
#[derive(Debug)]
pub struct Checkout<'e> {
    /// Where its tasks run.
    pub engine: &'e Engine,
    /// The project's name, which no other run has.
    pub project: String,
    home: TempDir,
}

/// A service in every task: a web server on a port that all tasks use.
pub const SERVICE_PORT: u16 = 8000;

impl<'e> Checkout<'e> {
    /// A repository with a project file and a whitelist, and nothing running.
    pub fn new(engine: &'e Engine, fence: Option<&str>, whitelist: &str) -> Self {
        let home = TempDir::new().expect("a temporary directory");
        let checkout = Self {
            engine,
            project: unique("e2e"),
            home,
        };
        repository::create(&checkout.directory());
        fs::create_dir(checkout.directory().join(".agentnet")).expect("a directory");
        checkout.set_whitelist(whitelist);
        let fence = fence
            .map(|fence| format!("fence = \"{fence}\"\n"))
            .unwrap_or_default();
        let [proxy, gate, tools, agent] = ["proxy", "gate", "tools", "agent"].map(Engine::image);
        checkout.set_config(&format!(
            "project = \"{}\"\n[images]\nproxy = \"{proxy}\"\ngate = \"{gate}\"\ntools = \"{tools}\"\n[agent]\nimage = \"{agent}\"\n\
             command = [\"sleep\", \"infinity\"]\n[network]\n{fence}",
            checkout.project
        ));
        repository::commit(&checkout.directory(), "Configure agentnet");
        if let Some(user) = engine.user {
            let mut give = Command::new("chown");
            let owner = format!("{user}:{user}");
            run(give.args(["-R", &owner]).arg(checkout.home.path())).expect();
        }
        checkout
    }

    /// Adds a web server to every task: `web`, on the same port everywhere.
    pub fn with_service(self) -> Self {
        let port = SERVICE_PORT;
        self.add_config(&format!(
            "\n[services.web]\nimage = \"{BASE_IMAGE}\"\nport = {port}\nuser = \"1000:1000\"\n\
             command = [\"python3\", \"-m\", \"http.server\", \"{port}\", \"--directory\", \"/etc/default\"]\n"
        ));
        self
    }

    /// Adds to the last table of `agentnet.toml`, which is `[network]` at first.
    pub fn add_config(&self, text: &str) {
        let file = self.directory().join("agentnet.toml");
        let before = fs::read_to_string(&file).expect("agentnet.toml");
        self.set_config(&format!("{before}{text}"));
    }

    /// Writes `agentnet.toml`.
    pub fn set_config(&self, text: &str) {
        fs::write(self.directory().join("agentnet.toml"), text).expect("agentnet.toml");
    }

    /// Writes the project's whitelist.
    pub fn set_whitelist(&self, text: &str) {
        fs::write(self.directory().join(".agentnet/whitelist.txt"), text).expect("the whitelist");
    }

    /// The checkout.
    pub fn directory(&self) -> PathBuf {
        self.home.path().join("checkout")
    }

    /// The state directory of this installation.
    pub fn state(&self) -> PathBuf {
        self.home.path().join("state")
    }

    /// `agentnet WORDS…` in the checkout, on the engine's host, as the user who runs the engine.
    pub fn command(&self, words: &[&str]) -> Command {
        let program = program().to_string_lossy();
        let mut command = self.engine.command_of_its_user(&program);
        command
            .current_dir(self.directory())
            .env("AGENTNET_STATE_DIR", self.state())
            .env("HOME", self.home.path())
            .env("NO_COLOR", "1")
            .args(words);
        command
    }

    /// The same, to its end.
    pub fn agentnet(&self, words: &[&str]) -> Outcome {
        run(&mut self.command(words))
    }

    /// The same, left running, for a test that kills it.
    pub fn start(&self, words: &[&str]) -> Child {
        let mut command = self.command(words);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.spawn().expect("agentnet starts")
    }

    /// The ids of a task's containers with this role.
    pub fn containers(&self, task: &str, role: &str) -> Vec<String> {
        let filters = [
            format!("label=agentnet.task={task}"),
            format!("label=agentnet.role={role}"),
        ];
        self.list("container", &filters)
    }

    /// The id of the one container with this role.
    #[track_caller]
    pub fn container(&self, task: &str, role: &str) -> String {
        let found = self.containers(task, role);
        assert_eq!(found.len(), 1, "one {role} in {task}: {found:?}");
        found.concat()
    }

    /// The full ids of a task's networks with this role.
    pub fn networks(&self, task: &str, role: &str) -> Vec<String> {
        let filters = [
            format!("label=agentnet.task={task}"),
            format!("label=agentnet.role={role}"),
        ];
        self.list("network", &filters)
    }

    /// The full id of a task's network with this role.
    #[track_caller]
    pub fn network(&self, task: &str, role: &str) -> String {
        let found = self.networks(task, role);
        assert_eq!(found.len(), 1, "one {role} in {task}: {found:?}");
        found.concat()
    }

    /// Everything in the engine that belongs to this project, with its kind.
    pub fn leftovers(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        for kind in ["container", "network", "volume"] {
            found.extend(self.list(kind, &[]).into_iter().map(|id| (kind, id)));
        }
        found
    }

    #[track_caller]
    fn list(&self, kind: &str, filters: &[String]) -> Vec<String> {
        lines(&self.look(kind, filters).expect())
    }

    fn look(&self, kind: &str, filters: &[String]) -> Outcome {
        let ours = format!("label=agentnet.project={}", self.project);
        let mut words = vec![kind, "ls", "--quiet", "--filter", &ours];
        match kind {
            "container" => words.extend(["--all", "--no-trunc"]),
            "network" => words.push("--no-trunc"),
            _ => {}
        }
        words.extend(
            filters
                .iter()
                .flat_map(|filter| ["--filter", filter.as_str()]),
        );
        self.engine.docker(words)
    }
}

impl Drop for Checkout<'_> {
    fn drop(&mut self) {
        // Not by the program under test: a failing one would leave everything behind.
        for kind in ["container", "network", "volume"] {
            // An engine that died must not make one failure a crash of the whole run.
            for id in lines(&self.look(kind, &[]).stdout) {
                let force: &[&str] = if kind == "container" {
                    &["--force", "--volumes"]
                } else {
                    &[]
                };
                self.engine
                    .docker([kind, "rm"].iter().chain(force).chain([&id.as_str()]));
            }
        }
    }
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}
