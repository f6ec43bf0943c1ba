//! A drop-in stack of `compose/`, as a user would run it.

use std::path::{Path, PathBuf};

use fs_err as fs;
use tempfile::TempDir;

use crate::bed::root;
use crate::command::{Outcome, run};
use crate::engine::Engine;
use crate::name::{number, unique};

/// A stack in a directory of its own; its containers, networks and volumes go with the guard.
#[derive(Debug)]
pub struct Stack<'e> {
    engine: &'e Engine,
    project: String,
    /// As `compose/` is: the stack, and `observe` beside it.
    home: TempDir,
    name: String,
    block: u32,
}

impl<'e> Stack<'e> {
    /// A copy of `compose/NAME` with this whitelist. Nothing is started.
    pub fn new(engine: &'e Engine, name: &str, whitelist: &str) -> Self {
        let home = TempDir::new().expect("a temporary directory");
        for part in [name, "observe"] {
            let copy = home.path().join(part);
            if !copy.exists() {
                copy_tree(&root().join("compose").join(part), &copy);
            }
        }
        fs::create_dir_all(home.path().join(name).join("whitelist")).expect("a directory");
        let stack = Self {
            engine,
            project: unique(name),
            home,
            name: name.to_owned(),
            block: number() % 256,
        };
        stack.set_whitelist(whitelist);
        stack
    }

    /// Replaces the whitelist as an editor does, by a rename.
    pub fn set_whitelist(&self, text: &str) {
        let directory = self.directory().join("whitelist");
        fs::write(directory.join(".new"), text).expect("a file");
        fs::rename(directory.join(".new"), directory.join("project.txt")).expect("a rename");
    }

    /// `docker compose WORDS…` in the stack's directory.
    pub fn compose(&self, words: &[&str]) -> Outcome {
        let mut command = self.engine.command("docker");
        command.current_dir(self.directory()).args([
            "compose",
            "--progress=plain",
            "--profile=observe",
            "--project-name",
            &self.project,
        ]);
        for image in ["proxy", "gate", "agent"] {
            command.env(
                format!("AGENTNET_{}_IMAGE", image.to_uppercase()),
                Engine::image(image),
            );
        }
        command
            .env("AGENTNET_NET", format!("10.214.{}", self.block))
            .env("AGENTNET_NET6", format!("fd8e:214:{:x}", self.block))
            .env("AGENTNET_METRICS_PORT", "0")
            .env("AGENTNET_PROMETHEUS_IMAGE", Engine::image("prometheus"))
            .env(
                "AGENTNET_PROMETHEUS_PORT",
                self.prometheus_port().to_string(),
            );
        run(command.args(words))
    }

    /// `docker compose up` without the profile, to the end of its own waiting.
    pub fn up(&self) -> Outcome {
        self.compose(&["up", "--detach", "--wait", "agent"])
    }

    /// Where the Prometheus of compose/observe listens on the engine's host. The stacks publish theirs and let the
    /// engine choose.
    pub fn prometheus_port(&self) -> u32 {
        match self.name.as_str() {
            "observe" => 20_000 + self.block,
            _ => 0,
        }
    }

    /// The id of a service's container.
    pub fn container(&self, service: &str) -> String {
        self.compose(&["ps", "--all", "--quiet", service]).expect()
    }

    /// The engine's name of one of the stack's networks.
    pub fn network(&self, name: &str) -> String {
        format!("{}_{name}", self.project)
    }

    /// Where the metrics are published: `ADDRESS:PORT`.
    pub fn metrics(&self) -> String {
        self.compose(&["port", "proxy", "9100"]).expect()
    }

    /// What the user keeps beside the stack.
    pub fn directory(&self) -> PathBuf {
        self.home.path().join(&self.name)
    }
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a stack").map(Result::unwrap) {
        let copy = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &copy);
        } else {
            fs::copy(entry.path(), copy).expect("a file of the stack");
        }
    }
}

impl Drop for Stack<'_> {
    fn drop(&mut self) {
        let down = self.compose(&["down", "--volumes", "--remove-orphans", "--timeout", "0"]);
        if !down.ok() && !std::thread::panicking() {
            panic!("{down}");
        }
    }
}
