//! A drop-in stack of `compose/`, as a user would run it.

use std::path::Path;

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
    directory: TempDir,
    block: u32,
}

impl<'e> Stack<'e> {
    /// A copy of `compose/NAME` with this whitelist. Nothing is started.
    pub fn new(engine: &'e Engine, name: &str, whitelist: &str) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let source = root().join("compose").join(name);
        for entry in fs::read_dir(&source).expect("a stack").map(Result::unwrap) {
            if entry.path().is_file() {
                let copy = directory.path().join(entry.file_name());
                fs::copy(entry.path(), copy).expect("a file of the stack");
            }
        }
        fs::create_dir(directory.path().join("whitelist")).expect("a directory");
        let stack = Self {
            engine,
            project: unique(name),
            directory,
            block: number() % 256,
        };
        stack.set_whitelist(whitelist);
        stack
    }

    /// Replaces the whitelist as an editor does, by a rename.
    pub fn set_whitelist(&self, text: &str) {
        let directory = self.directory.path().join("whitelist");
        fs::write(directory.join(".new"), text).expect("a file");
        fs::rename(directory.join(".new"), directory.join("project.txt")).expect("a rename");
    }

    /// `docker compose WORDS…` in the stack's directory.
    pub fn compose(&self, words: &[&str]) -> Outcome {
        let mut command = self.engine.command("docker");
        command.current_dir(self.directory.path()).args([
            "compose",
            "--progress=plain",
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
            .env("AGENTNET_METRICS_PORT", "0");
        run(command.args(words))
    }

    /// `docker compose up`, to the end of its own waiting.
    pub fn up(&self) -> Outcome {
        self.compose(&["up", "--detach", "--wait"])
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
    pub fn directory(&self) -> &Path {
        self.directory.path()
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
