//! The program from outside: arguments, settings, signals, exit codes.

mod reading;
mod serving;
mod starting;

use std::net::SocketAddr;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::harness::{Program, within};

struct Files(TempDir);

impl Files {
    fn with(name: &str, text: &str) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.add(name, text);
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn add(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name).display().to_string()
    }
}

async fn serve(whitelist: &str, more: &[&str]) -> (Program, SocketAddr, String) {
    let base = [
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--whitelist",
        whitelist,
    ];
    let arguments: Vec<&str> = base.into_iter().chain(more.iter().copied()).collect();
    let program = Program::start(&arguments, &[]);
    let address = program.says("listener default at ").await.parse().unwrap();
    let admin = program.says("admin at ").await;
    (program, address, admin)
}

async fn run(arguments: &[&str], environment: &[(&str, &str)]) -> crate::harness::Exited {
    let own = |text: &&str| (*text).to_owned();
    let arguments: Vec<String> = arguments.iter().map(own).collect();
    let environment: Vec<(String, String)> = environment
        .iter()
        .map(|(name, value)| (own(name), own(value)))
        .collect();
    let task = tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let environment: Vec<(&str, &str)> = environment
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        Program::run(&arguments, &environment)
    });
    within("the program", task).await.unwrap()
}
